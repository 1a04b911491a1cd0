"""What command line and app both do with a model: score it, comment with it, quantize it."""
