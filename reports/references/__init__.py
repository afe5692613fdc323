"""Reference sets: what is looked for, and how it is read, kept and withdrawn."""
