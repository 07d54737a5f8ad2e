"""CMake itself builds and installs what the flat layout of the other tests assumes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from house.flat import lay_out
from house.trees import ROOT, copy_modules

TOOLS = ("cmake", "cc", "c++", "make")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; on Debian: apt install cmake build-essential"
)
STAND_IN = Path(__file__).resolve().parent / "slicer_build"


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    command = [
        "cmake",
        "-G",
        "Unix Makefiles",
        "-S",
        str(source),
        "-B",
        str(build),
        f"-DSlicer_DIR={STAND_IN}",
    ]
    return subprocess.run([*command, "-DBUILD_TESTING=ON"], capture_output=True, text=True)


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of what CMake reads, with a model and a sample among the shared resources."""
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copyfile(ROOT / "CMakeLists.txt", folder / "CMakeLists.txt")
    copy_modules(folder)
    for name in ("models/test.semiseg", "samples/test/a.png"):
        (folder / "Resources" / name).parent.mkdir(parents=True)
        (folder / "Resources" / name).write_bytes(b"a")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_build_and_package_hold_the_flat_layout(source, tmp_path):
    build, package = tmp_path / "build", tmp_path / "package"
    done = configure(source, build)
    assert done.returncode == 0, done.stderr
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(package)], check=True, capture_output=True)
    lay_out(tmp_path / "flat", source)
    expected = tree(tmp_path / "flat")
    assert "Resources/models/test.semiseg" in expected
    modules = "lib/Slicer/qt-scripted-modules"
    assert tree(build / modules) == expected
    assert tree(package / modules) == expected


def test_the_module_file_in_the_list_is_enough_to_be_tested_by_slicer(source, tmp_path):
    module = source / "SemiSegCervical"
    (module / "SemiSegCervical.py").touch()
    cmake = (module / "CMakeLists.txt").read_text(encoding="utf-8")
    if "${MODULE_NAME}.py\n" not in cmake:
        cmake = cmake.replace("SCRIPTS\n", "SCRIPTS\n  ${MODULE_NAME}.py\n", 1)
    (module / "CMakeLists.txt").write_text(cmake, encoding="utf-8")
    done = configure(source, tmp_path / "build")
    assert done.returncode == 0, done.stderr
    assert "generic tests of SemiSegCervical\n" in done.stdout
    assert "unit test SCRIPT;SemiSegCervical.py\n" in done.stdout


def test_a_listed_file_that_does_not_exist_stops_cmake(source, tmp_path):
    (source / "SemiSegCervical" / "SemiSegCervicalLib" / "errors.py").unlink()
    done = configure(source, tmp_path / "build")
    assert done.returncode != 0
    assert "SemiSegCervicalLib/errors.py" in done.stderr
