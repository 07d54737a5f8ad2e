"""Make ``Resources/samples/fetal_head`` from the expanded data: one test image, with its pixel size, for Slicer.

python3 Testing/run.py bench make_head_sample --data DIR

DIR holds the expanded set ``hc18``. The same data give the same pixels.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from _command import add_data, data_folder, expanded_set
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "samples" / "fetal_head"
SET, CASE = "hc18", "hc18_270_HC"
NAME = "hc18_270.nrrd"

README = """\
# Fetal head sample

`{name}`: one transabdominal ultrasound image of a fetal head in the standard plane, {size} pixels of {spacing:.4f} mm.

It is one of the **test images**: no model that ships with SemiSeg is trained on an image of its examination, and none
may be.

Source: HC18, Automated measurement of fetal head circumference using 2D ultrasound images,
https://doi.org/10.5281/zenodo.1327317, licence CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Please cite
van den Heuvel et al., PLoS ONE 13(8), 2018, https://doi.org/10.1371/journal.pone.0200412.

Changes: the image was halved in size and stored as NRRD with its pixel size; nothing was cropped.

Made by `Testing/Benchmarks/make_head_sample.py`.
"""


def make_head(data: Path) -> Path:
    """Write the image and its README.

    Args:
        data: the expanded set, or the folder that holds it.

    Returns:
        The image.
    """
    source, manifest = expanded_set(data, SET)
    (case,) = (case for case in manifest["cases"] if case["id"] == CASE)
    if case["split"] != "test":
        sys.exit(f"{CASE} is no test image in {source}")
    pixels = np.asarray(Image.open(source / f"{CASE}.png").convert("L"))
    # One slice of a volume, placed as Slicer places a picture; across the slice there is no size to know.
    image = sitk.GetImageFromArray(pixels[None])
    image.SetSpacing((*case["spacing_xy"], 1.0))
    TARGET.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(TARGET / NAME), useCompression=True)
    size = f"{pixels.shape[1]} x {pixels.shape[0]}"
    (TARGET / "README.md").write_text(
        README.format(name=NAME, size=size, spacing=case["spacing_xy"][0]), encoding="utf-8"
    )
    return TARGET / NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    arguments = parser.parse_args()
    path = make_head(data_folder(parser, arguments))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
