"""What is missing is found without importing it, and asked for in the versions that pyproject.toml names."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from house.trees import ROOT
from SemiSegCervicalLib.packages import NEEDED, OPENVINO, TRAINING, Lack, Package, find_lacks, release
from SemiSegCervicalLib.pip_faults import read_fault
from SlicerRig import clocks

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
ALL = (*NEEDED, *TRAINING, OPENVINO)


def requirements(name: str) -> dict[str, str]:
    """Return name and lowest version of one list of pyproject.toml."""
    block = re.search(rf"^{name} = \[(.*?)\]", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert block is not None, f"pyproject.toml has no list {name}"
    return dict(re.findall(r'"([\w-]+)>=([\w.]+)"', block.group(1)))


def test_versions_are_those_of_pyproject():
    asked = {**requirements("dependencies"), **requirements("openvino")}
    assert {package.name: package.minimum for package in ALL} == {package.name: asked[package.name] for package in ALL}
    # What the command line alone uses is not asked for in Slicer, nor what Slicer brings for a part that does without.
    assert set(asked) - {package.name for package in ALL} == {"typer", "rich", "matplotlib", "jinja2", "highdicom"}


def test_every_package_that_the_engine_imports_is_asked_for():
    outside = set()
    for path in (ROOT / "SemiSegCervical" / "SemiSegCervicalLib" / "engine").rglob("*.py"):
        outside |= set(re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    third = outside - set(sys.stdlib_module_names) - {"SemiSegCervicalLib"}
    assert third <= {package.module for package in NEEDED}


@pytest.mark.torch
def test_nothing_lacks_here_and_nothing_is_imported_to_know():
    code = (
        "import sys\nfrom SemiSegCervicalLib.packages import NEEDED, find_lacks\n"
        "print(find_lacks(), sorted({p.module for p in NEEDED} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "SemiSegCervical", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] []"


def test_looking_is_quick():
    find_lacks()
    started = clocks.cpu_seconds()
    find_lacks()
    assert clocks.cpu_seconds() - started < 0.1


def put(site: Path, version: str | None) -> None:
    """Make a package as pip leaves it; without a version as Slicer leaves what it builds itself."""
    (site / "semiseg_tiny").mkdir()
    (site / "semiseg_tiny" / "__init__.py").touch()
    if version is not None:
        (site / f"semiseg_tiny-{version}.dist-info").mkdir()
        (site / f"semiseg_tiny-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: semiseg-tiny\nVersion: {version}\n"
        )


TINY = Package("semiseg-tiny", "semiseg_tiny", "1.4", "nothing")


@pytest.mark.parametrize("version", ["1.4", "1.4.0+cu124", "1.10", "2"])
def test_good_versions_lack_nothing(site, version):
    put(site, version)
    assert find_lacks([TINY]) == []


def test_what_an_interrupted_pip_left_behind_counts_as_missing(site):
    """Its files without its metadata: importing it fails, pip cannot remove it, and a button would not be offered."""
    put(site, None)
    assert find_lacks([TINY]) == [Lack(TINY)]
    assert find_lacks([replace(TINY, with_slicer=True)]) == []
    weekly = site / "semiseg_tiny_weekly-1.dist-info"
    weekly.mkdir()
    (weekly / "METADATA").write_text("Metadata-Version: 2.1\nName: semiseg-tiny-weekly\nVersion: 1\n")
    (weekly / "top_level.txt").write_text("semiseg_tiny\n")
    assert find_lacks([TINY]) == []


def test_missing_and_old_packages_are_told_apart(site):
    assert find_lacks([TINY])[0].text == "semiseg-tiny 1.4 or newer"
    put(site, "1.3.9")
    assert find_lacks([TINY]) == [Lack(TINY, "1.3.9")]
    assert find_lacks([TINY])[0].text == "semiseg-tiny 1.4 or newer (1.3.9 is installed)"


def test_the_remains_of_a_removed_package_count_as_missing(site):
    (site / "semiseg_tiny" / "left_over").mkdir(parents=True)
    assert find_lacks([TINY]) == [Lack(TINY)]


def test_a_module_held_back_counts_as_missing(site, monkeypatch):
    put(site, "1.4")
    monkeypatch.setitem(sys.modules, "semiseg_tiny", None)
    assert find_lacks([TINY]) == [Lack(TINY)]


def test_versions_compare_as_numbers():
    assert release("2.10.1rc1") > release("2.9") > release("2.6.0+cu124") == release("v2.6")
    assert release("unknown") == (0,)


@pytest.mark.parametrize(
    ("output", "kind", "package"),
    [
        ("Collecting monai\nERROR: Could not find a version that satisfies the requirement monai>=1.4\n"
         "ERROR: No matching distribution found for monai>=1.4", "no-build", "monai"),
        ("Collecting pydantic\nWARNING: Retrying, connection broken by 'NewConnectionError(...)': /simple/pydantic/\n"
         "ERROR: No matching distribution found for pydantic>=2.6", "network", "pydantic"),
        ("Collecting torch>=2.6\nInstalling collected packages\nERROR: Could not install packages due to an OSError: "
         "[Errno 28] No space left on device", "disk", "torch"),
        ("Collecting torch>=2.6\nInstalling collected packages\nERROR: Could not install packages due to an OSError: "
         "[WinError 112] Es steht nicht genug Speicherplatz auf dem Datenträger zur Verfügung", "disk", "torch"),
        ("ERROR: Could not install packages due to an OSError: [WinError 206] The filename or extension is too long: "
         r"'C:\\Slicer\\lib\\Python\\Lib\\site-packages\\torch\\include'", "long-path", "torch"),
        ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: "
         r"'c:\\slicer\\site-packages\\numpy\\core.pyd'", "in-use", "numpy"),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x/site-packages/monai'",
         "permission", "monai"),
        ("ERROR: Cannot install monai==1.6 and torch==2.6 because these package versions have conflicting "
         "dependencies.\nERROR: ResolutionImpossible", "conflict", "monai"),
        ("WARNING: Retrying after connection broken by 'ReadTimeoutError(...)': /simple/torch/\nCollecting torch>=2.6\n"
         "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x/site-packages/torch'",
         "permission", "torch"),
        ("something odd", "other", ""),
        ("", "other", ""),
    ],
)  # fmt: skip
def test_faults_are_read_with_their_package(output, kind, package):
    fault = read_fault(output)
    assert (fault.kind, fault.package) == (kind, package)
    assert fault.line
