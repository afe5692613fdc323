"""The local page on which people look into findings, and what they say of them."""
