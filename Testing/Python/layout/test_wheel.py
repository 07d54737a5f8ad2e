"""Both libraries install with pip: the wheel holds every listed library file and the models, and no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from house.lists import RESOURCES, SCRIPTS, listed
from house.trees import MODULES, ROOT, copy_modules

pytestmark = pytest.mark.torch  # setuptools is in the lock that has torch, which asks for it
PIP = [sys.executable, "-m", "pip"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of the repository as it stands."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    copy_modules(source)
    shutil.copytree(ROOT / "Resources" / "models", source / "Resources" / "models")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(source), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(source.glob("semiseg-*.whl"))


def test_wheel_holds_both_libraries_and_the_models(wheel):
    expected = set()
    for module in MODULES:
        text = (ROOT / module / "CMakeLists.txt").read_text(encoding="utf-8")
        files = listed(text, SCRIPTS, module) + listed(text, RESOURCES, module)
        expected |= {name for name in files if name.startswith(f"{module}Lib/")}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    base = wheel.name.split("-py3")[0]
    assert {name for name in names if not name.startswith(base)} == expected
    models = {name.rpartition("/")[2] for name in names if name.startswith(f"{base}.data/data/share/semiseg/models/")}
    assert models == {path.name for path in (ROOT / "Resources" / "models").iterdir()}
    assert "cervix.semiseg" in models
    assert f"{base}.dist-info/licenses/LICENSE" in names


def test_models_of_an_installed_wheel_are_found(wheel, tmp_path, monkeypatch):
    prefix = tmp_path / "installed"
    command = [*PIP, "install", "--no-deps", "--no-index", "--no-compile", "--prefix", str(prefix), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    packages = next(prefix.rglob("SemiSegCervicalLib")).parent
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path / "of the user"))
    code = f"import sys; sys.path.insert(0, {str(packages)!r})\n"
    code += "from SemiSegCervicalLib.packs import find_packs\nprint(find_packs()['cervix'])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == prefix / "share" / "semiseg" / "models" / "cervix.semiseg"
