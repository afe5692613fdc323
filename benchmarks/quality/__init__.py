"""How much of what was planted in a zoo of fine-tunes each recipe gives back; see `__main__`."""
