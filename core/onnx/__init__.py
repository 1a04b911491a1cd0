"""Models in ONNX Runtime: a folder with two graphs, and the same beam search in numpy. Without torch."""
