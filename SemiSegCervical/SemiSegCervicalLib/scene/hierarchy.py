"""Where results lie in Slicer's subject hierarchy: with the patient and study of their image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import slicer

DICOM_PATIENT = "dicom-patient-"
"""What the name of a patient begins with whom DICOM names: it is the same in whatever scene."""


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
    folder = folder_of(image)
    if folder is None:
        return
    hierarchy = _hierarchy_of(image)
    top = (0, hierarchy.GetSceneItemID())
    for node in (node for node in nodes if node is not None):
        item = hierarchy.GetItemByDataNode(node)
        if not item:  # the application makes one, a script's scene may have none
            hierarchy.CreateItem(folder, node)
        elif hierarchy.GetItemParent(item) in top:
            hierarchy.SetItemParent(item, folder)


def folder_of(node: Any) -> int | None:
    """Return the item of the study or folder that a node of a scene lies in, None at the top level."""
    hierarchy = _hierarchy_of(node)
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    parent = hierarchy.GetItemParent(item) if item else 0
    return None if hierarchy is None or parent in (0, hierarchy.GetSceneItemID()) else int(parent)


def patient_of(nodes: Iterable[Any]) -> str | None:
    """Return an anonymous name for the patient that the subject hierarchy puts one of the nodes under.

    A scene that is added to another brings its patients along, also those that are there already: what DICOM calls them
    tells that they are the same.

    Args:
        nodes: of one image; None is left out.

    Returns:
        The same for all images of a patient, of DICOM in whatever scene; None where no patient is known.
    """
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient()
    for node in (node for node in nodes if node is not None and node.GetScene() is not None):
        hierarchy = _hierarchy_of(node)
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        patient = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
        if patient:
            known = hierarchy.GetItemUID(patient, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName())
            if known:
                return DICOM_PATIENT + hashlib.sha256(known.encode()).hexdigest()[:12]
            return f"patient-{patient}"
    return None


def _hierarchy_of(node: Any) -> Any:
    """Return the scene's hierarchy, None without: asked for by its own function it would be made."""
    return node.GetScene().GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
