"""Data sets as nnU-Net keeps them: files that are numbered by channel, and folders in place of lists.

Version 2 of its ``dataset.json`` names no case (nnU-Net, documentation/dataset_format.md): cases are the files in
``imagesTr`` (``CASE_0000.nii.gz``, a number for each channel), their label maps lie in ``labelsTr``. Version 1 lists
them without the number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_IGNORE = "ignore"


def is_nnunet(raw: dict[str, Any]) -> bool:
    """Say whether a JSON object is a ``dataset.json`` of nnU-Net's version 2."""
    return {"channel_names", "file_ending"} <= raw.keys()


def as_datalist(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Turn a ``dataset.json`` of version 2 into a datalist, by what lies in the folders beside it.

    Images in ``imagesTr`` without a label map are unlabelled cases; ``imagesTs`` holds the test cases.

    Raises:
        ValueError: labels that are several values at once, which here need one each; or no image at all.
    """
    labels = raw["labels"]
    several = next((name for name, value in labels.items() if not isinstance(value, int)), None)
    if several is not None:
        raise ValueError(f"its label {several!r} stands for {labels[several]!r}; here a label has one value")
    ending, channels = str(raw["file_ending"]), sorted(map(int, raw["channel_names"]))
    lists: dict[str, list[dict[str, Any]]] = {"training": [], "unlabeled": [], "test": []}
    for images, maps, known, other in (("imagesTr", "labelsTr", "training", "unlabeled"),
                                       ("imagesTs", "labelsTs", "test", "test")):  # fmt: skip
        found = (path.name.removesuffix(ending) for path in (folder / images).glob(f"[!.]*{ending}"))
        for case in sorted({name[:-5] for name in found if name[-5:-4] == "_" and name[-4:].isdecimal()}):
            entry: dict[str, Any] = {"id": case, "image": numbered(folder / images / f"{case}{ending}", channels)}
            if (folder / maps / f"{case}{ending}").is_file():
                entry["label"] = f"{maps}/{case}{ending}"
                if _IGNORE in labels:
                    entry["ignore"] = labels[_IGNORE]
            lists[known if "label" in entry else other].append(entry)
    if not lists["training"]:
        raise ValueError(f"it is one of nnU-Net, and no image in imagesTr (CASE_0000{ending}) has its label map in "
                         f"labelsTr (CASE{ending})")  # fmt: skip
    named = {str(value): name for name, value in labels.items() if name != _IGNORE}
    return {"modality": raw["channel_names"], "labels": named, **lists}


def numbered(path: Path, channels: list[int]) -> list[str | None] | None:
    """Return the files of a case's channels, None for one that is not there.

    Args:
        path: the case, without a number.
        channels: their numbers.

    Returns:
        None where no channel has a file.
    """
    ending = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    stem = path.name.removesuffix(ending)
    files = [path.with_name(f"{stem}_{number:04d}{ending}") for number in channels]
    return [str(file) if file.is_file() else None for file in files] if any(f.is_file() for f in files) else None
