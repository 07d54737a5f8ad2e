"""What a person chose to segment: a volume, a cine, or a stack whose slices are frames."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import SemiSegError
from . import marks
from .cine import browser_of, browser_of_proxy, frame_item, source_sequence
from .geometry import Calibration, array_spacing, calibration, ijk_to_ras, in_world
from .hierarchy import patient_of
from .reading import grid, is_color, voxels_of
from .records import Record

_STAGE = "reading"


@dataclass(frozen=True)
class Source:
    """One image of the scene as a job needs it; nothing is copied.

    Attributes:
        node: what holds the voxels: a volume, or for a cine its image sequence.
        shown: the node in the views: the volume, or the one that shows the cine's current frame (None without).
        kind: "volume", "cine", or "stack" for a volume whose slices are frames.
        size: of one image in array order: ``(Z, Y, X)`` of a volume, ``(Y, X)`` of a frame.
        frames: how many frames; 1 for a volume.
        rgb: whether its voxels are colours.
        spacing: voxel size in mm in the order of `size`, whether or not it can be believed.
        calibrated: whether it can.
        browser: what browses the cine, the one of the chosen node where there are several; None for anything else.
    """

    node: Any
    shown: Any
    kind: Literal["volume", "cine", "stack"]
    size: tuple[int, ...]
    frames: int
    rgb: bool
    spacing: tuple[float, ...]
    calibrated: Calibration
    browser: Any = None

    @property
    def first(self) -> Any:
        """A volume node with the geometry of the image, of the first frame for a cine."""
        return self.node.GetNthDataNode(0) if self.kind == "cine" else self.node

    @property
    def affine(self) -> np.ndarray:
        """IJK-to-RAS matrix, float64 ``(4, 4)``; of the first frame for a cine."""
        return ijk_to_ras(self.first)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Size, position and orientation as they are now; of the first frame for a cine.

        Raises:
            SemiSegError: it holds no image any more.
        """
        return (*grid(self.first), *self.affine.ravel().tolist())

    def check_geometry(self, before: tuple[Any, ...]) -> None:
        """Make sure that the image lies where it did: it can be cropped or moved while it is segmented.

        Args:
            before: its `geometry` when it was read.

        Raises:
            SemiSegError: it does not.
        """
        if self.geometry != before:
            raise self.changed("given another size or place")

    def changed(self, how: str) -> SemiSegError:
        """Return the error that the image is not any more what was read; `how` says what was done to it."""
        return SemiSegError(
            "image-changed", f'"{self.node.GetName()}" was {how} while it was segmented', "Press Apply again", _STAGE
        )

    def spacing_of(self, number: int) -> tuple[float, ...]:
        """Return the spacing of one frame, mm in the order of `size`: those of a cine need not be alike."""
        return array_spacing(frame_item(self.node, number))[1:] if self.kind == "cine" else self.spacing

    def traits(self, number: int) -> tuple[Any, ...]:
        """Return what one frame shares with those that can be sent along with it: type of its voxels and spacing."""
        if self.kind != "cine":
            return ()
        kind = frame_item(self.node, number).GetImageData().GetScalarType()
        return kind, *(f"{value:.4g}" for value in self.spacing_of(number))

    def voxels(self, number: int = 0) -> np.ndarray:
        """Return a view of the voxels: of the volume, or of one frame, ``size`` and a last axis for colour.

        Raises:
            SemiSegError: no such frame.
        """
        if self.kind == "cine":
            return voxels_of(frame_item(self.node, number))[0]
        voxels = voxels_of(self.node)
        if self.kind == "stack":
            return voxels[number]
        return voxels[0] if len(self.size) == 2 else voxels


def source_of(node: Any, slices_as_frames: bool = False) -> Source:
    """Find out what a person means by a node: choosing the shown volume of a cine means the cine.

    Args:
        node: a volume, the shown volume of a cine, an image sequence or a sequence browser.
        slices_as_frames: a volume of several slices is meant as a stack of frames.

    Raises:
        SemiSegError: nothing that can be segmented.
    """
    if node is None:
        raise SemiSegError("no-input", "No image is chosen", "Choose a volume or a cine", _STAGE)
    if node.IsA("vtkMRMLSequenceNode") or node.IsA("vtkMRMLSequenceBrowserNode") or browser_of_proxy(node) is not None:
        sequence = source_sequence(node)
        browser = node if node.IsA("vtkMRMLSequenceBrowserNode") else browser_of_proxy(node) or browser_of(sequence)
        shown = browser.GetProxyNode(sequence) if browser is not None else None
        return _describe(sequence, shown, "cine", sequence.GetNthDataNode(0), sequence, browser)
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise _unfit(node, "is no image")
    if node.GetAttribute(marks.CONTENT) is not None:
        raise _unfit(node, "is a result, not an image")
    stack = slices_as_frames and grid(node)[0] > 1
    return _describe(node, node, "stack" if stack else "volume", node, None)


def source_of_record(record: Record) -> Source | None:
    """Return the image of a result; None where it is gone, or no longer what it was."""
    if record.source is None:
        return None
    try:
        # Of a cine the node that is shown: it tells which browser is meant.
        return source_of(record.shown_source or record.source, slices_as_frames=record.frames_table is not None)
    except SemiSegError:
        return None


