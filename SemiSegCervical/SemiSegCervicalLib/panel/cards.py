"""What models say of themselves, read at once and without the worker, for a list that is there when the panel opens.

The worker checks a model thoroughly when it is added and whenever it is loaded; here is only refused what could not
be shown. Standard library only: the process of Slicer has neither pydantic nor torch.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import SemiSegError
from ..packs import signature
from ..scene.classes import SegmentClass
from ..worker.protocol import Failure, ModelCard
from ..worker.validation import build

MANIFEST = "model.json"
_MANIFEST_LIMIT = 4 * 2**20
_FORMAT = 1


def read_card(path: Path) -> ModelCard:
    """Return what a pack says of itself; one that cannot be read is described by its `failure`."""
    read = signature(path)
    try:
        found = json.loads(_manifest(path))
        version = found.get("format_version", _FORMAT)
        if isinstance(version, int) and version > _FORMAT:
            return _failed(
                path, "newer-pack", f"{path.name} was written by a newer version of SemiSeg", "Update SemiSeg"
            )
        return _card(path, _printable(found), read)
    except FileNotFoundError:
        return _failed(path, "missing-file", f"There is no model at {path}", "Choose another model")
    except Exception as error:  # what a decoder raises on a damaged file is not its contract
        return _failed(path, "corrupt-pack", f"{path.name} is not a usable model: {error}", "Copy or train it again")


def classes_of(card: ModelCard) -> tuple[SegmentClass, ...]:
    """Return the classes of a model as the scene knows them."""
    return tuple(
        SegmentClass(c.value, c.name, (c.color[0], c.color[1], c.color[2]), c.terminology) for c in card.classes
    )


def failure_of(card: ModelCard) -> SemiSegError | None:
    """Return why a model cannot be used; None for a good one."""
    fault = card.failure
    return None if fault is None else SemiSegError(fault.code, fault.cause, fault.remedy, fault.stage)


def _manifest(path: Path) -> bytes:
    if path.is_dir():
        file = path / MANIFEST
        if file.is_symlink() or file.stat().st_size > _MANIFEST_LIMIT:
            raise ValueError(f"{MANIFEST} is no plain file of a bounded size")
        return file.read_bytes()
    with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as member:
        data = member.read(_MANIFEST_LIMIT + 1)
    if len(data) > _MANIFEST_LIMIT:
        raise ValueError(f"{MANIFEST} is too large")
    return data


def _card(path: Path, found: dict[str, Any], read: str) -> ModelCard:
    spec, branches = found["input"], found["branches"]
    card = build(
        ModelCard,
        {
            "path": str(path),
            "name": found["name"],
            "description": found.get("description", ""),
            "spatial_dims": spec.get("spatial_dims", 2),
            "sampling": spec.get("sampling", "fit"),
            "size": spec["size"],
            "spacing": spec.get("spacing"),
            "modalities": spec["modalities"],
            "classes": [{"terminology": "", **entry} for entry in found["classes"]],
            "branches": len(branches),
            "reads": [branch["modalities"] for branch in branches],
            "calibrated_on": found.get("calibration", {}).get("fitted_on", ""),
            "quality": found.get("quality", []),
            "licence": found.get("licence", ""),
            "attribution": found.get("attribution", ""),
            "signature": read,
        },
    )
    colors = [value for entry in card.classes for value in entry.color]
    if not card.classes or any(len(c.color) != 3 for c in card.classes) or not all(0 <= v <= 1 for v in colors):
        raise ValueError("its classes have no proper colours")
    if [c.value for c in card.classes] != list(range(1, len(card.classes) + 1)):
        raise ValueError("its classes are not numbered 1, 2, 3")
    if not card.modalities or card.spatial_dims not in (2, 3):
        raise ValueError("it reads no images")
    return replace(card, name=card.name or path.name)


def _failed(path: Path, code: str, cause: str, remedy: str) -> ModelCard:
    return ModelCard(str(path), name=path.name, failure=Failure(code, "loading", cause, remedy))


def _printable(value: Any) -> Any:
    """Return JSON without control characters: these texts come from strangers."""
    if isinstance(value, str):
        return "".join(c for c in value if c.isprintable() or c == "\n")
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return value
