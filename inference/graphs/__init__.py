"""Networks as graphs of ONNX, without weights and without PyTorch."""
