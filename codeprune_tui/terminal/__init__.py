"""What the terminal can do, what comes in from it and what goes out to it."""
