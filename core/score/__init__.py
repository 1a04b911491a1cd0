"""Scores, with the intervals that show how certain they are. Without torch."""
