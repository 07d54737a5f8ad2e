"""Both libraries install with pip: the wheel holds every listed library file, and no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest
from house.lists import RESOURCES, SCRIPTS, listed
from house.trees import MODULES, ROOT

pytestmark = pytest.mark.torch  # setuptools is in the lock that has torch, which asks for it


def test_wheel_holds_both_libraries(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    expected = set()
    for module in MODULES:
        shutil.copytree(ROOT / module, source / module, ignore=shutil.ignore_patterns("__pycache__"))
        text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
        files = listed(text, SCRIPTS, module) + listed(text, RESOURCES, module)
        expected |= {name for name in files if name.startswith(f"{module}Lib/")}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(tmp_path), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("semiseg-*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    assert names == expected
    assert len(licences) == 1
