"""Make ``Resources/samples/carotid`` from the expanded data: frames of a test video as one small sequence for Slicer.

python3 Testing/run.py bench make_cine_sample --data DIR

DIR holds the expanded set ``carotid``. The same data give the same frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _command import add_data, data_folder, expanded_set
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "samples" / "carotid"
SET, VIDEO, COUNT = "carotid", "v08", 20
NAME = "carotid_v08.seq.nrrd"

README = """\
# Carotid sample

`{name}`: {count} of the {all} annotated frames of one video of the common carotid artery, {size} pixels, evenly spread
over them. The index of the sequence is the frame's number in the original video: the frames lie seconds apart. The
pixel size in mm is not published.

The video is one of two **test videos**: no model that ships with SemiSeg is trained on it, and none may be.

Source: Common Carotid Artery Ultrasound Images, Mendeley Data, https://doi.org/10.17632/d4xt63mgjm.1, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/).

Changes: frames were selected, halved in size and put together as one sequence; nothing was cropped.

Made by `Testing/Benchmarks/make_cine_sample.py`.
"""


def make_cine(data: Path) -> Path:
    """Write the sequence and its README.

    Args:
        data: the expanded set, or the folder that holds it.

    Returns:
        The sequence.
    """
    source, manifest = expanded_set(data, SET)
    cases = sorted(
        (case for case in manifest["cases"] if case.get("sequence") == VIDEO and case["split"] == "test"),
        key=lambda case: case["frame"],
    )
    chosen = [cases[int(i * len(cases) / COUNT)] for i in range(COUNT)]
    from SlicerRig import mrml

    mrml.start()
    import slicer
    from SemiSegCervicalLib.pieces import whole
    from SemiSegCervicalLib.scene.export import volume_sequence_file_in_pieces
    from SlicerRig.scenes import add_volume

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", NAME.partition(".")[0])
    sequence.SetIndexName("frame")
    sequence.SetIndexUnit("")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    as_pictures = np.diag([-1.0, -1.0, 1.0, 1.0])  # voxel to RAS, as Slicer reads pictures
    for case in chosen:
        frame = np.asarray(Image.open(source / f"{case['id']}.png").convert("L"))
        volume = add_volume(frame[None], case["id"], as_pictures)
        sequence.SetDataNodeAtValue(volume, str(case["frame"]))
    TARGET.mkdir(parents=True, exist_ok=True)
    text = README.format(name=NAME, count=len(chosen), all=len(cases), size=f"{frame.shape[1]} x {frame.shape[0]}")
    (TARGET / "README.md").write_text(text, encoding="utf-8")
    return whole(volume_sequence_file_in_pieces(sequence, TARGET / NAME, overwrite=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    path = make_cine(data)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
