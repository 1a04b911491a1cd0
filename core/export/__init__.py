"""Exports of a model: for CodeXGLUE's code, for the hub, for ONNX Runtime. Each writes a folder, complete or absent."""
