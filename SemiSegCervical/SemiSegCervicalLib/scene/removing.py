"""Take a result out of the scene, and leave views and segments as they were before its uncertainty was shown."""

from __future__ import annotations

from typing import Any

import vtk

from . import marks
from .cine import is_sequence
from .layers import let_go
from .records import Record, find_records


def remove_record(record: Record) -> None:
    """Take a result out of the scene with all that belongs to it; never the source, nor what the user drew.

    A segmentation that holds a segment of the user's own, on whatever frame, is left where it is.
    """
    if not record.exists:
        return
    # First: how everything looked before is kept in what goes.
    let_go(record)
    gone: list[Any] = [record.shown_uncertainty, record.uncertainty]
    if not holds_own_segments(record):
        gone += [record.shown_segmentation, record.segmentation]
    gone += [record.frames_table, record.table]
    browser = record.browser
    for node in gone:
        # Before its proxy goes, or the browser would make another.
        if browser is not None and is_sequence(node):
            browser.RemoveSynchronizedSequenceNode(node.GetID())
    for node in gone:
        remove_node(node)


def holds_own_segments(record: Record) -> bool:
    """Return whether the segmentation of a result holds a segment of the user's own, on whatever frame."""
    return any(_holds_own_segments(node) for node in (record.shown_segmentation, *_items(record.segmentation)))


def forget_results_of(segmentation: Any) -> None:
    """Remove what results say of a segmentation whose segments give way to others; the segmentation itself stays."""
    for record in find_records(segmentation.GetScene()):
        if record.segmentation is segmentation:
            let_go(record)
            record.table.SetNodeReferenceID(marks.SEGMENTATION_ROLE, None)
            remove_record(record)


def _items(segmentation: Any) -> list[Any]:
    """Return the frames of a segmentation sequence; none of another node."""
    count = segmentation.GetNumberOfDataNodes() if is_sequence(segmentation) else 0
    return [segmentation.GetNthDataNode(number) for number in range(count)]


def _holds_own_segments(segmentation: Any) -> bool:
    return segmentation is not None and any(
        marks.segment_tag(segment, marks.ORIGIN) is None for _, segment in marks.segments_of(segmentation)
    )


def remove_node(node: Any) -> None:
    """Remove a node, and its display and storage nodes with it, which would otherwise stay.

    Args:
        node: of any kind; None, and one that is in no scene (any more), is left alone.
    """
    scene = node.GetScene() if node is not None else None
    if scene is None:
        return
    helpers = vtk.vtkCollection()
    if node.IsA("vtkMRMLDisplayableNode"):
        for i in range(node.GetNumberOfDisplayNodes()):
            helpers.AddItem(node.GetNthDisplayNode(i))
    for i in range(node.GetNumberOfStorageNodes()):
        helpers.AddItem(node.GetNthStorageNode(i))
    scene.RemoveNode(node)
    for i in range(helpers.GetNumberOfItems()):
        scene.RemoveNode(helpers.GetItemAsObject(i))
