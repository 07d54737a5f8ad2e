"""A training set as files: images, label maps, and the data list that training reads."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.overlay import image_data

from .nrrd import write_nrrd
from .training_set import TrainingCase, TrainingSet


def write_datalist(
    training_set: TrainingSet,
    folder: str | Path,
    validation: Collection[str] = (),
    test: Collection[str] = (),
    name: str = "scene",
) -> Path:
    """Write images, label maps and ``datalist.json`` into a new folder; all of them or nothing.

    Labelled and partly labelled cases go to the list "training", the unlabelled ones to "unlabeled"; what is
    left out is not written. 8-bit grey pictures become PNG, everything else NRRD with its geometry.

    Args:
        training_set: from `collect.collect_training_set`, its uses perhaps changed by the user.
        folder: to be made; an empty one may exist.
        validation: ids of the annotated cases that go to the list "validation" instead.
        test: ids of those that go to "test".
        name: of the data set.

    Returns:
        The path of ``datalist.json``.

    Raises:
        SemiSegError: open conflicts, nothing to learn from, a group on both sides of the split, the folder is
            in use, or it cannot be written.
    """
    folder = Path(folder)
    _check(training_set, folder, set(validation), set(test))
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key in ("training", "unlabeled", "validation", "test")}
    try:
        (partial / "images").mkdir(parents=True)
        (partial / "labels").mkdir()
        for number, case in enumerate(training_set.used("labelled", "partly", "unlabelled"), start=1):
            stem = f"{number:04d}_{_plain(case.name)}"
            if case.id in test:
                key = "test"
            elif case.id in validation:
                key = "validation"
            else:
                key = "unlabeled" if case.use == "unlabelled" else "training"
            lists[key].append(_write_case(case, partial, stem))
        content = {
            "name": name,
            "modality": {"0": "ultrasound"},
            "labels": {"0": "background", **{str(c.value): c.name for c in training_set.classes}},
            "segments": {
                str(c.value): {"name": c.name, "color": list(c.color), "terminology": c.terminology}
                for c in training_set.classes
            },
            **lists,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (partial / "datalist.json").write_text(text + "\n", encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise SemiSegError(
            "cannot-write",
            f'The training data could not be written to "{folder}" ({error.strerror or error})',
            "Check that the folder may be written to and that the disk is not full",
            "scene",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / "datalist.json"


def _check(training_set: TrainingSet, folder: Path, validation: set[str], test: set[str]) -> None:
    if training_set.conflicts:
        raise SemiSegError(
            "ambiguous-classes",
            "It is not clear which class some segments are: "
            + "; ".join(conflict.question for conflict in training_set.conflicts),
            "Answer for each of them",
            "scene",
        )
    annotated = training_set.used("labelled", "partly")
    if not any(case.id not in validation | test for case in annotated):
        raise SemiSegError(
            "no-labelled-case",
            "No image of the scene has an annotation that counts for training",
            "Outline a segment and set its status to completed, or accept a frame",
            "scene",
        )
    sides = {
        case.id: "test" if case.id in test else "validation" if case.id in validation else "training"
        for case in training_set.used("labelled", "partly", "unlabelled")
    }
    known: dict[str, str] = {}
    for case in training_set.used("labelled", "partly", "unlabelled"):
        if known.setdefault(case.group, sides[case.id]) != sides[case.id]:
            raise SemiSegError(
                "split-group",
                f'"{case.name}" and another image of its patient or sequence are on both sides of the split',
                "Put all of them on one side, or leave the others out",
                "scene",
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SemiSegError(
            "file-exists", f'"{folder}" is in use already', "Choose another folder, or empty it", "scene"
        )


def _write_case(case: TrainingCase, folder: Path, stem: str) -> dict[str, Any]:
    image = case.read_image()
    voxels = image.array[0].reshape(case.shape)
    whole = case.shape[0] == 1 and bool(((voxels >= 0) & (voxels <= 255) & (voxels == np.rint(voxels))).all())
    if whole:
        name = f"images/{stem}.png"
        _write_png(folder / name, voxels[0].astype(np.uint8))
    else:
        name = f"images/{stem}.nrrd"
        write_nrrd(folder / name, voxels, case.affine)
    entry: dict[str, Any] = {
        "image": name,
        "id": case.id,
        "group": case.group,
        "spacing": list(case.spacing) if case.spacing is not None else None,
    }
    if case.sequence is not None:
        entry |= {"sequence": case.sequence, "frame": case.frame}
    if case.use != "unlabelled" and case.read_labels is not None:
        labels = case.read_labels()
        entry["label"] = f"labels/{stem}_label.{'png' if whole else 'nrrd'}"
        if whole:
            _write_png(folder / entry["label"], labels[0])
        else:
            write_nrrd(folder / entry["label"], labels, case.affine)
        entry |= case.completeness(labels)
    return entry


def _write_png(path: Path, picture: np.ndarray) -> None:
    """Write a grey picture, uint8 ``(Y, X)``, first row on top."""
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image_data(picture[None, ::-1]))  # VTK counts rows from the bottom
    writer.Write()
    if writer.GetErrorCode():
        raise OSError(f"PNG could not be written to {path}")


def _plain(name: str) -> str:
    """Return a name that every file system takes."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", ascii_name).strip("-")[:40] or "case"
