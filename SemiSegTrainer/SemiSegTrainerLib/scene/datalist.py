"""A training set as files: images, label maps, and the data list that training reads."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from SemiSegCervicalLib.atomic import move
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import PICTURES, ending
from SemiSegCervicalLib.pieces import Pieces, whole

from .annotation import CERTAIN_BACKGROUND, IGNORE
from .files import stored_type, write_nrrd_in_pieces, write_png_in_pieces
from .slabs import slabs_of
from .split import Split, check_split
from .training_set import TrainingCase, TrainingSet

Entry = dict[str, Any]
_SPECIAL = (CERTAIN_BACKGROUND, IGNORE)


def write_datalist(
    training_set: TrainingSet, folder: str | Path, split: Split | None = None, name: str = "scene"
) -> Path:
    """Do what `datalist_steps` does, at once."""
    return whole(datalist_steps(training_set, folder, split, name))


def datalist_steps(
    training_set: TrainingSet,
    folder: str | Path,
    split: Split | None = None,
    name: str = "scene",
    to_learn: bool = True,
) -> Pieces[Path]:
    """Write images, label maps and ``datalist.json`` into a new folder in small pieces; all of them or nothing.

    Annotated cases go to the list "training" or "validation", the others to "unlabeled"; what is left out or
    dropped by the split is not written. A volume of which slices validate is in two lists, its image one file:
    its training entry lists as "held_out" the slices of which no voxel may be trained on, and neither of its label
    maps holds paint of the other side. 8-bit grey pictures become PNG, everything else NRRD with its geometry.

    Args:
        training_set: from `collect.collect_training_set`, its uses perhaps changed by the user.
        folder: to be made; an empty one may exist.
        split: what validates; by default everything trains.
        name: of the data set.
        to_learn: it is trained on, so that something has to be there to learn from.

    Returns:
        The path of ``datalist.json``.

    Raises:
        SemiSegError: open conflicts, nothing to learn from, a voxel that validates would be trained on, the folder is
            in use, or it cannot be written.
    """
    folder = Path(folder)
    if split is not None:
        check_split(training_set, split)
    _check(training_set, folder, split, to_learn)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    lists: dict[str, list[Entry]] = {key: [] for key in ("training", "unlabeled", "validation", "test")}
    try:
        (partial / "images").mkdir(parents=True)
        (partial / "labels").mkdir()
        writer = _Writer(partial)
        used = training_set.used("labelled", "partly", "unlabelled")
        for number, case in enumerate(used, start=1):
            if split is not None and case.id in split.dropped:
                continue
            for key, entry in (yield from writer.case(case, f"{number:04d}_{_plain(case.name)}", split)):
                lists[key].append(entry)
        if to_learn and not lists["training"]:
            raise _nothing_to_learn()
        _keep_groups_apart(lists)
        content = {
            "name": name,
            "modality": {str(k): name or "image" for k, name in enumerate(training_set.modalities)},
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
        move(partial, folder)
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


def _check(training_set: TrainingSet, folder: Path, split: Split | None, to_learn: bool) -> None:
    if training_set.conflicts:
        raise SemiSegError(
            "ambiguous-classes",
            "It is not clear which class some segments are: "
            + "; ".join(conflict.question for conflict in training_set.conflicts),
            "Answer for each of them",
            "scene",
        )
    annotated = training_set.used("labelled", "partly")
    if to_learn and not any(split is None or split.side(case.id) == "training" for case in annotated):
        raise _nothing_to_learn()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SemiSegError(
            "file-exists", f'"{folder}" is in use already', "Choose another folder, or empty it", "scene"
        )


def _nothing_to_learn() -> SemiSegError:
    return SemiSegError(
        "no-labelled-case",
        "No image of the scene has an annotation that counts for training",
        "Outline a segment and set its status to completed, or accept a frame",
        "scene",
    )


class _Writer:
    """Writes cases into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def case(self, case: TrainingCase, stem: str, split: Split | None) -> Pieces[list[tuple[str, Entry]]]:
        """Write one case, and return its entries, each with the name of its list."""
        images = yield from self._images(case, stem)
        kind = ".png" if next(ending(Path(name)) for name in images if name is not None) in PICTURES else ".nrrd"
        entry: Entry = {
            "image": images if len(images) > 1 else images[0],
            "id": case.id,
            "group": case.group,
            "spacing": list(case.spacing) if case.spacing is not None else None,
        }
        if case.sequence is not None:
            entry |= {"sequence": case.sequence, "frame": case.frame}
        if case.read_labels is None or case.use == "unlabelled":
            return [("unlabeled", entry)]
        slices = () if split is None else split.validation.get(case.id, ())
        held_out = () if split is None else split.held_out(case.id)
        if not held_out and case.label_file is not None:
            entry |= {"label": str(case.label_file), **case.completeness(np.zeros(0, np.uint8))}
            return [("validation" if slices is None else "training", entry)]
        if not held_out:
            entry |= yield from self._labels(case, f"{stem}_label{kind}")
            return [("validation" if slices is None else "training", entry)]
        yield from case.count_in_pieces()
        validation = entry | (yield from self._labels(case, f"{stem}_validation_label{kind}", slices))
        rest = [k for k in range(case.shape[0]) if k not in held_out]
        training = entry | {"held_out": list(held_out)}
        if case.counts[rest].any() or set(rest) & set(case.annotated_slices):
            training |= yield from self._labels(case, f"{stem}_label{kind}", rest)
            return [("training", training), ("validation", validation)]
        return [("unlabeled", training), ("validation", validation)]

    def _images(self, case: TrainingCase, stem: str) -> Pieces[list[str | None]]:
        """Write the images of a case, all of one kind, and return their files' names; what is on disk stays there."""
        if any(image.file is not None for image in case.present):
            return [str(image.file) if image is not None else None for image in case.images]
        pictures = {}
        for shown in case.present if case.shape[0] == 1 else ():
            pictures[shown.key] = _as_bytes(shown.read(0, 1)[0])
            yield
        flat = bool(pictures) and all(picture is not None for picture in pictures.values())
        names: list[str | None] = []
        for number, image in enumerate(case.images):
            if image is None:
                names.append(None)
                continue
            name = f"images/{stem}{f'_{number}' if len(case.images) > 1 else ''}.{'png' if flat else 'nrrd'}"
            names.append(name)
            picture = pictures.get(image.key) if flat else None
            if picture is not None:
                yield from write_png_in_pieces(self._folder / name, picture)
                continue
            stored = stored_type(image.read(0, 1).dtype)
            slabs = (image.read(*part) for part in slabs_of(case.shape))
            yield from write_nrrd_in_pieces(self._folder / name, slabs, case.shape, case.affine, stored, packed=False)
        return names

    def _labels(self, case: TrainingCase, name: str, only: Collection[int] | None = None) -> Pieces[Entry]:
        """Write a label map, of these slices only, and return what the data list says about it."""
        seen: set[int] = set()
        kept = set(only or ())

        def slabs() -> Iterator[np.ndarray]:
            for first, last in slabs_of(case.shape):
                labels = case.read_labels(first, last) if case.read_labels is not None else np.zeros(0, np.uint8)
                if only is not None:
                    keep = np.array([k in kept for k in range(first, last)])
                    labels = np.where(keep[:, None, None], labels, np.uint8(0))
                seen.update(value for value in _SPECIAL if (labels == value).any())
                yield labels

        path = f"labels/{name}"
        if path.endswith(".png"):
            (picture,) = next(slabs())
            yield from write_png_in_pieces(self._folder / path, picture)
        else:
            yield from write_nrrd_in_pieces(
                self._folder / path, slabs(), case.shape, case.affine, np.dtype(np.uint8), packed=True
            )
        said = case.completeness(np.array(sorted(seen)))
        if only is not None and case.complete:
            said["slices"] = [k for k in case.annotated_slices if k in kept]
        return {"label": path, **said}


def _as_bytes(picture: np.ndarray) -> np.ndarray | None:
    """Return a picture as uint8 where that keeps its numbers, else None."""
    if picture.dtype == np.uint8:
        return picture
    low, high = picture.min(), picture.max()
    if not (low > -0.5 and high < 255.5):
        return None
    rounded = np.rint(picture).astype(np.uint8)
    # A grey picture that was stored in colours differs from whole numbers by the rounding of its weights.
    return rounded if np.abs(picture - rounded).max() < 1e-3 else None


def _keep_groups_apart(lists: dict[str, list[Entry]]) -> None:
    """Give what validates a group of its own where a part of a patient, cine or volume does.

    Readers refuse a group on both sides; the split has seen to the distance between them.
    """
    trained = {entry["group"] for key in ("training", "unlabeled") for entry in lists[key]}
    for entry in lists["validation"]:
        if entry["group"] in trained:
            entry["group"] = f"{entry['group']} (validation)"


def _plain(name: str) -> str:
    """Return a name that every file system takes."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", ascii_name).strip("-")[:40] or "case"
