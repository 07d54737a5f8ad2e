"""Models for other programs: as ONNX, and as a MONAI bundle."""
