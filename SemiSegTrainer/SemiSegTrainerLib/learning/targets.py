"""Set-valued targets: for every voxel, the set of classes that it may still be.

A set is a bit mask (bit c = class c is possible). Full label maps, annotated slices, unfinished segments, scribbles and
unlabelled cases are then one thing, and one loss serves them all. Zero in a label map never means background by itself:
`Completeness` says which region and which segments are finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from SemiSegCervicalLib.errors import SemiSegError
from torch import Tensor

Sets = TypeVar("Sets", np.ndarray, Tensor)
# So many label values are looked up in a table.
_MOST_LISTED = 2**16
# So many unknown label values are no forgotten segments.
_SMOOTHED = 10


@dataclass(frozen=True)
class Completeness:
    """What the zeros of a label map mean. The default is a finished map: 0 is background.

    Attributes:
        complete: False for scribbles: an unpainted voxel has not been looked at.
        background: label value that means "certainly background".
        ignore: label value that means "not looked at".
        slices: 3D only: planes (first array axis) that are annotated; None for all. On the others only paint counts.
        segments: classes whose outline is finished; None for all. An unpainted voxel may belong to any other.
        values: the label value of each class, the first one's first; None where they are the classes' own, 1, 2, 3.
    """

    complete: bool = True
    background: int | None = None
    ignore: int | None = None
    slices: tuple[int, ...] | None = None
    segments: tuple[int, ...] | None = None
    values: tuple[int, ...] | None = None


def every_class(classes: int) -> int:
    """Return the mask that says nothing: all of `classes` (background included) are possible."""
    return (1 << classes) - 1


def possible_classes(labels: np.ndarray, classes: int, completeness: Completeness | None = None) -> np.ndarray:
    """Turn a label map into class sets.

    Args:
        labels: integers ``(*spatial)``.
        classes: number of classes, background included.
        completeness: what its zeros mean, and its values.

    Returns:
        int32 bit masks ``(*spatial)``.

    Raises:
        SemiSegError: a label value that is neither a class nor one of the special values, or a slice that is not there.
    """
    told = completeness or Completeness()
    unknown = every_class(classes)
    unpainted = 1
    if not told.complete:
        unpainted = unknown
    elif told.segments is not None:
        # An outline that is finished excludes its class here; an unfinished one may still reach this voxel.
        unpainted = unknown & ~sum(1 << c for c in told.segments)
    known = [0, *(told.values or range(1, classes))]
    meaning = {0: unpainted, **{value: 1 << c for c, value in enumerate(known) if c}}
    if told.background is not None:
        meaning[told.background] = 1
    if told.ignore is not None:
        meaning[told.ignore] = unknown
    found = _values(labels)
    strange = [int(v) for v in found if int(v) not in meaning]
    if len(strange) > _SMOOTHED and len(strange) > 2 * len(meaning):
        raise SemiSegError(
            "unknown-label", f"The label map holds {len(strange)} values beside those of the class list, from "
            f"{strange[0]} to {strange[-1]}, as a mask does that was smoothed, or is an image or a probability",
            "Threshold it, and resample masks by nearest neighbour: a voxel's value says its segment", "reading",
        )  # fmt: skip
    if strange:
        raise SemiSegError(
            "unknown-label",
            f"The label map holds the value {', '.join(map(str, strange[:5]))}, "
            f"which is not in the class list ({', '.join(map(str, known)) if told.values else f'0 to {classes - 1}'})",
            "Correct the label map, name the value in the class list, or declare it as ignore or background",
            "reading",
        )
    first = int(found[0]) if len(found) else 0
    if len(found) and int(found[-1]) - first < _MOST_LISTED:
        table = np.zeros(int(found[-1]) - first + 1, dtype=np.int32)
        table[found - first] = [meaning[int(v)] for v in found]
        sets = table[_from(first, labels)]
    else:
        sets = np.array([meaning[int(v)] for v in found], dtype=np.int32)[np.searchsorted(found, labels)]
    if told.slices is not None:
        if labels.ndim != 3:
            raise SemiSegError(
                "bad-slice", "Annotated slices are listed for an image that has none",
                "List slices for volumes only", "reading",
            )  # fmt: skip
        outside = np.ones(labels.shape[0], dtype=bool)
        if any(not 0 <= s < labels.shape[0] for s in told.slices):
            raise SemiSegError(
                "bad-slice", f"The annotated slices {list(told.slices)} are not all within 0 to {labels.shape[0] - 1}",
                "Correct the list of slices", "reading",
            )  # fmt: skip
        outside[list(told.slices)] = False
        sets[outside] = np.where(labels[outside] == 0, unknown, sets[outside])
    return sets


def _values(labels: np.ndarray) -> np.ndarray:
    """Return the values of a label map, ascending; of a usual one by a count, for to sort a large volume takes long."""
    first, last = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if last - first >= _MOST_LISTED:
        return np.unique(labels)
    return np.flatnonzero(np.bincount(_from(first, labels).ravel())) + first


def _from(first: int, labels: np.ndarray) -> np.ndarray:
    return np.subtract(labels, first, dtype=np.int64) if first else labels


def membership(possible: Tensor, classes: int) -> Tensor:
    """Spread masks ``(N, *spatial)`` over a class axis: bool ``(N, C, *spatial)``, True where the class is possible."""
    bits = torch.arange(classes, device=possible.device, dtype=possible.dtype).view(1, -1, *(1,) * (possible.ndim - 1))
    return (possible.unsqueeze(1) >> bits) & 1 == 1


def decided(possible: Sets) -> Sets:
    """Bool map: at most one class is possible: exactly one, or 0, which marks padding."""
    return (possible & (possible - 1)) == 0


def outlined(possible: Sets) -> Sets:
    """Bool map: the voxel certainly belongs to a segment."""
    return decided(possible) & (possible > 1)


def absent(possible: Sets, value: int) -> Sets:
    """Bool map: somebody says of the voxel that a segment is not there, and has not just painted another one on it."""
    return ((possible >> value) & 1 == 0) & ~decided(possible) | (possible == 1)


def segments_in(possible: Tensor) -> set[int]:
    """Return the numbers of the segments that any voxel certainly belongs to."""
    return {int(sets).bit_length() - 1 for sets in possible[outlined(possible)].unique()}


def informative(possible: Sets, classes: int) -> Sets:
    """Bool map: at least one class is ruled out; of padding all are."""
    return possible != every_class(classes)


def known(possible: Sets, classes: int) -> Sets:
    """Bool map: a voxel of the image of which at least one class is ruled out."""
    return (possible != 0) & informative(possible, classes)


def project(probabilities: Tensor, possible: Tensor) -> Tensor:
    """Take the mass off impossible classes and renormalise, so that no pseudo-label contradicts an annotation.

    Args:
        probabilities: ``(N, C, *spatial)``.
        possible: masks ``(N, *spatial)``.

    Returns:
        ``(N, C, *spatial)``, zero outside the set; uniform over the set where it had no mass at all.
    """
    classes = probabilities.shape[1]
    if not bool(informative(possible, classes).any()):  # unlabelled cases: nothing is impossible
        return probabilities
    allowed = membership(possible, classes).to(probabilities.dtype)
    kept = probabilities * allowed
    mass = kept.sum(dim=1, keepdim=True)
    return torch.where(mass > 1e-6, kept / mass.clamp_min(1e-6), allowed / allowed.sum(dim=1, keepdim=True))
