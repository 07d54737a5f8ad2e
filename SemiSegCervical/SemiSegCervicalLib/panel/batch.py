"""Several images, one after another, each as Apply would segment it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ..errors import SemiSegError
from ..scene.nodes import is_changing
from . import segmenting
from .request import Request
from .segmenting import Segmenting

WAITING, RUNNING, DONE, FAILED, CANCELLED, GONE = "waiting", "running", "done", "failed", "cancelled", "gone"


@dataclass
class Item:
    """One of the images, or one patient's in several modalities.

    Attributes:
        images: what is segmented together, by the index of the modality: volumes, of a cine the one that shows its
            current frame. Empty when one of them has been deleted.
        name: of the image, which stays when it is deleted.
        state: one of the above; `GONE` was deleted before it was done.
        error: why it failed.
        doubts: what speaks against its result.
    """

    images: Mapping[int, Any]
    name: str
    state: str = WAITING
    error: SemiSegError | None = None
    doubts: tuple[str, ...] = ()

    @property
    def node(self) -> Any:
        """The image on whose grid the result lies; None when it has been deleted."""
        return first_of(self.images) if self.images else None


class Batch:
    """Begins the next job whenever it is asked to `go_on`, and remembers how each went.

    Attributes:
        items: all images, in the order in which they are segmented.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[int, Any]],
        request: Callable[[Mapping[int, Any]], Request],
        start: Callable[[Request], Segmenting],
    ) -> None:
        """Remember what is to be done.

        Args:
            cases: the images of each, by the index of the modality.
            request: puts the job of a case together when its turn comes; raises `SemiSegError` where it cannot be.
            start: begins a job.
        """
        self.items = [Item(images, name_of(images)) for images in cases]
        self._request, self._start = request, start
        self._job: Segmenting | None = None
        self._current: Item | None = None

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return self._current is not None or any(item.state == WAITING for item in self.items)

    @property
    def place(self) -> tuple[int, int]:
        """How many have had their turn, the one that runs included, and how many there are."""
        return sum(item.state != WAITING for item in self.items), len(self.items)

    def runs(self, job: Segmenting) -> bool:
        """Return whether a job is the one that runs now."""
        return self._job is job

    def go_on(self) -> None:
        """Begin the next one, unless one runs or the scene is being read or closed."""
        self.forget_deleted()
        while self._current is None and self.active and not is_changing(slicer.mrmlScene):
            item = next(item for item in self.items if item.state == WAITING)
            try:
                job = self._start(self._request(item.images))
            except SemiSegError as error:
                self._failed(item, error)
                continue
            item.state = RUNNING
            self._current, self._job = item, job

    def ended(self, job: Segmenting) -> None:
        """Take note of the end of a job."""
        item = self._current
        if job is not self._job or item is None:
            return
        self._current = self._job = None
        item.doubts = job.doubts
        if job.state == segmenting.DONE:
            item.state = DONE
        elif job.error is not None:
            self._failed(item, job.error)
        else:
            self.forget_deleted()
            item.state = GONE if item.node is None else CANCELLED
            if job.abandoned:  # with the scene; where only this image was deleted, the others are still wanted
                self.cancel()

    def cancel(self) -> None:
        """Begin no more; the caller ends the job that runs."""
        for item in self.items:
            if item.state == WAITING:
                item.state = CANCELLED

    def forget_deleted(self) -> None:
        """Let go of the images that are not in the scene any more."""
        for item in self.items:
            if any(node.GetScene() is None for node in item.images.values()):
                item.images = {}
                if item.state == WAITING:
                    item.state = GONE

    def _failed(self, item: Item, error: SemiSegError) -> None:
        before = [i for i in self.items if i.state in (DONE, FAILED)][-1:]
        item.state, item.error = FAILED, error
        if any(i.error is not None and i.error.code == error.code for i in before):
            self.cancel()  # twice the same: it is not the image, and the others would fail like these


def first_of(images: Mapping[int, Any]) -> Any:
    """Return the image on whose grid the result of a case lies."""
    return images[min(images)]


def name_of(images: Mapping[int, Any]) -> str:
    """Return what a case is called."""
    return " + ".join(str(images[index].GetName()) for index in sorted(images))


def summary(batch: Batch) -> tuple[str, bool]:
    """Say how a batch went, and whether somebody should look at something."""
    by = {state: [item for item in batch.items if item.state == state] for state in (DONE, FAILED, CANCELLED, GONE)}
    total, done = len(batch.items), len(by[DONE])
    told = [f"{done} of {total} images are segmented." if done < total else f"All {total} images are segmented."]
    unlike = [item.name for item in by[DONE] if item.doubts]
    if unlike:
        told.append(f"{_named(unlike)} look{'s' if len(unlike) == 1 else ''} unlike the images of the training.")
    if by[FAILED]:
        told.append(f"Failed: {_named([item.name for item in by[FAILED]])}. {by[FAILED][-1].error}")
    if by[CANCELLED]:
        told.append(f"{len(by[CANCELLED])} {'was' if len(by[CANCELLED]) == 1 else 'were'} not begun or not finished.")
    return " ".join(told), bool(unlike or by[FAILED])


def _named(names: Sequence[str], most: int = 3) -> str:
    named = ", ".join(names[:most])
    return named if len(names) <= most else f"{named} and {len(names) - most} more"
