"""What the extractions match, and how it is shown. No torch but behind the descriptor."""
