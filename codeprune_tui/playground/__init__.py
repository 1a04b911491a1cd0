"""The playground: its process, what was said, and how it reads."""
