"""What a model is and how it predicts; image files. PyTorch and MONAI live here, Slicer and Qt never."""

import os

# On Linux PyTorch's threads (GNU OpenMP) wait for their next operation by turning over for milliseconds, on cores that
# OpenVINO's threads then lack: single frames took 14.4 instead of 11.3 ms, those of a cine 12.5 instead of 11.4 (two
# cores, 336 x 544 at 160 x 256). With a fifteenth of that a training is as fast as before; without any it is slower.
# Read once, when PyTorch is loaded, hence here. Intel's OpenMP, which PyTorch has on Windows, is as fast without this.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "20000"
