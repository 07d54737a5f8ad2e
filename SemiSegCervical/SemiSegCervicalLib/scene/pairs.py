"""Which images show the same patient in different modalities: what the user said, and what the names of others tell.

What is said is a reference from one image, in whose grid the case lies, to each of the others; it comes back with a
saved scene and follows its nodes into another one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import SemiSegError
from .hierarchy import folder_of, patient_of
from .nodes import nodes_of

PARTNER_ROLE = "SemiSeg.Partner"
"""References from a volume or image sequence to images of the same patient in other modalities."""
MODALITY = "SemiSeg.Modality"
"""Attribute of a volume or image sequence: the name of its modality."""

# Words and what lies between them: "P07_T1" are three pieces.
_PIECES = re.compile(r"[^\W_]+|[\W_]+")
# What Slicer puts before the name of a DICOM series, its number, and after a name that is taken.
_ADDED = re.compile(r"^\d+: |_\d+$")


def pair(reference: Any, partner: Any, modalities: tuple[str, str]) -> None:
    """Say that two images show the same patient in two modalities: together they are one case.

    The case lies on the grid of the reference; its annotation may be drawn on either.

    Args:
        reference: volume or image sequence; frames are paired by their index value.
        partner: another one; several may be paired with one reference, one after another.
        modalities: names of the modalities, of the reference first; the same in all pairs.

    Raises:
        SemiSegError: an image with itself, with one of another kind, or one that is paired already; names that are
            empty or equal.
    """
    names = [name.strip() for name in modalities]
    taken = [modality_of(node).casefold() for node in (reference, *partners_of(reference))[1:]]
    if not all(names) or names[1].casefold() in (names[0].casefold(), *taken):
        raise SemiSegError(
            "modality-names",
            "The images of a case need different modalities",
            "Name them T1 and FLAIR, for instance",
            "scene",
        )
    if reference is partner or _is_sequence(reference) != _is_sequence(partner):
        raise SemiSegError(
            "not-a-pair",
            f'"{reference.GetName()}" and "{partner.GetName()}" cannot be one case',
            "Pair two volumes, or two cines",
            "scene",
        )
    for node, is_partner in ((partner, True), (reference, False)):
        other = reference_of(node)
        if other is not None or (is_partner and partners_of(node)):
            raise SemiSegError(
                "paired-already",
                f'"{node.GetName()}" is in another pair already',
                "Take that pair apart first",
                "scene",
            )
    reference.AddNodeReferenceID(PARTNER_ROLE, partner.GetID())
    reference.SetAttribute(MODALITY, names[0])
    partner.SetAttribute(MODALITY, names[1])


def unpair(reference: Any) -> None:
    """Take an image and its partners apart again; the names of their modalities go too."""
    for node in (*partners_of(reference), reference):
        node.RemoveAttribute(MODALITY)
    reference.RemoveNodeReferenceIDs(PARTNER_ROLE)


def partners_of(reference: Any) -> list[Any]:
    """Return the images that are paired with one."""
    count = reference.GetNumberOfNodeReferences(PARTNER_ROLE)
    found = [reference.GetNthNodeReference(PARTNER_ROLE, k) for k in range(count)]
    return [node for node in found if node is not None]


def reference_of(partner: Any) -> Any:
    """Return the image that one is a partner of, None where it is nobody's."""
    kind = "vtkMRMLSequenceNode" if _is_sequence(partner) else "vtkMRMLScalarVolumeNode"
    return next((node for node in nodes_of(partner.GetScene(), kind) if partner in partners_of(node)), None)


def set_modality(image: Any, modality: str) -> None:
    """Say which modality an image is whose patient lacks the others; an empty name takes that back."""
    if modality:
        image.SetAttribute(MODALITY, modality)
    else:
        image.RemoveAttribute(MODALITY)


def modality_of(image: Any) -> str:
    """Return the name of an image's modality, empty where nobody said it."""
    return image.GetAttribute(MODALITY) or ""


def named_alike(example: Sequence[Any], images: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Find the cases that are named as one case is.

    "P07 FLAIR" and "P07 T1" tell that "P12 T1" belongs to "P12 FLAIR": what differs between the names of the example
    must differ likewise, word for word. Where the images of the example lie together in a study or folder, so must
    those of the others, and what Slicer adds to names does not count. An image that could belong to two cases belongs
    to none, nor do images of different patients to one.

    Args:
        example: the images of one case, volumes or image sequences.
        images: where the others are looked for; the example's own are passed over.

    Returns:
        The images of each case, in the order of the example; the cases in the order of `images`.
    """
    others = [image for image in images if image not in example and _is_sequence(image) == _is_sequence(example[0])]
    folder = folder_of(example[0])
    together = folder is not None and all(folder_of(image) == folder for image in example)
    groups: dict[int | None, list[Any]] = defaultdict(list)
    for image in others:
        place = folder_of(image) if together else None
        if place is not None or not together:
            groups[place].append(image)
    found: list[tuple[Any, ...]] = []
    for place, group in groups.items():
        # Numbers that Slicer adds tell patients apart who share a folder, and nothing where each has one.
        plain = together and place != folder and len(set(map(_plain_name, example))) == len(example)
        found += _cases(example, group, _plain_name if plain else _name)
    uses = Counter(image.GetID() for case in found for image in case)
    found = [case for case in found if all(uses[image.GetID()] == 1 for image in case)]
    return sorted(found, key=lambda case: others.index(case[0]))


def _cases(example: Sequence[Any], images: Sequence[Any], name_of: Callable[[Any], str]) -> Iterator[tuple[Any, ...]]:
    """Yield those of images that lie in one place; an image may be in two."""
    rules = [_difference(name_of(example[0]), name_of(image)) for image in example[1:]]
    named: dict[str, list[Any]] = defaultdict(list)
    for image in images:
        named[name_of(image)].append(image)
    for name, firsts in named.items():
        choices = [firsts, *([image for new in rule(name) for image in named.get(new, ())] for rule in rules)]
        case = tuple(choice[0] for choice in choices if len(choice) == 1)
        if len(case) == len(example) and len({patient_of([image]) for image in case} - {None}) < 2:
            yield case


def _difference(first: str, second: str) -> Callable[[str], set[str]]:
    """Return what makes names like the second out of names like the first: of one name perhaps several, or none."""
    a, b = _PIECES.findall(first), _PIECES.findall(second)
    shorter = min(len(a), len(b))
    before = next((k for k in range(shorter) if a[k] != b[k]), shorter)
    after = next((k for k in range(shorter - before) if a[-1 - k] != b[-1 - k]), shorter - before)
    old, new = a[before : len(a) - after], b[before : len(b) - after]

    def changed(name: str) -> set[str]:
        pieces = _PIECES.findall(name)
        # As far from the beginning as in the example, or as far from the end.
        places = {before, len(pieces) - after - len(old)}
        return {
            "".join(pieces[:k] + new + pieces[k + len(old) :])
            for k in places
            if 0 <= k <= len(pieces) - len(old) and pieces[k : k + len(old)] == old
        } - {name}

    return changed


def _name(image: Any) -> str:
    return str(image.GetName())


def _plain_name(image: Any) -> str:
    return _ADDED.sub("", _name(image))


def _is_sequence(image: Any) -> bool:
    return bool(image.IsA("vtkMRMLSequenceNode"))
