"""Where results lie in Slicer's subject hierarchy: with the patient and study of their image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def put_beside(image: Any, nodes: Iterable[Any]) -> None:
    """Put nodes into the study or folder that an image lies in, as the Segment Editor does with new segmentations.

    DICOM export needs it, and of two patients it tells whose result is whose.

    Args:
        image: a node that is shown in the hierarchy: a volume, of a cine the one that shows it. At the top level, or
            None, nothing happens.
        nodes: of any kind; None is left out, and what somebody has put into a folder stays there.
    """
    if image is None or image.GetScene() is None:
        return
    # Asked for by its own function it would be made; the application always has one.
    hierarchy = image.GetScene().GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    if hierarchy is None:
        return
    top = (0, hierarchy.GetSceneItemID())
    own = hierarchy.GetItemByDataNode(image)
    parent = hierarchy.GetItemParent(own) if own else 0
    if parent in top:
        return
    for node in (node for node in nodes if node is not None):
        item = hierarchy.GetItemByDataNode(node)
        if not item:  # the application makes one, a script's scene may have none
            hierarchy.CreateItem(parent, node)
        elif hierarchy.GetItemParent(item) in top:
            hierarchy.SetItemParent(item, parent)
