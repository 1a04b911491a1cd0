"""The terminal: its abilities, its input and its output."""
