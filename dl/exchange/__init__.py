"""Models for and from other libraries: ONNX files, and weights of PyTorch."""
