"""Synthetic cases on disk: two blobs in speckle, as pictures with label maps and a datalist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from PIL import Image

SIZE = (32, 48)
LABELS = {"0": "background", "1": "bright", "2": "dark"}


def draw(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Draw one case.

    Returns:
        The picture and its label map, uint8 ``(Y, X)`` each; the map holds 0, 1 and 2.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size).reshape(2, 1, 1)
    labels = np.zeros(size, dtype=np.uint8)
    for value, centre in ((1, 0.28), (2, 0.72)):
        shift = rng.uniform(-0.08, 0.08, 2)
        labels[((y - 0.5 - shift[0]) / 0.3) ** 2 + ((x - centre - shift[1]) / 0.17) ** 2 < 1] = value
    picture = np.array([110, 200, 40])[labels] + rng.normal(0, 12, size)
    return picture.clip(0, 255).astype(np.uint8), labels


def write_case(folder: Path, name: str, seed: int, labelled: bool = True, **more: Any) -> dict[str, Any]:
    """Write one case into a folder and return its datalist entry, extended by `more`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, labels = draw(seed)
    Image.fromarray(picture).save(folder / f"{name}.png")
    entry: dict[str, Any] = {"image": f"{name}.png", **more}
    if labelled:
        Image.fromarray(labels).save(folder / f"{name}_label.png")
        entry["label"] = f"{name}_label.png"
    return entry


def write_pictures(folder: Path, size: tuple[int, int], labelled: int, unlabelled: int) -> Path:
    """Write pictures of a size, the first ones labelled, and return their datalist."""
    folder.mkdir(parents=True, exist_ok=True)
    lists: dict[str, list[dict[str, str]]] = {"training": [], "unlabeled": []}
    for number in range(labelled + unlabelled):
        picture, labels = draw(number, size)
        entry = {"image": f"{number}.png"}
        Image.fromarray(picture).save(folder / entry["image"])
        if number < labelled:
            entry["label"] = f"{number}_label.png"
            Image.fromarray(labels).save(folder / entry["label"])
        lists["training" if number < labelled else "unlabeled"].append(entry)
    return write_datalist(folder, {"modality": {"0": "image"}, "labels": LABELS, **lists})


def write_dataset(
    folder: Path, labelled: int = 3, unlabelled: int = 4, validation: int = 0, test: int = 2, **more: Any
) -> Path:
    """Write a whole data set and return its datalist; `more` replaces top keys."""
    counts = {"training": labelled, "unlabeled": unlabelled, "validation": validation, "test": test}
    lists = {
        name: [
            write_case(folder, f"{name}{i}", 100 * place + i, labelled=name != "unlabeled", spacing=[0.5, 0.25])
            for i in range(count)
        ]
        for place, (name, count) in enumerate(counts.items())
    }
    content = {"name": "blobs", "modality": {"0": "ultrasound"}, "labels": LABELS, **lists, **more}
    return write_datalist(folder, content)


def write_stacks(folder: Path, labelled: int = 2, unlabelled: int = 1, validation: int = 0, planes: int = 12) -> Path:
    """Write volumes of a few small pictures each, and return their datalist."""
    folder.mkdir(parents=True, exist_ok=True)
    lists: dict[str, list[dict[str, str]]] = {"training": [], "unlabeled": [], "validation": []}
    for place, (name, count) in enumerate(zip(lists, (labelled, unlabelled, validation), strict=True)):
        for i in range(count):
            drawn = [draw(1000 * place + 100 * i + plane, (16, 24)) for plane in range(planes)]
            entry = {"image": f"{name}{i}.nii.gz"} | (
                {} if name == "unlabeled" else {"label": f"{name}{i}_label.nii.gz"}
            )
            for file, maps in zip(entry.values(), zip(*drawn, strict=True), strict=False):
                sitk.WriteImage(sitk.GetImageFromArray(np.stack(maps)), str(folder / file))
            lists[name].append(entry)
    return write_datalist(folder, {"modality": {"0": "mr"}, "labels": LABELS, **lists})


def write_modalities(
    folder: Path,
    missing: dict[str, int] | None = None,
    names: tuple[str, ...] = ("flair", "t1post"),
    **counts: int,
) -> Path:
    """Write a data set of two modalities, the second an inverted copy in noise of its own; return its datalist.

    Args:
        folder: where to.
        missing: which modality a case lacks, by its id.
        names: of the modalities.
        counts: of `write_dataset`.
    """
    path = write_dataset(folder, **counts)
    content = json.loads(path.read_text())
    content["modality"] = {str(k): name for k, name in enumerate(names)}
    for entries in (content[key] for key in ("training", "unlabeled", "validation", "test")):
        for row, entry in enumerate(entries):
            name = Path(entry["image"]).stem
            picture = np.asarray(Image.open(folder / entry["image"])).astype(float)
            second = 230 - 0.8 * picture + np.random.default_rng(row).normal(0, 12, picture.shape)
            Image.fromarray(second.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_second.png")
            entry |= {"id": name, "image": [entry["image"], f"{name}_second.png"]}
            if name in (missing or {}):
                entry["image"][(missing or {})[name]] = None
    return write_datalist(folder, content)


def write_datalist(folder: Path, content: dict[str, Any]) -> Path:
    """Write a datalist into a folder and return its path."""
    path = folder / "datalist.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
