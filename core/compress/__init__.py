"""Making a model smaller: criteria, masks and their figures, quantizers."""
