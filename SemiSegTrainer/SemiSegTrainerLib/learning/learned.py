"""Which images are known, whatever their files are called: to a model, or to the training that it is for.

A model keeps a digest of 8 bytes of every plane that it learned from, of each modality apart: a picture, or a slice
along a volume's first axis, of which an annotation rules anything out. No image can be made of a digest; whoever has
the image can tell that it was among them. So no later training takes it for unseen. The cases of a training are known
by the digests of all of their planes.
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
    return _joined(_digests(image, _annotated(sets, classes)))


def digests_seen(image: Image, sets: np.ndarray) -> frozenset[str]:
    """Return the digests of the planes of a training case that are looked at, annotated or not.

    Args:
        image: as it is stored.
        sets: int32 class sets on its grid; 0 for what is held out.
    """
    voxels = sets.reshape(len(sets) if sets.ndim == 3 else 1, -1) != 0
    return frozenset(_joined(_digests(image, np.flatnonzero(voxels.any(axis=1)))))


def planes_learned(image: Image, learned: Collection[str]) -> int:
    """Return how many planes of an image are among those that a model has learned from.

    Args:
        image: as it is stored.
        learned: the model's digests.
    """
    count = image.array.shape[1] if image.array.ndim == 4 else 1
    found = _digests(image, range(count), together=True) if learned else {}
    return sum(not digests.isdisjoint(learned) for digests in found.values())


def remembered(digests: Collection[str]) -> tuple[str, ...]:
    """Return what a model keeps of the digests: all, or as many as fit, the same ones whatever came first."""
    return tuple(sorted(digests)[:LEARNED_MOST])


class Unseen:
    """Those cases of a validation list that neither a model nor the training that begins with it has learned from.

    Attributes:
        entries: the cases; of a volume that was learned from in part, with the rest of its slices only.
    """

    def __init__(
        self,
        learned: Collection[str],
        classes: int,
        trained: Collection[str] = (),
        who: str = "the starting model",
    ) -> None:
        """Begin with none.

        Args:
            learned: digests of what the model has learned from.
            classes: background included.
            trained: digests of what the training looks at, its own cases; of these slices the same ones alone are
                left out, for which ones beside them are held out is said by the datalist.
            who: what `left_out` calls the model.
        """
        self.entries: list[Entry] = []
        self._who = who
        self._learned, self._classes, self._trained = learned, classes, trained
        self._all = self._before = self._now = 0
        self._slices = False

    def look(self, entry: Entry, image: Image, sets: np.ndarray) -> None:
        """Take a case in, or leave it out; `image` is as it is stored, `sets` its class sets."""
        planes = _annotated(sets, self._classes)
        count = len(sets) if sets.ndim == 3 else 1
        found = _digests(image, range(count), together=True) if self._learned or self._trained else {}
        learned, trained = (
            np.array([k for k, digests in found.items() if not digests.isdisjoint(some)], dtype=np.int64)
            for some in (self._learned, self._trained)
        )
        before = (np.abs(planes[:, None] - learned) < _gap(count)).any(axis=1)
        now = np.isin(planes, trained)
        even = ~np.isin(planes, list(found))
        # The empty ends of a volume that was learned from are no test of what is left.
        before |= even & before.any()
        now = (now | (even & now.any())) & ~before
        self._all += len(planes)
        self._before += int(before.sum())
        self._now += int(now.sum())
        self._slices |= count > 1
        known = before | now
        if not known.any():
            self.entries.append(entry)
        elif not known.all():
            self.entries.append(replace(entry, only=tuple(planes[~known].tolist())))

    @property
    def left_out(self) -> str:
        """What is left out and why, in words; empty where nothing is."""
        what, beside = ("slices", True) if self._slices else ("images", False)

        def said(count: int, why: str) -> str:
            return f"{count} of {self._all} validation {what} {'was' if count == 1 else 'were'} left out: {why}"

        parts = []
        if self._before:
            them = "it" if self._before == 1 else "them"
            slices = f" or slices beside {them}" if beside else ""
            parts.append(said(self._before, f"{self._who} had learned from {them}{slices}"))
        if self._now:
            parts.append(said(self._now, f"the training has the same {what} under another name"))
        return "; ".join(parts)


def _annotated(sets: np.ndarray, classes: int) -> np.ndarray:
    """Return the indices of the planes of which anything is known."""
    planes = known(sets, classes).reshape(len(sets) if sets.ndim == 3 else 1, -1)
    return np.flatnonzero(planes.any(axis=1))


def _digests(image: Image, planes: Iterable[int], together: bool = False) -> dict[int, set[str]]:
    """Return the digests of planes: of their grey values in each modality, and of their shape.

    A case that lacks a modality is so known by the others. An even plane has none: it looks like those at the ends of
    other patients' volumes.

    Args:
        image: as it is stored.
        planes: their numbers; those that are even in every modality are not in the result.
        together: also of all modalities at once, as earlier versions kept them.
    """
    volume = image.array if image.array.ndim == 4 else image.array[:, None]
    found = {}
    for k in planes:
        plane = np.ascontiguousarray(volume[:, k])
        shown = np.flatnonzero(np.ptp(plane, axis=(1, 2)))
        if len(shown):
            found[int(k)] = {_digest(plane[m : m + 1]) for m in shown} | ({_digest(plane)} if together else set())
    return found


def _digest(plane: np.ndarray) -> str:
    digest = hashlib.blake2b(repr(plane.shape).encode(), digest_size=_BYTES)
    digest.update(plane.data)
    return digest.hexdigest()


def _joined(digests: dict[int, set[str]]) -> set[str]:
    return set().union(*digests.values())


def _gap(planes: int) -> int:
    """Return how far apart two planes of a volume are different images: neighbours are nearly copies.

    Never farther than a split of the scene keeps apart what it trains on and what it holds out.
    """
    return min(max(2, planes // 20), _FARTHEST)
