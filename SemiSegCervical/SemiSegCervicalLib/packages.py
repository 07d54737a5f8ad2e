"""Which Python packages SemiSeg computes with, and which of them are missing here. Nothing is imported to find out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata, util


@dataclass(frozen=True)
class Package:
    """One package and why it is needed. ``pyproject.toml`` asks for the same versions; a test compares them.

    Attributes:
        name: as pip knows it.
        module: as Python imports it.
        minimum: lowest version that works.
        purpose: for people who do not program.
        megabytes: download without what it needs in turn, on the platform where it is largest; 0 for what is never
            downloaded.
        with_slicer: Slicer brings it along, and the application itself uses it: it must not be replaced.
        title: as people know it, where that differs from the name.
    """

    name: str
    module: str
    minimum: str
    purpose: str
    megabytes: int = 0
    with_slicer: bool = False
    title: str = ""

    @property
    def label(self) -> str:
        """What it is called in texts."""
        return self.title or self.name

    @property
    def requirement(self) -> str:
        """What pip is asked for: ``monai>=1.4``."""
        return f"{self.name}>={self.minimum}"


@dataclass(frozen=True)
class Lack:
    """A package that is missing, or (with `installed`, its version) too old."""

    package: Package
    installed: str | None = None

    @property
    def text(self) -> str:
        """One line for the user."""
        if self.installed is None:
            return f"{self.package.label} {self.package.minimum} or newer"
        return f"{self.package.label} {self.package.minimum} or newer ({self.installed} is installed)"


TORCH = Package("torch", "torch", "2.6", "computes the networks", 200, title="PyTorch")
OPENVINO = Package("openvino", "openvino", "2025.0", "faster without a graphics card", 85, title="OpenVINO")
# What prediction needs, and so every worker process.
NEEDED = (
    TORCH,
    Package("monai", "monai", "1.4", "builds the networks", 2, title="MONAI"),
    Package("pydantic", "pydantic", "2.6", "checks models before use", 3),
    Package("safetensors", "safetensors", "0.4.5", "reads weights safely", 1),
    Package("numpy", "numpy", "1.26", "arrays", with_slicer=True),
    Package("scipy", "scipy", "1.11", "connected components", with_slicer=True),
    Package("SimpleITK", "SimpleITK", "2.3", "image files", with_slicer=True),
    Package("pillow", "PIL", "10", "pictures", with_slicer=True),
)
# What training needs besides.
TRAINING = (Package("lightning-fabric", "lightning_fabric", "2.4", "trains on one or several graphics cards", 1),)


def find_lacks(packages: Iterable[Package] = NEEDED) -> list[Lack]:
    """Return what is missing or too old, in the order given; takes less than a millisecond per package."""
    found = []
    for package in packages:
        version = installed_version(package.name)
        if not is_there(package.module) or (version is None and _is_unfinished(package)):
            found.append(Lack(package))
        elif version and release(version) < release(package.minimum):
            found.append(Lack(package, version))
    return found


def _is_unfinished(package: Package) -> bool:
    """Tell whether a package that is there without metadata was left by a pip that was ended: it writes them last.

    Some that Slicer builds itself have none, and others have those of a distribution of another name.
    """
    return not package.with_slicer and package.module not in metadata.packages_distributions()


def is_there(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    try:
        spec = util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: something put a module without a specification in its place
        return False
    # A folder that an interrupted removal left behind is a "namespace": it imports, and holds nothing.
    return spec is not None and spec.origin is not None


def installed_version(name: str) -> str | None:
    """Return a package's version; None where it has no metadata, as some that Slicer builds itself."""
    try:
        told = metadata.distribution(name).read_text("METADATA") or ""
    except metadata.PackageNotFoundError:
        return None
    # The whole description may follow, and a parser of mails takes 10 ms to read it; the version stands above it.
    found = re.search(r"^Version:\s*(\S+)", told, re.MULTILINE)
    return found.group(1) if found else None


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version for comparison: ``2.6.0+cu124`` gives (2, 6), as ``2.6`` does."""
    matched = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version.strip())
    numbers = [int(part) for part in matched.group(1).split(".")] if matched else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