def current_frame(source: Source) -> int | None:
    """Return the number of the frame that a cine's browser shows; None where there is none."""
    browser = source.browser
    master = browser.GetMasterSequenceNode() if browser is not None else None
    number = browser.GetSelectedItemNumber() if browser is not None else -1
    if master is None or not 0 <= number < master.GetNumberOfDataNodes():
        return None
    found = source.node.GetItemNumberFromIndexValue(master.GetNthIndexValue(number), True)
    return found if found >= 0 else None


def check_frames(source: Source) -> Generator[None, None, None]:
    """Look at every frame of a cine, one with each step: a damaged one would be found out in the middle of a job.

    Raises:
        SemiSegError: a frame without an image, or of another size or kind than the first.
    """
    if source.kind != "cine":
        return
    for number in range(source.frames):
        item = source.node.GetNthDataNode(number)
        same = item is not None and item.IsA("vtkMRMLScalarVolumeNode") and item.GetImageData() is not None
        if not same or grid(item) != (1, *source.size) or is_color(item) != source.rgb:
            raise SemiSegError(
                "bad-frame",
                f'Frame {number + 1} of "{source.node.GetName()}" is damaged or of another size than the first',
                "Remove it in the module Sequences",
                _STAGE,
            )
        yield


def check_together(sources: Sequence[Source]) -> None:
    """Make sure that the modalities of one case are several images on one grid.

    Raises:
        SemiSegError: they do not.
    """
    first = sources[0]
    for number, other in enumerate(sources[1:], start=1):
        if any(other.node is before.node for before in sources[:number]):
            raise SemiSegError(
                "same-image", f'"{other.node.GetName()}" is chosen more than once',
                "Choose another image for each, and leave out what there is not", _STAGE,
            )  # fmt: skip
        patients = {patient_of([source.shown]) for source in (first, other)} - {None}
        if len(patients) > 1:
            raise SemiSegError(
                "different-patients",
                f'"{other.node.GetName()}" and "{first.node.GetName()}" are of different patients',
                "Choose the images of one patient",
                _STAGE,
            )
        if (other.kind, other.size, other.frames) != (first.kind, first.size, first.frames) or not np.allclose(
            other.affine, first.affine, atol=1e-3
        ):
            raise SemiSegError(
                "different-grids",
                f'"{other.node.GetName()}" and "{first.node.GetName()}" lie on different grids',
                "Bring one onto the other's in the module Resample Scalar/Vector/DWI Volume",
                _STAGE,
            )
        if not _moved_alike(first, other):
            raise SemiSegError(
                "different-transforms",
                f'"{other.node.GetName()}" and "{first.node.GetName()}" lie under different transforms, '
                "which a model does not see",
                "Harden the transform (module Transforms) and resample (Resample Scalar/Vector/DWI Volume)",
                _STAGE,
            )
        if other.rgb != first.rgb:
            raise _unfit(other.node, f'is {"" if other.rgb else "not "}in colour, other than "{first.node.GetName()}"')


def _moved_alike(first: Source, other: Source) -> bool:
    """Return whether the parent transforms of two images on one grid leave them on top of each other."""
    parents = [source.shown.GetParentTransformNode() if source.shown is not None else None for source in (first, other)]
    if parents[0] is parents[1]:
        return True
    if not all(parent is None or parent.IsTransformToWorldLinear() for parent in parents):
        return False
    z, y, x = grid(first.first)
    corners = [(first.affine @ [i, j, k, 1])[:3].tolist() for i in (0, x) for j in (0, y) for k in (0, z)]
    here, there = (
        [in_world(source.shown, corner) if parent is not None else corner for corner in corners]
        for source, parent in zip((first, other), parents, strict=True)
    )
    return np.allclose(here, there, atol=1e-3)


def _describe(node: Any, shown: Any, kind: Any, volume: Any, sequence: Any, browser: Any = None) -> Source:
    z, y, x = grid(volume)
    components = volume.GetImageData().GetNumberOfScalarComponents()
    if components not in (1, 3, 4):
        raise _unfit(node, f"has {components} values in each voxel")
    if kind == "cine" and z > 1:
        remedy = "To segment the volume that is shown now, clone it in the module Data and choose the copy"
        raise _unfit(node, "is a sequence of volumes", remedy)
    flat = kind != "volume" or z == 1
    return Source(
        node=node,
        shown=shown,
        kind=kind,
        size=(y, x) if flat else (z, y, x),
        frames={"cine": sequence.GetNumberOfDataNodes() if sequence else 1, "stack": z}.get(kind, 1),
        rgb=components > 1,
        spacing=array_spacing(volume)[1 if flat else 0 :],
        calibrated=calibration(volume, sequence),
        browser=browser,
    )


def _unfit(node: Any, why: str, remedy: str = "Choose another volume or a cine") -> SemiSegError:
    return SemiSegError("unfit-input", f'"{node.GetName()}" {why}', remedy, _STAGE)
