"""Laid out flat from the CMake lists alone, as in an installed Slicer, both modules still work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house.flat import lay_out
from house.lists import SCRIPTS, listed
from house.trees import LIBRARIES, MODULES, ROOT, Graph, copy_modules
from SlicerRig import application

GRAPH = Graph.of_repository()
HEAVY = {"torch", "monai", "lightning_fabric", "safetensors", "openvino", "einops"}
SLICER = {"slicer", "vtk", "qt", "ctk"}
# A file that no list names is the list test's to report.
LISTED = {
    name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for module in MODULES
    for name in listed((ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8"), SCRIPTS, module)
    if name.startswith(LIBRARIES)
}
OUTSIDE = {name: GRAPH.outside(name) for name in sorted(LISTED & set(GRAPH.sources))}
LIGHT = [name for name, outside in OUTSIDE.items() if not outside & (HEAVY | SLICER)]
COMPUTING = [name for name, outside in OUTSIDE.items() if outside & HEAVY and not outside & SLICER]
# The panels want the application; the modules' own tests below import them.
SCENE = [
    name
    for name, outside in OUTSIDE.items()
    if outside & SLICER and not outside & {"qt", "ctk"} and ".panel" not in name
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    lay_out(folder)
    return folder


def alone(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that sees no environment variable and only this folder added."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, timeout=300)


def import_all(names: list[str]) -> str:
    return "import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in names)


def test_torch_free_modules_import_and_bring_no_torch(flat):
    assert "SemiSegCervicalLib.errors" in LIGHT
    code = import_all(LIGHT) + f"print(sorted({HEAVY | SLICER!r} & set(sys.modules)))"
    done = alone(flat, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "[]", "the syntax trees promised that these stay torch-free"


def test_scene_modules_import_on_real_mrml_and_bring_no_torch(flat):
    assert any(name.startswith("SemiSegCervicalLib.scene") for name in SCENE)
    done = alone(flat, import_all(SCENE) + f"print(sorted({HEAVY!r} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.torch
def test_computing_modules_import(flat):
    assert any(name.startswith("SemiSegCervicalLib.engine") for name in COMPUTING)
    done = alone(flat, import_all(COMPUTING) + "print(sys.modules['SemiSegCervicalLib'].__file__)")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(flat), "the flat copy was to be imported"


MODULE_TESTS = """
from pathlib import Path
sys.path.append({testing!r})
from SlicerRig import application
application.start()
ours = sorted(name for name in ("torch", "monai") if name in sys.modules)
assert ours == [], ours
for name in {modules!r}:
    application.open_module(name, Path({flat!r}) / (name + ".py"))
    getattr(sys.modules[name], name + "Test")().runTest()
    application.close_module(name)
assert application.slot_errors() == [], application.slot_errors()
libraries = [m for n, m in sys.modules.items() if n.startswith({modules!r}) and m.__file__]
strangers = [m.__file__ for m in libraries if not Path(m.__file__).is_relative_to({flat!r})]
assert len(libraries) > 20 and strangers == [], strangers
assert not {heavy!r} & set(sys.modules), "the panels' process must not import what computes"
print("both pass")
"""


@pytest.mark.torch
def test_both_modules_open_there_and_pass_their_tests_with_the_real_worker(flat, monkeypatch, tmp_path):
    if reason := application.why_not():
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))  # only what ships is there
    code = MODULE_TESTS.format(testing=str(ROOT / "Testing"), modules=MODULES, flat=str(flat), heavy=HEAVY)
    done = alone(flat, code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both pass" in done.stdout


def test_packs_are_found_beside_the_flat_modules(tmp_path, monkeypatch):
    folder = tmp_path / "qt-scripted-modules"
    lay_out(folder)
    (folder / "Resources" / "models").mkdir(parents=True, exist_ok=True)
    (folder / "Resources" / "models" / "here.semiseg").write_bytes(b"")
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path / "of the user"))
    done = alone(folder, "from SemiSegCervicalLib.packs import find_packs\nprint(find_packs()['here'])")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == folder / "Resources" / "models" / "here.semiseg"


def test_a_file_missing_from_the_lists_is_missing_there(tmp_path):
    copy = tmp_path / "source"
    copy_modules(copy)
    cmake = copy / "SemiSegCervical" / "CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("  SemiSegCervicalLib/errors.py\n", ""))
    lay_out(tmp_path / "flat", copy)
    done = alone(tmp_path / "flat", "import SemiSegCervicalLib.errors")
    assert done.returncode != 0
    assert "No module named 'SemiSegCervicalLib.errors'" in done.stderr


def test_two_files_for_one_place_are_refused(tmp_path):
    copy = tmp_path / "source"
    for name in ("SemiSegCervical", "SemiSegTrainer"):
        (copy / name / "Resources").mkdir(parents=True)
        (copy / name / "Resources" / "icon.png").write_bytes(b"")
        (copy / name / "CMakeLists.txt").write_text(
            "set(MODULE_PYTHON_SCRIPTS)\nset(MODULE_PYTHON_RESOURCES Resources/icon.png)\n"
        )
    with pytest.raises(ValueError, match=r"both install to icon\.png"):
        lay_out(tmp_path / "flat", copy)


def test_shared_resources_lie_beside_the_modules(flat):
    for name in ("models", "samples"):
        here = {path.relative_to(ROOT) for path in (ROOT / "Resources" / name).rglob("*") if path.is_file()}
        there = {path.relative_to(flat) for path in (flat / "Resources" / name).rglob("*") if path.is_file()}
        assert here == there
