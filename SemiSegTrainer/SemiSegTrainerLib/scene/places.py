"""Where in the scene a case of the training set lies: a frame of a cine, a slice of a volume, or a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.cine import browsers_of, sequences_of
from SemiSegCervicalLib.scene.navigation import shown_volumes
from SemiSegCervicalLib.scene.reading import grid


@dataclass(frozen=True)
class Place:
    """One frame of a cine, one slice of a volume, or a picture.

    Attributes:
        node: the image sequence or volume.
        number: of the frame or slice (along the last axis, k), from 0; 0 for a picture.
    """

    node: Any
    number: int

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame of a cine."""
        return bool(self.node.IsA("vtkMRMLSequenceNode"))

    @property
    def is_picture(self) -> bool:
        """Whether it is an image of one slice."""
        return not self.is_frame and grid(self.node)[0] == 1

    @property
    def index_value(self) -> str:
        """The index value of a frame."""
        return str(self.node.GetNthIndexValue(self.number))

    @property
    def volume(self) -> Any:
        """The volume node with its voxels; of a frame the sequence's item."""
        return self.node.GetNthDataNode(self.number) if self.is_frame else self.node

    @property
    def browser(self) -> Any:
        """What browses a frame's cine: of several one that shows outlines, too, for those of another would be of
        another frame; rather one that the views show. None without any, and for a volume."""
        seen = shown_volumes(self.node.GetScene())
        return max(
            browsers_of(self.node) if self.is_frame else (),
            key=lambda browser: (_holds_outlines(browser), browser.GetProxyNode(self.node) in seen),
            default=None,
        )

    @property
    def shown(self) -> Any:
        """What views show: the volume, or the one with the cine's current frame; None without a browser."""
        if not self.is_frame:
            return self.node
        browser = self.browser
        return browser.GetProxyNode(self.node) if browser is not None else None

    @property
    def title(self) -> str:
        """What people call it."""
        name = self.node.GetName()
        if self.is_picture:
            return str(name)
        return f"{name}, {'frame' if self.is_frame else 'slice'} {self.number + 1}"


def _holds_outlines(browser: Any) -> bool:
    first = [sequence.GetNthDataNode(0) for sequence in sequences_of(browser) if sequence.GetNumberOfDataNodes()]
    return any(item.IsA("vtkMRMLSegmentationNode") for item in first)


def name_of(scene: Any, case: str, number: int | None, outside: Mapping[str, str]) -> str:
    """Return what people call a case, or a slice of it, wherever it lies.

    Args:
        scene: ``vtkMRMLScene``.
        case: its id.
        number: slice of a volume; None for a frame or picture.
        outside: names of the cases on disk by id; see `TrainingSet.outside`.

    Returns:
        The name; the id of what is not there any more.
    """
    if case in outside:
        return outside[case] + ("" if number is None else f", slice {number + 1}")
    try:
        return find_place(scene, case, number).title
    except SemiSegError:
        return case


def find_place(scene: Any, case: str, number: int | None) -> Place:
    """Find what a case of the training set is.

    Args:
        scene: ``vtkMRMLScene``.
        case: id of the case (`training_set.TrainingCase.id`).
        number: slice of a volume; None for a frame or picture.

    Raises:
        SemiSegError: it is not in the scene, or not any more.
    """
    node_id, _, rest = case.partition(":")
    node = scene.GetNodeByID(node_id)
    found = -1
    if node is not None and node.IsA("vtkMRMLSequenceNode"):
        found = node.GetItemNumberFromIndexValue(rest, True)
    elif node is not None and node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
        found = int(rest) if rest.isdecimal() else (number or 0)
        found = found if found < grid(node)[0] else -1
    if found < 0:
        raise SemiSegError(
            "gone", "This image is not in the scene, or not any more",
            "Choose another one, or ask again: the scene has changed since", "scene",
        )  # fmt: skip
    return Place(node, found)
