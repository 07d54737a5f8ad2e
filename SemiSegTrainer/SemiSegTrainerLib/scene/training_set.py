"""The training set: what each image of a scene is used for, and why. Arrays are read on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.reading import SceneImage

from .annotation import CERTAIN_BACKGROUND, IGNORE
from .classes import Conflict

Use = Literal["labelled", "partly", "unlabelled", "left out"]
Side = Literal["training", "validation"]


@dataclass(eq=False)
class TrainingCase:
    """One image, or one frame of a cine.

    Attributes:
        id: unique in the scene, the same each time the scene is read.
        name: for people.
        group: patient, else sequence or volume; never split between training and validation.
        use: "labelled" (every outline of every class is finished), "partly", "unlabelled" or "left out".
        reason: why, in plain words.
        finished: values of the classes whose outline is finished; an unpainted voxel may still be any other
            class.
        complete: False where what is not painted has not been looked at (scribbles).
        slices: planes (first array axis) on which `finished` holds; None for the whole image.
        background: the label value of strokes that mean "certainly background", None where there are none.
        ignore: the label value of voxels nobody knows about.
        spacing: mm, ``(y, x)`` or ``(z, y, x)``; None where the image is uncalibrated.
        affine: IJK-to-RAS, float64 ``(4, 4)``.
        shape: ``(Z, Y, X)``.
        sequence: name of the cine, and `frame` its index value; None for other images.
        stack: id of the cine, or of the volume whose slices are frames; None for other images.
        side: where the user put the case; None leaves it to `split.propose_split`.
        classes: number of classes in the whole set.
        read_image: reads the image from the scene.
        read_labels: reads the label array ``(Z, Y, X)`` from the scene; None where nothing counts.
    """

    id: str
    name: str
    group: str
    use: Use
    reason: str
    spacing: tuple[float, ...] | None
    affine: np.ndarray
    shape: tuple[int, int, int]
    read_image: Callable[[], SceneImage] = field(repr=False)
    read_labels: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    finished: tuple[int, ...] = ()
    complete: bool = True
    slices: tuple[int, ...] | None = None
    background: int | None = None
    ignore: int = IGNORE
    sequence: str | None = None
    frame: str | None = None
    stack: str | None = None
    side: Side | None = None
    classes: int = 0

    @property
    def image(self) -> np.ndarray:
        """Intensities, float32 ``(1, Y, X)`` or ``(1, Z, Y, X)``, read anew each time."""
        return self.read_image().array

    @property
    def labels(self) -> np.ndarray | None:
        """Label array, uint8 ``(Y, X)`` or ``(Z, Y, X)``, read anew each time; None without annotation."""
        if self.read_labels is None:
            return None
        labels = self.read_labels()
        return labels[0] if self.shape[0] == 1 else labels

    @cached_property
    def annotated(self) -> float:
        """Share of the annotation that exists, 0 to 1.

        The mean over the classes of the share of voxels that are known to belong to the class or not to; 1
        for a finished image, a half and a little more where one of two classes is finished.
        """
        if self.read_labels is None or self.classes == 0:
            return 0.0
        labels = self.read_labels()
        known = (labels != 0) & (labels != IGNORE)
        painted = int(known.sum())
        if not self.complete or not self.finished:
            return painted / labels.size
        region = labels != IGNORE
        if self.slices is not None:
            outside = np.setdiff1d(np.arange(labels.shape[0]), self.slices)
            region[outside] = known[outside]
        decided = len(self.finished) * int(region.sum()) + (self.classes - len(self.finished)) * painted
        return decided / (self.classes * labels.size)

    @property
    def annotated_slices(self) -> tuple[int, ...]:
        """The slices on which an outline is finished; none with scribbles or unfinished outlines only."""
        if self.read_labels is None or not self.complete or not self.finished:
            return ()
        return tuple(range(self.shape[0])) if self.slices is None else self.slices

    @cached_property
    def counts(self) -> np.ndarray:
        """Voxels whose class is certain, int64 ``(Z, classes + 1)``: column 0 background, then the classes.

        Background is certain where strokes say so, and on annotated slices where every class is finished.
        """
        found = np.zeros((self.shape[0], self.classes + 1), dtype=np.int64)
        if self.read_labels is None:
            return found
        labels = self.read_labels()
        told = set(self.annotated_slices) if len(self.finished) == self.classes else set()
        for number, plane in enumerate(labels):
            voxels = np.bincount(plane.ravel(), minlength=IGNORE + 1)
            found[number] = voxels[: self.classes + 1]
            found[number, 0] = voxels[CERTAIN_BACKGROUND] + (voxels[0] if number in told else 0)
        return found

    def completeness(self, labels: np.ndarray) -> dict[str, object]:
        """Return what a data list must say about this label array beside its file.

        Args:
            labels: the case's label array.

        Returns:
            "complete", "background", "ignore", "slices" and "segments", where they differ from a label map in
            which 0 means background.
        """
        said: dict[str, object] = {}
        if not self.complete:
            said["complete"] = False
        elif len(self.finished) < self.classes:
            said["segments"] = list(self.finished)
        if self.complete and self.slices is not None:
            said["slices"] = list(self.slices)
        if (labels == CERTAIN_BACKGROUND).any():
            said["background"] = CERTAIN_BACKGROUND
        if (labels == IGNORE).any():
            said["ignore"] = IGNORE
        return said


@dataclass
class TrainingSet:
    """All images of a scene and what they are used for.

    Attributes:
        classes: the class list, values 1, 2, 3, ...
        cases: one per image and per frame.
        conflicts: segments whose class only the user can tell; nothing is written while there are any.
        notes: what was found in the scene and cannot be used, in plain words.
    """

    classes: list[SegmentClass]
    cases: list[TrainingCase]
    conflicts: list[Conflict]
    notes: list[str]

    def used(self, *uses: Use) -> list[TrainingCase]:
        """Return the cases of these uses."""
        return [case for case in self.cases if case.use in uses]
