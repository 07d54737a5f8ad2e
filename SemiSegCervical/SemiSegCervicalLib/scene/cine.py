"""Cine: which sequence is meant, and its frames by index value, without ever browsing."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..errors import SemiSegError
from . import marks
from .nodes import nodes_of


def browsers_of(sequence: Any) -> list[Any]:
    """Return the browsers that show a sequence, in the scene's order."""
    return [browser for browser in _browsers_beside(sequence) if browser.IsSynchronizedSequenceNode(sequence, True)]


def browser_of(sequence: Any) -> Any:
    """Return the first browser that shows a sequence, None where there is none."""
    return next(iter(browsers_of(sequence)), None)


def browser_of_proxy(node: Any) -> Any:
    """Return the browser whose current frame a node shows, None for an ordinary node."""
    return next((browser for browser in _browsers_beside(node) if browser.IsProxyNodeID(node.GetID())), None)


def _browsers_beside(node: Any) -> list[Any]:
    # The Sequences module has functions for this, which know nothing of another scene than the open one.
    return nodes_of(node.GetScene() or slicer.mrmlScene, "vtkMRMLSequenceBrowserNode")


def sequences_of(browser: Any) -> list[Any]:
    """Return the sequences of a browser, the master first."""
    found = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(found, True)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]


def index_values(sequence: Any) -> list[str]:
    """Return the index values of a sequence in item order."""
    return [sequence.GetNthIndexValue(i) for i in range(sequence.GetNumberOfDataNodes())]


def copy_index(source: Any, target: Any) -> None:
    """Give a sequence the index of another one: its name and unit, and which of its values are told apart."""
    target.SetIndexName(source.GetIndexName())
    target.SetIndexUnit(source.GetIndexUnit())
    target.SetIndexType(source.GetIndexType())
    target.SetNumericIndexValueTolerance(source.GetNumericIndexValueTolerance())


def item_at(sequence: Any, index_value: str) -> Any:
    """Return the item at exactly this index value, None where there is none."""
    number = sequence.GetItemNumberFromIndexValue(index_value, True)
    return sequence.GetNthDataNode(number) if number >= 0 else None


def is_sequence(node: Any) -> bool:
    """Return whether a node is a sequence; None is none."""
    return node is not None and bool(node.IsA("vtkMRMLSequenceNode"))


def is_image_sequence(sequence: Any) -> bool:
    """Return whether a sequence holds images to segment: volumes, neither label maps nor our results, nor what another
    module keeps hidden, as the screenshots of Slicer's scene views."""
    first = sequence.GetNthDataNode(0) if sequence.GetNumberOfDataNodes() else None
    return (
        first is not None
        and first.IsA("vtkMRMLScalarVolumeNode")
        and not first.IsA("vtkMRMLLabelMapVolumeNode")
        and sequence.GetAttribute(marks.CONTENT) is None
        and not sequence.GetHideFromEditors()
    )


def source_sequence(node: Any) -> Any:
    """Return the image sequence behind a browser, a sequence, or the volume that shows its current frame.

    Raises:
        SemiSegError: there is none.
    """
    if node is not None and node.IsA("vtkMRMLSequenceNode"):
        found = [node]
    elif node is not None and node.IsA("vtkMRMLSequenceBrowserNode"):
        found = sequences_of(node)
    else:
        browser = browser_of_proxy(node) if node is not None else None
        found = [browser.GetSequenceNode(node)] if browser is not None else []
    images = [sequence for sequence in found if is_image_sequence(sequence)]
    if not images:
        raise SemiSegError(
            "no-cine",
            f'"{node.GetName() if node is not None else ""}" is no sequence of images',
            "Choose a sequence browser that holds a cine",
            "reading",
        )
    return images[0]


def frame_item(sequence: Any, number: int) -> Any:
    """Return the volume node of one frame.

    Raises:
        SemiSegError: the sequence has no such frame.
    """
    if not 0 <= number < sequence.GetNumberOfDataNodes():
        raise SemiSegError(
            "no-frame",
            f'"{sequence.GetName()}" has no frame {number}',
            f"Choose frames from 0 to {sequence.GetNumberOfDataNodes() - 1}",
            "reading",
        )
    return sequence.GetNthDataNode(number)
