"""A tiny zoo of truly trained diffusion checkpoints: what the demo and the tests scan."""
