"""Classes, members and methods of VTK and MRML that the modules name, also where no test comes, are in the real one."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator

import pytest
from house.trees import LIBRARIES, MODULES, dotted, python_files

MODULES_OF_VTK = ("slicer", "vtk", "vtkITK")
# In their words VTK's methods begin, and hardly any other's.
METHOD = re.compile(r"(Add|Copy|Create|Get|Has|Is|New|Remove|Set|Update)[A-Z]\w+")
# These hold no nodes: they read headers by SimpleITK, or speak to Windows.
ELSEWHERE = tuple(f"{library}.{room}" for library in LIBRARIES for room in ("engine", "learning", "cli", "worker"))


@functools.cache
def classes() -> dict[str, type]:
    from SlicerRig import mrml

    mrml.start()
    modules = map(importlib.import_module, MODULES_OF_VTK)
    return {name: getattr(module, name) for module in modules for name in dir(module) if name.startswith("vtk")}


@functools.cache
def members() -> set[str]:
    return {name for found in classes().values() for name in dir(found)}


def chain(node: ast.AST) -> list[str]:
    """Return the names of ``slicer.vtkMRMLScene.New``; none for what does not begin with a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def unknown(source: str, methods: bool = True) -> Iterator[str]:
    """Return the names of VTK's in a file's text that VTK does not have, each with its line.

    Args:
        source: the text.
        methods: also those of methods, whatever they are called on.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"vtk[A-Z]\w+", node.value) and node.value not in classes():
                yield f"line {node.lineno}: {node.value}"
        elif isinstance(node, ast.Attribute):
            parts = chain(node)
            if len(parts) > 1 and parts[0] in MODULES_OF_VTK and parts[1].startswith("vtk"):
                found = importlib.import_module(parts[0])
                for part in parts[1:]:
                    if not hasattr(found, part):
                        yield f"line {node.lineno}: {'.'.join(parts)}"
                        break
                    found = getattr(found, part)
            elif methods and METHOD.fullmatch(node.attr) and node.attr not in members():
                yield f"line {node.lineno}: {node.attr}"


@pytest.mark.parametrize("module", MODULES)
def test_what_is_named_is_there(module: str) -> None:
    found = [
        f"{name}, {fault}"
        for path in python_files(module)
        for name in [dotted(path, module)]
        for fault in unknown(path.read_text(encoding="utf-8"), not name.startswith(ELSEWHERE))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "slicer.vtkMRMLVolumeNod()", "vtk.vtkMRMLScene", "slicer.vtkITKArchetypeImageSeriesScalarReader()",
        "slicer.vtkSlicerSegmentationsModuleLogic.Finished", "scene.AddNewNodeByClass('vtkMRMLTabelNode')",
        "node.GetSpacings()", "self.node.GetDisplayNode().SetVisibillity2D(True)", "vtk.vtkMatrix4x4.Inverted(a, b)",
    ],
)  # fmt: skip
def test_what_is_not_there_is_found(line: str) -> None:
    assert len(list(unknown(line))) == 1


def test_what_is_there_is_not_found() -> None:
    good = "a = slicer.vtkMRMLScene().GetNodesByClass('vtkMRMLScalarVolumeNode')\nvtkITK.vtkITKImageWriter()\n"
    assert list(unknown(good + "slicer.util.arrayFromVolume(node)\nslicer.mrmlScene.AddNode(x)\n")) == []
