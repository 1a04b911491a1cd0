"""What makes a model smaller: who goes, what counts, what is left."""
