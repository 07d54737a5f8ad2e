"""The segmentations of a cine as ``.seq.mrb``: a scene of its own, packed, with a file of each frame and an index."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import slicer

from ..pieces import Shares
from .cine import copy_index, index_values
from .stored import copy_attributes, write_segmentation_in_pieces
from .unchanged import frame_at

_BUNDLE = "cine"
"""Folder and scene within a ``.seq.mrb``, whose own name may be changed by anybody."""


def write_bundle_in_pieces(sequence: Any, path: Path) -> Shares[None]:
    """Write a segmentation sequence.

    Args:
        sequence: with one item or more.
        path: the file; others are made beside it for a moment.

    Raises:
        SemiSegError: an item is removed meanwhile.
        OSError: it cannot be written.
    """
    scene = slicer.vtkMRMLScene()
    scene.SetSaveToXMLString(1)
    values = index_values(sequence)
    root = ElementTree.Element("MRML")
    with zipfile.ZipFile(path, "w") as bundle:
        for number, value in enumerate(values):
            item = frame_at(sequence, value)
            name = f"Data/frame_{number}.seg.nrrd"
            file = path.with_name(Path(name).name)
            for _ in write_segmentation_in_pieces(item, file):
                yield number / len(values)
            bundle.write(file, f"{_BUNDLE}/{name}")
            file.unlink()
            root.attrib, elements = _frame_elements(scene, item, number, name)
            root.extend(elements)
            yield number / len(values)
        root.append(_index_element(scene, sequence, values))
        bundle.writestr(f"{_BUNDLE}/{_BUNDLE}.mrml", ElementTree.tostring(root, "UTF-8", xml_declaration=True))


def _frame_elements(scene: Any, item: Any, number: int, file: str) -> tuple[dict[str, str], list[ElementTree.Element]]:
    """Return what a scene says of a frame's segmentation and its file, with ids by the frame's number.

    Args:
        scene: an empty one, in which it is for the moment.
        item: the segmentation.
        number: of the frame.
        file: its path in the bundle.

    Returns:
        The attributes of the scene itself, and the two elements.
    """
    node, storage = slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode()
    node.SetName(item.GetName())
    copy_attributes(item, node)
    storage.SetName(f"{item.GetName()} {number}")
    for each in (storage, node):
        scene.AddNode(each)
    node.SetAndObserveStorageNodeID(storage.GetID())
    text = _said_of(scene)
    ids = {each.GetID(): f"{each.GetClassName()}{number + 1}" for each in (node, storage)}
    elements = list(text)
    for element in elements:
        element.set("id", ids[element.get("id", "")])
        if element.tag == "Segmentation":
            element.set("references", f"storage:{ids[storage.GetID()]};")
        else:
            element.set("fileName", file)
    for each in (node, storage):
        scene.RemoveNode(each)
    return text.attrib, elements


def _index_element(scene: Any, sequence: Any, values: Sequence[str]) -> ElementTree.Element:
    """Return what a scene of frames says of their order: Slicer finds it by its tag."""
    index = slicer.vtkMRMLSequenceNode()
    index.SetSingletonTag("SequenceIndex")
    copy_index(sequence, index)
    scene.AddNode(index)
    (element,) = _said_of(scene)
    found = (f"vtkMRMLSegmentationNode{number}:{value}" for number, value in enumerate(values, start=1))
    element.set("indexValues", ";".join(found))
    return element


def _said_of(scene: Any) -> ElementTree.Element:
    scene.Commit()
    return ElementTree.fromstring(scene.GetSceneXMLString())
