"""Attributes of the nodes that cases are about, and of a node of the module's own for what is about no other node."""

from __future__ import annotations

import json
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.cine import is_image_sequence
from SemiSegCervicalLib.scene.nodes import nodes_of

_HOLDER = "SemiSegTrainerChoices"
_OUTSIDE = ("file:", "scene:")


def is_outside(case_id: str) -> bool:
    """Return whether a case lies on disk, so that no node of the scene stands for it."""
    return case_id.startswith(_OUTSIDE)


def node_of(case_id: str) -> tuple[Any, str | None]:
    """Return the node behind the id of a case, and the index value of its frame.

    Args:
        case_id: of a `training_set.TrainingCase` of the open scene, or of a whole cine.

    Raises:
        SemiSegError: the image is not in the scene any more.
    """
    node_id, colon, frame = case_id.partition(":")
    node = slicer.mrmlScene.GetNodeByID(node_id)
    if node is None or not (node.IsA("vtkMRMLScalarVolumeNode") or is_image_sequence(node)):
        raise SemiSegError("gone", "The image is not in the scene any more", "Choose another one", "scene")
    return node, frame if colon else None


def holders(scene: Any = None) -> list[Any]:
    """Return the nodes that hold what is about no other node, by default in the open scene.

    An imported scene may bring a second one.
    """
    found = nodes_of(scene or slicer.mrmlScene, "vtkMRMLScriptedModuleNode")
    return [node for node in found if node.GetAttribute("ModuleName") == _HOLDER]


def hold(name: str, value: str | None) -> None:
    """Set an attribute of one of these nodes of the open scene, which is made where there is none, and remove it from
    the others."""
    found = holders()
    if value is not None and not found:
        found = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", _HOLDER)]
        found[0].SetAttribute("ModuleName", _HOLDER)
    for number, holder in enumerate(found):
        set_attribute(holder, name, value if number == 0 else None)


def read_json(text: str | None, kind: type) -> Any:
    """Return what an attribute holds, empty where it is not what was written there."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        found = None
    return found if type(found) is kind else kind()


def set_attribute(node: Any, name: str, value: str | None) -> None:
    """Set an attribute of a node; None removes it."""
    if value is None:
        node.RemoveAttribute(name)
    else:
        node.SetAttribute(name, value)
