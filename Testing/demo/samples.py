"""The shipped samples: which images there are, and the class list of their reference labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.classes import SegmentClass

# Both lips are parts of one anatomical structure; their names tell them apart.
_TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^123037004^Anatomical Structure~SCT^71252005^Cervix uteri~^^~Anatomic codes - DICOM master list~^^~^^"
)
# An orange and a blue that stay apart for colour-blind eyes and on grey.
_COLORS = ((1.0, 0.62, 0.26), (0.34, 0.71, 0.98))


@dataclass(frozen=True)
class Samples:
    """The index of a samples folder.

    Attributes:
        folder: where the files are.
        labelled: names of images with a reference, free to learn from.
        unlabelled: names of images without.
        held_out: names of images with a reference that nothing may learn from.
        classes: the class list.
    """

    folder: Path
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    held_out: tuple[str, ...]
    classes: tuple[SegmentClass, ...]

    def image_path(self, name: str) -> Path:
        """Return the image file of a sample."""
        return self.folder / f"{name}.jpg"

    def label_path(self, name: str) -> Path:
        """Return the reference label map of a sample."""
        return self.folder / f"{name}_label.png"

    def image(self, name: str) -> np.ndarray:
        """Return the grey image, uint8 ``(Y, X)``."""
        return read_image([self.image_path(name)]).array[0].astype(np.uint8)

    def labels(self, name: str) -> np.ndarray:
        """Return the reference, uint8 ``(Y, X)``."""
        return read_labels(self.label_path(name)).astype(np.uint8)


def read_samples(folder: Path, unlabelled: int | None = None) -> Samples:
    """Read a samples folder.

    Args:
        folder: it holds ``samples.json``.
        unlabelled: how many of the unlabelled images to keep, evenly spread; None for all.

    Raises:
        SemiSegError: the folder is not there or incomplete.
    """
    try:
        index = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SemiSegError(
            "no-samples", f"{folder} holds no samples", "Get the repository anew, its samples are missing", "reading"
        ) from error
    names = list(index["unlabelled"])
    if unlabelled is not None:
        names = [names[i * len(names) // unlabelled] for i in range(unlabelled)]
    classes = tuple(
        SegmentClass(int(value), name, _COLORS[(int(value) - 1) % len(_COLORS)], _TERMINOLOGY)
        for value, name in sorted(index["labels"].items())
    )
    return Samples(folder, tuple(index["labelled"]), tuple(names), tuple(index["held_out"]), classes)
