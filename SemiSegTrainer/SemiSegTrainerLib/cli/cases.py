"""What `semiseg predict` is given: files, DICOM folders, cases of several modalities, or a datalist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from SemiSegCervicalLib.engine.files import Spacing, count_volumes
from SemiSegCervicalLib.engine.schema import PackManifest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.formats import stem, volume_of

from SemiSegTrainerLib.learning.datalist import Datalist, Entry, read_datalist


@dataclass(frozen=True)
class Case:
    """One case to predict.

    Attributes:
        stem: what its results are called.
        paths: one file or folder per modality.
        modalities: which of the model's modalities they are, in the model's order.
        spacing: what the datalist says of the voxel size.
    """

    stem: str
    paths: tuple[Path, ...]
    modalities: tuple[int, ...]
    spacing: Spacing = "file"


def gather_cases(inputs: Sequence[str], list_name: str, manifest: PackManifest) -> list[Case]:
    """Find out what the inputs are.

    Args:
        inputs: files, folders, cases as ``flair=F,t1post=T``, or one datalist.
        list_name: which list of a datalist.
        manifest: of the model, which names the modalities.

    Raises:
        SemiSegError: a missing file, an unknown or missing modality, an empty list, or two cases of one stem.
    """
    if len(inputs) == 1 and Path(inputs[0]).suffix == ".json":
        datalist = read_datalist(Path(inputs[0]))
        cases = [_listed(entry, datalist, manifest) for entry in datalist.named(list_name)]
        if not cases:
            raise SemiSegError(
                "no-cases", f"The list {list_name} of {inputs[0]} is empty", "Use another list", "reading"
            )
    else:
        cases = [parse_case(text, manifest) for text in inputs]
    names = [case.stem.casefold() for case in cases]  # on Windows and macOS A_labels.png is a_labels.png
    twice = next((case.stem for case in cases if names.count(case.stem.casefold()) > 1), None)
    if twice is not None:
        raise SemiSegError(
            "same-stem", f"Two inputs are called {twice}: their results would have the same name",
            "Rename one of them or predict them in two runs", "settings",
        )  # fmt: skip
    for path in (path for case in cases for path in case.paths):
        if not volume_of(path)[0].exists():
            raise SemiSegError("missing-file", f"There is no file {path}", "Check the path", "reading")
    return cases


def parse_case(text: str, manifest: PackManifest) -> Case:
    """Read one input: a file or folder, or ``name=file,name=file``; what exists under its whole name is a file.

    A file that holds as many volumes as the model reads modalities holds those, in the model's order.

    Raises:
        SemiSegError: an unknown or repeated modality, one that the model cannot do without, or a file that does not say
            which modality it is.
    """
    names = manifest.input.modalities
    if "=" not in text or Path(text).exists():
        path = Path(text)
        if len(names) > 1 and path.is_file() and count_volumes(path) == len(names):
            every = tuple(range(len(names)))
            return Case(stem(path), tuple(path / str(k) for k in every), every)
        if len(names) > 1:
            raise SemiSegError(
                "which-modality", f"The model reads {_listing(names)}, and {text} does not say which of them it is",
                f"Write a case as {_example(names)}", "settings",
            )  # fmt: skip
        return Case(stem(path), (path,), (0,))
    found: dict[int, Path] = {}
    for index, file in _assignments(text, names):
        if index in found or not file:
            what = f"names {names[index]} twice" if file else f"names no file for {names[index]}"
            raise SemiSegError("bad-input", f"{text} {what}", f"Write a case as {_example(names)}", "settings")
        found[index] = Path(file)
    first = next(iter(found.values()))
    present = tuple(sorted(found))
    _require(present, text, manifest)
    # Of one volume of a file, beside which the others are modalities, the number says nothing.
    return Case(stem(volume_of(first)[0]), tuple(found[index] for index in present), present)


def _assignments(text: str, names: Sequence[str]) -> list[tuple[int, str]]:
    """Cut ``name=file,name=file``; files may hold commas and equal signs, names are found in any case."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    starts = list(re.finditer(rf"(?:^|,)({known}|[^,=/\\]+)=", text, flags=re.IGNORECASE))
    parts: list[tuple[int, str]] = []
    for at, start in enumerate(starts):
        name = start[1]
        file = text[start.end() : starts[at + 1].start() if at + 1 < len(starts) else None]
        index = next((i for i, known_name in enumerate(names) if known_name.casefold() == name.casefold()), None)
        if index is not None:
            parts.append((index, file))
        elif parts and Path(f"{parts[-1][1]},{name}={file}").exists():
            parts[-1] = (parts[-1][0], f"{parts[-1][1]},{name}={file}")
        else:
            raise _unknown(text, name, names)
    if not parts:
        raise _unknown(text, text.partition("=")[0], names)
    return parts


def _unknown(text: str, name: str, names: Sequence[str]) -> SemiSegError:
    return SemiSegError(
        "unknown-modality", f"There is no file {text}, and the model knows no modality {name!r}",
        f"Its modalities are {_listing(names)}: write a case as {_example(names)}", "settings",
    )  # fmt: skip


def _require(present: Sequence[int], text: str, manifest: PackManifest) -> None:
    """Refuse a case that leaves no network of the model with all that it reads."""
    if any(set(branch.modalities) <= set(present) for branch in manifest.branches):
        return
    names = manifest.input.modalities
    if not present:
        raise SemiSegError(
            "missing-modality", f"{text} has none of the model's modalities",
            f"Give at least one of {_listing(names)}: {_example(names)}", "settings",
        )  # fmt: skip
    missing = [name for index, name in enumerate(names) if index not in present]
    raise SemiSegError(
        "missing-modality", f"{text} lacks {_listing(missing)}, and every network of the model needs it",
        f"Give {_listing(names)}: {_example(names)}", "settings",
    )  # fmt: skip


def _listed(entry: Entry, datalist: Datalist, manifest: PackManifest) -> Case:
    """Turn an entry into a case: by the names of its modalities, in any case; in their order where none is known."""
    names = manifest.input.modalities
    places = {name.casefold(): place for place, name in enumerate(names)}
    mine = [name.casefold() for name in datalist.modalities]
    # A datalist may hold more than the model reads; without any name in common the order has to do.
    if places.keys().isdisjoint(mine):
        if len(datalist.modalities) != len(names):
            raise SemiSegError(
                "wrong-modalities",
                f"The datalist {datalist.path} has {_listing(datalist.modalities)}, the model reads {_listing(names)}",
                "Call them alike in both", "reading",
            )  # fmt: skip
        _require(entry.modalities, entry.id, manifest)
        return Case(entry.stem, entry.images, entry.modalities, entry.spacing)
    known = zip((mine[k] for k in entry.modalities), entry.images, strict=True)
    found = {places[name]: image for name, image in known if name in places}
    present = tuple(sorted(found))
    _require(present, entry.id, manifest)
    return Case(entry.stem, tuple(found[index] for index in present), present, entry.spacing)


def _listing(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _example(names: Sequence[str]) -> str:
    return ",".join(f"{name}=FILE" for name in names)
