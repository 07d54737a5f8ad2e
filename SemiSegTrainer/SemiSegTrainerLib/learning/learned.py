"""Which annotated images a model has learned from, so that no later training takes them for unseen.

A model keeps a digest of 8 bytes of every plane that it learned from: a picture, or a slice along a volume's first
axis, of which an annotation rules anything out. No image can be made of a digest; whoever has the image can tell that
it was among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.schema import LEARNED_MOST

from .datalist import Entry
from .targets import known

_BYTES = 8
_FARTHEST = 15


def digests_learned(image: Image, sets: np.ndarray, classes: int) -> set[str]:
    """Return the digests of the planes of a training case that are learned from.

    Args:
        image: as it is stored.
        sets: int32 class sets on its grid; 0 for what is held out.
        classes: background included.
    """
    return set(_digests(image, _annotated(sets, classes)).values())


def remembered(digests: Collection[str]) -> tuple[str, ...]:
    """Return what a model keeps of the digests: all, or as many as fit, the same ones whatever came first."""
    return tuple(sorted(digests)[:LEARNED_MOST])


class Unseen:
    """Those cases of a validation list that the starting model has not learned from.

    Attributes:
        entries: the cases; of a volume that was learned from in part, with the rest of its slices only.
    """

    def __init__(self, learned: Collection[str], classes: int) -> None:
        """Begin with none.

        Args:
            learned: digests of what the starting model has learned from.
            classes: background included.
        """
        self.entries: list[Entry] = []
        self._learned, self._classes = learned, classes
        self._all = self._left_out = 0
        self._slices = False

    def look(self, entry: Entry, image: Image, sets: np.ndarray) -> None:
        """Take a case in, or leave it out; `image` is as it is stored, `sets` its class sets."""
        planes = _annotated(sets, self._classes)
        count = len(sets) if sets.ndim == 3 else 1
        found = _digests(image, range(count)) if self._learned else {}
        learned = np.array([k for k, digest in found.items() if digest in self._learned], dtype=np.int64)
        near = (np.abs(planes[:, None] - learned) < _gap(count)).any(axis=1)
        if near.any():  # the empty ends of a volume that was learned from are no test of what is left
            near |= ~np.isin(planes, list(found))
        self._all += len(planes)
        self._left_out += int(near.sum())
        self._slices |= count > 1
        if not near.any():
            self.entries.append(entry)
        elif not near.all():
            self.entries.append(replace(entry, only=tuple(planes[~near].tolist())))

    @property
    def left_out(self) -> str:
        """What is left out and why, in words; empty where nothing is."""
        if not self._left_out:
            return ""
        were, them = ("was", "it") if self._left_out == 1 else ("were", "them")
        what, beside = ("slices", f" or slices beside {them}") if self._slices else ("images", "")
        return (
            f"{self._left_out} of {self._all} validation {what} {were} left out: "
            f"the starting model had learned from {them}{beside}"
        )


def _annotated(sets: np.ndarray, classes: int) -> np.ndarray:
    """Return the indices of the planes of which anything is known."""
    planes = known(sets, classes).reshape(len(sets) if sets.ndim == 3 else 1, -1)
    return np.flatnonzero(planes.any(axis=1))


def _digests(image: Image, planes: Iterable[int]) -> dict[int, str]:
    """Return the digests of planes: of their grey values in all modalities, and of their shape.

    An even plane has none: it looks like those at the ends of other patients' volumes.
    """
    volume = image.array if image.array.ndim == 4 else image.array[:, None]
    found = {}
    for k in planes:
        plane = np.ascontiguousarray(volume[:, k])
        if np.ptp(plane, axis=(1, 2)).any():
            digest = hashlib.blake2b(repr(plane.shape).encode(), digest_size=_BYTES)
            digest.update(plane.data)
            found[int(k)] = digest.hexdigest()
    return found


def _gap(planes: int) -> int:
    """Return how far apart two planes of a volume are different images: neighbours are nearly copies.

    Never farther than a split of the scene keeps apart what it trains on and what it holds out.
    """
    return min(max(2, planes // 20), _FARTHEST)
