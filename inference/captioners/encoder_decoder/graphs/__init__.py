"""An encoder-decoder whose parts are graphs of ONNX: written with PyTorch, run without."""
