"""A detector as files that need no torch: networks in ONNX, the features of references, and what belongs to them."""
