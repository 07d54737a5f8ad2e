"""Make ``Resources/samples/cervix`` from the expanded data: a selection, as small files that ship with SemiSeg.

python3 Testing/run.py bench make_samples --data DIR

DIR holds the expanded set ``fugc`` (or is it). The same data give the same selection and pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from _command import add_data, data_folder, expanded_set
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "samples" / "cervix"
SET = "fugc"
# By eye the labelled images show two examinations: up to l0027 one with a fetal trunk, from l0028 on one with a head.
LABELLED = (
    *("fugc_l0002", "fugc_l0011", "fugc_l0016", "fugc_l0018", "fugc_l0023"),
    *("fugc_l0030", "fugc_l0034", "fugc_l0038", "fugc_l0039", "fugc_l0040", "fugc_l0041", "fugc_l0046"),
)
UNLABELLED_COUNT = 48
HELD_OUT_COUNT = 5
JPEG_QUALITY = 92
# A picture whose grey values change by more than this on average has lost speckle that a network may read.
MEAN_CHANGE_LIMIT = 1.5

README = """\
# Cervix samples

{total} transvaginal ultrasound images of the cervix, {size} pixels: {labelled} with outlines of the anterior and the
posterior cervical lip, {unlabelled} without, and {held_out} held out with outlines. `samples.json` says which is which;
in a label map 1 is the anterior lip and 2 the posterior lip. The pixel size in mm is not published.

**The held-out images** ({held_out_names})
measure models. No model that ships with SemiSeg is trained on them, and none may be.

Source: Fetal Ultrasound Grand Challenge 2025, https://doi.org/10.5281/zenodo.16893174, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Please cite Bai et al., arXiv:2601.15572.

Changes: a selection was made ({unlabelled} of the 450 unlabelled images, evenly spread over their list; the held-out
images are the first five of the ten public test images by name), images are grey JPEG files of quality {quality},
label maps are PNG files with the values 0, 1 and 2. Nothing was cropped or resized.

Made by `Testing/Benchmarks/make_samples.py`.
"""


def make_samples(data: Path) -> dict[str, float]:
    """Write images, label maps, ``samples.json`` and ``README.md``.

    Args:
        data: the expanded set, or the folder that holds it.

    Returns:
        ``files``, ``bytes``, and the largest mean grey-value change by JPEG, ``mean_change``.

    Raises:
        SystemExit: the data are not there, or JPEG changes an image too much.
    """
    source, manifest = expanded_set(data, SET)
    ids = {
        split: sorted(case["id"] for case in manifest["cases"] if case["split"] == split)
        for split in ("train_unlabelled", "test")
    }
    step = len(ids["train_unlabelled"]) / UNLABELLED_COUNT
    unlabelled = [ids["train_unlabelled"][int(i * step)] for i in range(UNLABELLED_COUNT)]
    held_out = ids["test"][:HELD_OUT_COUNT]
    TARGET.mkdir(parents=True, exist_ok=True)

    change = 0.0
    for name in (*LABELLED, *unlabelled, *held_out):
        change = max(change, _write_image(source / f"{name}.png", TARGET / f"{name}.jpg"))
    for name in (*LABELLED, *held_out):
        labels = np.asarray(Image.open(source / f"{name}_label.png"))
        if not set(np.unique(labels)) <= {0, 1, 2}:
            sys.exit(f"{name} has other labels than 0, 1, 2")
        Image.fromarray(labels.astype(np.uint8)).save(TARGET / f"{name}_label.png", optimize=True)
    index = {
        "modality": manifest["modalities"][0],
        "labels": manifest["labels"],
        "spacing": None,
        "labelled": list(LABELLED),
        "unlabelled": unlabelled,
        "held_out": held_out,
    }
    (TARGET / "samples.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    with Image.open(TARGET / f"{held_out[0]}.jpg") as picture:
        size = f"{picture.width} x {picture.height}"
    text = README.format(
        total=len(LABELLED) + len(unlabelled) + len(held_out), size=size, labelled=len(LABELLED),
        unlabelled=len(unlabelled), held_out=len(held_out), held_out_names=", ".join(f"`{n}`" for n in held_out),
        quality=JPEG_QUALITY,
    )  # fmt: skip
    (TARGET / "README.md").write_text(text, encoding="utf-8")
    files = [path for path in TARGET.iterdir() if path.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files), "mean_change": change}


def _write_image(source: Path, target: Path) -> float:
    with Image.open(source) as picture:
        grey = picture.convert("L")
    grey.save(target, quality=JPEG_QUALITY, optimize=True)
    with Image.open(target) as written:
        change = float(np.abs(np.asarray(grey, dtype=np.int16) - np.asarray(written, dtype=np.int16)).mean())
    if change > MEAN_CHANGE_LIMIT:
        sys.exit(f"{source.name} changes by {change:.2f} grey values on average: raise JPEG_QUALITY")
    return change


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    made = make_samples(data)
    print(f"{made['files']} files, {made['bytes'] / 1e6:.1f} MB, in {TARGET}")
    print(f"JPEG changes grey values by {made['mean_change']:.2f} of 255 on average in the worst image.")


if __name__ == "__main__":
    main()
