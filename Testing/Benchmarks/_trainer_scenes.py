"""Scenes made of the expanded data sets, partly annotated, and the same data as files without a scene between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

# Of each volume every so many slices are annotated.
EVERY = 8
# Volumes of each kind.
VOLUMES = 4
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COLOUR = (1.0, 0.62, 0.26)


@dataclass
class Made:
    """A scene that was made of files.

    Attributes:
        sources: image and, where annotated, label map of each case: by name of its cine and frame, or by node id.
        test: a datalist with the test cases.
    """

    test: Path
    sources: dict[tuple[str, str] | str, tuple[Path, Path | None]] = field(default_factory=dict)


def carotid_scene(data: Path, folder: Path, tests: int | None) -> Made:
    """Make a cine of each training video, with all its frames; of those in the list "training" (2 of each video) the
    reference is drawn and accepted.

    Args:
        data: the expanded data sets.
        folder: for files of our own.
        tests: how many test cases are kept, evenly chosen; None for all.
    """
    from SemiSegTrainerLib.scene.marks import accept_frame
    from SlicerRig import scenes

    place = data / "carotid"
    content = json.loads((place / "datalist.json").read_text())
    made = Made(_test_list(content, place, folder, tests))
    classes = _classes(content)
    videos: dict[str, list[dict[str, Any]]] = {}
    for entry in content["training"] + content["unlabeled"]:
        videos.setdefault(entry["sequence"], []).append(entry)
    for video, entries in sorted(videos.items()):
        entries.sort(key=lambda entry: entry["frame"])
        pictures = [_read(place / entry["image"]) for entry in entries]
        values = [str(entry["frame"]) for entry in entries]
        cine, browser = scenes.add_cine(pictures, video, index_values=values)
        drawn = scenes.add_drawn_sequence(cine, browser, f"{video} drawn")
        for entry, value in zip(entries, values, strict=True):
            label = place / entry["label"] if "label" in entry else None
            made.sources[video, value] = place / entry["image"], label
            if label is not None:
                scenes.draw_frame(drawn, cine, value, _read(label), classes)
                accept_frame(drawn, value)
    return made


def atrium_scene(data: Path, folder: Path, tests: int | None) -> Made:
    """Make volumes at half resolution; of the first `VOLUMES` every 8th slice is annotated, of the others nothing.

    Args:
        data: the expanded data sets.
        folder: for the files of half resolution.
        tests: how many test cases are kept, evenly chosen, at their full resolution; None for all.
    """
    from SemiSegTrainerLib.scene.marks import set_annotated_slices
    from SlicerRig import scenes

    place = data / "la"
    content = json.loads((place / "datalist.json").read_text())
    made = Made(_test_list(content, place, folder, tests))
    entries = content["training"][:VOLUMES] + content["unlabeled"][:VOLUMES]
    for number, entry in enumerate(entries):
        image = sitk.BinShrink(_placed(place / entry["image"], entry["spacing"]), [2, 2, 2])
        name = Path(entry["image"]).stem
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
        volume = scenes.add_volume(sitk.GetArrayFromImage(image), name, _affine(image))
        made.sources[volume.GetID()] = folder / f"{name}.nrrd", None
        if number < VOLUMES:
            whole = _placed(place / entry["label"], entry["spacing"])
            label = sitk.Resample(whole, image, sitk.Transform(), sitk.sitkNearestNeighbor)
            array = sitk.GetArrayFromImage(label)
            slices = list(range(EVERY // 2, len(array), EVERY))
            painted = np.zeros_like(array)
            painted[slices] = array[slices]
            _write(folder / f"{name}_label.nrrd", painted, image)
            made.sources[volume.GetID()] = folder / f"{name}.nrrd", folder / f"{name}_label.nrrd"
            segmentation = scenes.add_segmentation(volume, painted, _classes(content), name=f"{name} drawn")
            set_annotated_slices(segmentation, slices)
    return made


def twin(datalist: Path, made: Made, folder: Path) -> Path:
    """Write what the panel wrote of the scene as a datalist of the files that the scene was made of.

    Lists, order, groups and what is held out stay; every image and label map is read from its original.

    Args:
        datalist: of the panel's run.
        made: the scene.
        folder: for the datalist.
    """
    content = json.loads(datalist.read_text())
    for entry in (e for name in ("training", "unlabeled", "validation") for e in content[name]):
        key = (entry["sequence"], entry["frame"]) if "sequence" in entry else entry["id"]
        image, label = made.sources[key]
        entry["image"] = str(image)
        if "label" in entry:
            assert label is not None, f"{key} is annotated in the scene only"
            entry["label"] = str(_only(label, entry.get("slices"), folder))
    path = folder / "datalist.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _only(label: Path, slices: Sequence[int] | None, folder: Path) -> Path:
    """Return a label map with these slices only; what was drawn elsewhere is on the other side of the split."""
    if slices is None:
        return label
    image = sitk.ReadImage(str(label))
    array = sitk.GetArrayFromImage(image)
    left = [k for k in range(len(array)) if k not in set(slices)]
    if not array[left].any():
        return label
    array[left] = 0
    path = folder / f"{label.stem}_{'_'.join(map(str, slices))}.nrrd"
    _write(path, array, image)
    return path


def _test_list(content: dict[str, Any], place: Path, folder: Path, tests: int | None) -> Path:
    entries = content["test"][:: max(1, len(content["test"]) // tests)][:tests] if tests else content["test"]
    entries = [{**e, "image": str(place / e["image"]), "label": str(place / e["label"])} for e in entries]
    path = folder / "test.json"
    path.write_text(json.dumps({**content, "training": [], "unlabeled": [], "validation": [], "test": entries}))
    return path


def _classes(content: dict[str, Any]) -> list[Any]:
    from SemiSegCervicalLib.scene.classes import SegmentClass

    return [SegmentClass(int(value), name, _COLOUR) for value, name in content["labels"].items() if int(value)]


def _read(path: Path) -> np.ndarray:
    array: np.ndarray = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array


def _placed(path: Path, spacing: Sequence[float]) -> Any:
    """Read a volume with the voxel size (z, y, x) that its datalist tells."""
    image = sitk.ReadImage(str(path))
    image.SetSpacing(tuple(reversed(spacing)))
    return image


def _write(path: Path, array: np.ndarray, like: Any) -> None:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(like)
    sitk.WriteImage(image, str(path), useCompression=True)


def _affine(image: Any) -> np.ndarray:
    """Return the IJK-to-RAS matrix of an image."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return _LPS_TO_RAS @ matrix
