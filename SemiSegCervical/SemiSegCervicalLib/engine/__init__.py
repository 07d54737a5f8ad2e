"""What a model is and how it predicts; image files. PyTorch and MONAI live here, Slicer and Qt never."""

import os

# After every parallel step the idle threads of PyTorch's OpenMP (libgomp) spin for 300 000 pauses, some 15 ms, on the
# cores that OpenVINO wants next. 1000 pauses cost PyTorch alone nothing measurable and make a frame on two cores a
# fifth faster. It is read when PyTorch is first loaded, so it stands where everything that computes begins.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
