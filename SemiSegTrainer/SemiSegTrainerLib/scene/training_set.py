"""The training set: what each image of a scene is used for, and why. Arrays are read on demand."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from SemiSegCervicalLib.pieces import Pieces, whole
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.geometry import Calibration

from .annotation import CERTAIN_BACKGROUND, IGNORE
from .classes import Conflict
from .memory import Memory
from .slabs import slabs_of

Use = Literal["labelled", "partly", "unlabelled", "left out"]
Side = Literal["training", "validation"]
LabelReader = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class _Counted:
    """What was counted of a label array: see `TrainingCase._values` and `TrainingCase.painted_across`."""

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


_COUNTED: Memory[_Counted] = Memory()


@dataclass(frozen=True, eq=False)
class CaseImage:
    """One image of a case; voxels are read on demand.

    Attributes:
        key: what the voxels belong to: equal keys are one file.
        read: returns the planes from the first to before the last, ``(planes, Y, X)``, numbers as they are
            stored, float32 where colour became grey.
        stamp: another value after any change of the voxels; None where that is not known.
        file: the file on disk that holds just these voxels, for an image that is not in the scene.
        costly: reading takes long, and is not done only to look at it.
    """

    key: str
    read: Callable[[int, int], np.ndarray] = field(repr=False)
    stamp: Hashable = field(default=None, repr=False)
    file: Path | None = None
    costly: bool = False


@dataclass(frozen=True)
class Past:
    """What earlier trainings did with the planes (first array axis) of a case.

    Attributes:
        learned: were learned from.
        validated: were only measured with.
    """

    learned: frozenset[int] = frozenset()
    validated: frozenset[int] = frozenset()

    def __or__(self, other: Past) -> Past:
        learned = self.learned | other.learned
        return Past(learned, (self.validated | other.validated) - learned)


@dataclass(eq=False)
class TrainingCase:
    """One image, or one frame of a cine.

    Attributes:
        id: unique in the scene, the same each time the scene is read.
        name: for people.
        group: patient, else sequence or volume; never split between training and validation.
        grouped: False for a file of which nobody said whose it is.
        use: "labelled" (every outline of every class is finished), "partly", "unlabelled" or "left out".
        reason: why, in plain words.
        finished: values of the classes whose outline is finished; an unpainted voxel may still be any other
            class.
        complete: False where what is not painted has not been looked at (scribbles).
        slices: planes (first array axis) on which `finished` holds; None for the whole image.
        background: the label value of strokes that mean "certainly background", None where there are none.
        ignore: the label value of voxels nobody knows about.
        by_model: a model drew what counts of it first; how much of that was corrected is not known.
        spacing: mm, ``(y, x)`` or ``(z, y, x)``; None where the image is uncalibrated.
        calibrated: "yes", "no", or "unknown" where the voxel size may be a stand-in (`geometry.calibration`).
        affine: IJK-to-RAS, float64 ``(4, 4)``.
        shape: ``(Z, Y, X)``.
        sequence: name of the cine, and `frame` its index value; None for other images.
        volume: id of the volume node; None for a frame of a sequence.
        segmentation: id of the segmentation (of a frame: of the segmentation sequence) that counts, else of the
            only one (of a frame: the first one) that could; None without any.
        stack: id of the cine, or of the volume whose slices are frames; None for other images.
        side: where the user put the case; None leaves it to `split.propose_split`.
        past: what earlier trainings did with it.
        source: "scene"; "folder" for files and "other scene" for a saved scene that the user added.
        label_file: the file on disk that holds just this label array; None where it has to be written.
        classes: number of classes in the whole set.
        label_stamp: another value after any change of the label array; None where that is not known.
        images: one per modality of the set, all on one grid; None where the case lacks it.
        read_labels: reads planes of the label array from the scene, ``(planes, Y, X)``, from the first to before
            the last; None where nothing counts.
    """

    id: str
    name: str
    group: str
    use: Use
    reason: str
    spacing: tuple[float, ...] | None
    affine: np.ndarray
    shape: tuple[int, int, int]
    images: tuple[CaseImage | None, ...]
    read_labels: LabelReader | None = field(default=None, repr=False)
    finished: tuple[int, ...] = ()
    complete: bool = True
    slices: tuple[int, ...] | None = None
    background: int | None = None
    ignore: int = IGNORE
    by_model: bool = False
    sequence: str | None = None
    frame: str | None = None
    volume: str | None = None
    segmentation: str | None = None
    stack: str | None = None
    side: Side | None = None
    past: Past = field(default_factory=Past)
    grouped: bool = True
    calibrated: Calibration = "yes"
    source: Literal["scene", "folder", "other scene"] = "scene"
    label_file: Path | None = None
    classes: int = 0
    label_stamp: Hashable = field(default=None, repr=False)

    @property
    def present(self) -> tuple[CaseImage, ...]:
        """The images that the case has."""
        return tuple(image for image in self.images if image is not None)

    @property
    def image(self) -> np.ndarray:
        """Intensities, float32 ``(M, Y, X)`` or ``(M, Z, Y, X)`` of `present`, read anew each time."""
        voxels = np.stack([image.read(0, self.shape[0]) for image in self.present]).astype(np.float32)
        return voxels[:, 0] if self.shape[0] == 1 else voxels

    @property
    def labels(self) -> np.ndarray | None:
        """Label array, uint8 ``(Y, X)`` or ``(Z, Y, X)``, read anew each time; None without annotation."""
        if self.read_labels is None:
            return None
        labels = self.read_labels(0, self.shape[0])
        return labels[0] if self.shape[0] == 1 else labels

    @property
    def annotated(self) -> float:
        """Share of the annotation that exists, 0 to 1.

        The mean over the classes of the share of voxels that are known to belong to the class or not to; 1
        for a finished image, a half and a little more where one of two classes is finished.
        """
        if self.read_labels is None or self.classes == 0:
            return 0.0
        size = self.shape[1] * self.shape[2]
        painted = self._values[:, 1:-1].sum(axis=1)
        done = set(self.annotated_slices)
        known = 0
        for number, paint in enumerate(painted):
            finished = len(self.finished) if number in done else 0
            known += finished * (size - int(self.unknown[number])) + (self.classes - finished) * int(paint)
        return known / (self.classes * size * self.shape[0])

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
        found = self._values[:, : self.classes + 1].astype(np.int64)
        told = np.zeros(len(found), dtype=bool)
        if len(self.finished) == self.classes:
            told[list(self.annotated_slices)] = True
        found[:, 0] = np.where(told, found[:, 0], 0) + self._values[:, -2]
        return found

    @property
    def painted(self) -> np.ndarray:
        """Whether there is any paint on each slice, bool ``(Z,)``."""
        return np.asarray(self._values[:, 1:].any(axis=1))

    @property
    def unknown(self) -> np.ndarray:
        """Painted voxels on each slice that do not count, int32 ``(Z,)``: flagged, or claimed by two segments."""
        column: np.ndarray = self._values[:, -1]
        return column

    @property
    def painted_across(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether there is any paint of a class on each row and on each column, bool ``(Y,)`` and ``(X,)``."""
        return self._counted.rows, self._counted.columns

    @property
    def _values(self) -> np.ndarray:
        """Voxels on each slice, int32 ``(Z, classes + 3)``: not painted, each class, background strokes, unknown."""
        return self._counted.values

    @cached_property
    def _counted(self) -> _Counted:
        return whole(self._counted_in_pieces())

    def _counted_in_pieces(self) -> Pieces[_Counted]:
        kept = [*range(self.classes + 1), CERTAIN_BACKGROUND, IGNORE]
        rows, columns = (np.zeros(n, dtype=bool) for n in self.shape[1:])
        found = _Counted(np.zeros((self.shape[0], len(kept)), dtype=np.int32), rows, columns)
        if self.read_labels is None:
            return found
        key = (self.label_stamp, self.classes)
        known = _COUNTED.get(key) if self.label_stamp is not None else None
        if known is not None:
            return known
        for first, last in slabs_of(self.shape):
            for number, plane in enumerate(self.read_labels(first, last), start=first):
                found.values[number] = np.bincount(plane.ravel(), minlength=IGNORE + 1)[kept]
                if found.values[number, 1 : self.classes + 1].any():
                    of_class = (plane > 0) & (plane <= self.classes)
                    rows |= of_class.any(axis=1)
                    columns |= of_class.any(axis=0)
            yield
        return _COUNTED.put(key, found) if self.label_stamp is not None else found

    def count_in_pieces(self) -> Pieces[None]:
        """Count the label voxels a few milliseconds at a time; `counts` and `annotated` then cost nothing."""
        if "_counted" not in self.__dict__:
            self.__dict__["_counted"] = yield from self._counted_in_pieces()

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
        modalities: names of the modalities, one for each of a case's images; empty where nobody said one.
    """

    classes: list[SegmentClass]
    cases: list[TrainingCase]
    conflicts: list[Conflict]
    notes: list[str]
    modalities: tuple[str, ...] = ("",)

    @property
    def outside(self) -> dict[str, str]:
        """Names of the cases that lie on disk, by id."""
        return {case.id: case.name for case in self.cases if case.source != "scene"}

    def used(self, *uses: Use) -> list[TrainingCase]:
        """Return the cases of these uses."""
        return [case for case in self.cases if case.use in uses]
