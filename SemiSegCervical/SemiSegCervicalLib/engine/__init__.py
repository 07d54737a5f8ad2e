"""What a model is and how it predicts; image files. PyTorch and MONAI live here, Slicer and Qt never."""
