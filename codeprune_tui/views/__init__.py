"""From data to text: pure functions and frozen values, no widgets."""
