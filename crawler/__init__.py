"""What is out there: public fine-tuned checkpoints, their base models, and verified downloads. No torch."""
