"""The shipped cervix images as a training set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parents[2] / "Resources" / "samples"


def cervix_set(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write a datalist of the shipped cervix images, which stay where they are.

    Returns:
        The datalist, and its content.
    """
    place = SAMPLES / "cervix"
    entries = [{"image": str(path)} for path in sorted(place.glob("*.jpg"))]
    about = json.loads((place / "samples.json").read_text(encoding="utf-8"))
    labels = {str(place / f"{name}.jpg"): str(place / f"{name}_label.png") for name in about["labelled"]}
    content = {
        "name": "cervix",
        "modality": {"0": about["modality"]},
        "labels": {"0": "background", **about["labels"]},
        "training": [{**entry, "label": labels[entry["image"]]} for entry in entries if entry["image"] in labels],
        "unlabeled": [entry for entry in entries if entry["image"] not in labels],
    }
    path = folder / "datalist.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path, content
