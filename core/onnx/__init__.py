"""Models in ONNX Runtime: a folder of two graphs, the same beam search in numpy, and no torch."""
