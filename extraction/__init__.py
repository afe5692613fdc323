"""Pictures out of weights: files and tensors in, tensors out. No network, no database, no config."""
