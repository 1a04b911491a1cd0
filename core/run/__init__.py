"""The run folder, which is the protocol: its files, who holds it, and what they say. Without torch."""
