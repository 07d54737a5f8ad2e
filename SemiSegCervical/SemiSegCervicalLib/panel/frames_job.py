"""A cine, or a stack whose slices are frames: many small messages to the worker, frames back as they are done."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from ..errors import SemiSegError
from ..figures import doubts_of_frames
from ..packs import fingerprint_in_pieces
from ..scene.frames import CineResult, FrameResult, StackResult
from ..scene.layers import set_segmentation, show_uncertainty, shown_opacity
from ..scene.record_figures import add_frames, finish_record
from ..scene.records import new_record
from ..scene.removing import forget_results_of, remove_node, remove_record
from ..scene.segmentation import label_array_in_pieces, oriented_image_in_pieces, replace_segments
from ..scene.source import check_frames
from ..worker.arrays import take_array
from ..worker.job import Job, JobCancelled
from ..worker.protocol import FramesChunk, FramesDone, Model, PredictFrames
from .arrays_out import affine_rows, check_unchanged, sent_spacing, write_images
from .cards import classes_of
from .sizes import figures_for
from .slices import WAIT

if TYPE_CHECKING:
    from .segmenting import Segmenting

_PART_BYTES = 64 * 2**20
"""Of one message's images: so much lies on the disk, twice at most, however long the cine."""
_AHEAD = 2


class FramesJob:
    """The steps of `Segmenting` for frames; see there.

    The first message holds one frame, the one that is looked at: it is there while the others are still written.
    """

    def __init__(self, segmenting: Segmenting) -> None:
        self._on = segmenting
        self._numbers = segmenting.request.frames or ()
        self._result: CineResult | StackResult | None = None
        self._running: dict[Job, Sequence[int]] = {}
        self._chunks: deque[tuple[Sequence[int], FramesChunk]] = deque()
        self._answers: list[FramesDone] = []
        self._atypicality: dict[int, float | None] = {}
        self._started = time.perf_counter()
        self._done = 0
        self._lost: tuple[str, ...] = ()
        self._values: dict[int, str] = {}
        self._geometry: tuple[Any, ...] = ()

    def steps(self) -> Iterator[Any]:
        """Do it.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        on, request = self._on, self._on.request
        for source in request.images.values():
            yield from on.checked(check_frames(source))
        node = request.source.node
        self._geometry = request.source.geometry
        if request.source.kind == "cine":
            self._values = {number: node.GetNthIndexValue(number) for number in self._numbers}
        model = yield from on.model()
        parts = self._parts()
        yield from self._send(model, parts.popleft())
        yield from self._make_nodes()
        while parts or self._running or self._chunks:
            on.check()
            if self._chunks:
                yield from self._take(*self._chunks.popleft())
            elif parts and len(self._running) < _AHEAD:
                yield from self._send(model, parts.popleft())
            elif not (yield from self._collect()):
                self._tell()
                yield WAIT
        on.set(state="receiving", stage="", done=0, total=0, seconds_left=None)
        yield
        yield from self._replace()
        self._close(complete=True)

    def tidy(self) -> None:
        """Keep the frames that are finished; without any leave nothing in the scene."""
        record = self._on.record
        if self._result is None:
            return
        if record is not None and self._done:
            self._close(complete=False)
        elif record is not None:
            remove_record(record)
            self._on.record = None
        else:
            for name in ("segmentations", "segmentation", "uncertainty"):
                remove_node(getattr(self._result, name, None))

    # -- to the worker --

    def _parts(self) -> deque[Sequence[int]]:
        source = self._on.request.source
        first = source.voxels(self._numbers[0])
        at_once = max(1, _PART_BYTES // max(1, first.nbytes))
        parts: deque[Sequence[int]] = deque([self._numbers[:1]])
        # One array has one type of voxels, and one message one spacing: pictures that were put together may differ.
        for _, alike in groupby(self._numbers[1:], self._traits):
            numbers = tuple(alike)
            parts.extend(numbers[start : start + at_once] for start in range(0, len(numbers), at_once))
        return parts

    def _traits(self, number: int) -> list[tuple[Any, ...]]:
        return [source.traits(number) for source in self._on.request.images.values()]

    def _send(self, model: Model, numbers: Sequence[int]) -> Iterator[Any]:
        on, request = self._on, self._on.request
        for number in numbers:
            self._value(number)
        job = on.prepare()
        files = yield from on.checked(write_images(job.folder, request.images, numbers))
        source = request.source
        spacing = sent_spacing(source, numbers[0])
        message = PredictFrames(model, tuple(files), None, request.modalities, source.rgb, spacing, affine_rows(source))
        self._running[job] = numbers
        on.submit(message, job, on_chunk=lambda chunk: self._chunk(numbers, chunk))

    def _chunk(self, numbers: Sequence[int], chunk: FramesChunk) -> None:
        self._chunks.append((numbers, chunk))
        self._on.wake()

    def _collect(self) -> Generator[Any, None, bool]:
        """Take the answers of ended messages; return whether there was one.

        Raises:
            SemiSegError: one failed, or its frames have changed.
            JobCancelled: one was ended by other means than the user's.
        """
        ended = [job for job in self._running if job.ended]
        for job in ended:
            numbers = self._running.pop(job)
            if job.error is not None:
                raise job.error
            if job.state != "done":
                raise JobCancelled
            self._answers.append(job.result)
            for number in numbers:
                self._value(number)
            yield from self._on.checked(check_unchanged(job.folder, self._on.request.images, numbers))
            self._on.finish(job)
        return bool(ended)

    # -- into the scene --

    def _make_nodes(self) -> Iterator[Any]:
        on, request = self._on, self._on.request
        source, classes = request.source, classes_of(request.card)
        print_of_model = yield from on.checked(fingerprint_in_pieces(Path(request.card.path)))
        name, uncertainty = request.name, request.uncertainty
        result: CineResult | StackResult
        if source.kind == "cine":
            result = CineResult(source.node, classes, name, uncertainty, source.browser)
        else:
            result = StackResult(source.node, classes, name, uncertainty)
        self._result = result
        yield
        on.check()
        while result.prepare(4):
            yield
            on.check()
        told = {
            "model": request.card.name, "pack": Path(request.card.path).name, "fingerprint": print_of_model,
            "asked": len(self._numbers),
        }  # fmt: skip
        segmentation = result.segmentations if isinstance(result, CineResult) else result.segmentation
        on.record = new_record(
            slicer.mrmlScene, request.name, source.node, segmentation, result.uncertainty, classes, told, frames=True
        )
        on.set(record=on.record)
        yield

    def _take(self, numbers: Sequence[int], chunk: FramesChunk) -> Iterator[Any]:
        """Put the frames of a chunk into the scene, one with each step."""
        on, source = self._on, self._on.request.source
        labels = take_array(chunk.labels)
        doubt = take_array(chunk.uncertainty) if on.request.uncertainty else None
        if doubt is None:
            with suppress(OSError):
                os.unlink(chunk.uncertainty)
        assert self._result is not None
        assert on.record is not None
        for at, (index, figures) in enumerate(zip(chunk.indices, chunk.frames, strict=True)):
            number = numbers[index]
            frame = FrameResult(self._value(number), labels[at], None if doubt is None else doubt[at])
            self._result.add_frames([frame])
            segments, _ = figures_for(source, figures.segments)
            add_frames(on.record, [replace(figures, index=number, segments=tuple(segments))])
            self._atypicality[number] = figures.atypicality
            self._done += 1
            on.kept = self._done
            self._tell()
            yield
            on.check()
        on.tell_frames()

    def _value(self, number: int) -> str:
        """Return the index value that a frame had when the job began; of a stack the number as text.

        Raises:
            SemiSegError: another frame has this number now, which would get what was found in this one; or the image
                of a stack has changed.
        """
        node = self._on.request.source.node
        if number not in self._values:
            self._on.request.source.check_geometry(self._geometry)
            return str(number)
        value = self._values[number]
        if number >= node.GetNumberOfDataNodes() or node.GetNthIndexValue(number) != value:
            raise SemiSegError(
                "frames-changed", f'Frames of "{node.GetName()}" were added or removed while it was segmented',
                "Press Apply again", "reading",
            )  # fmt: skip
        return value

    def _tell(self) -> None:
        on = self._on
        if not self._done:
            for job in list(self._running)[:1]:
                on.tell(job)
            return
        passed = time.perf_counter() - self._started
        left = passed / self._done * (len(self._numbers) - self._done)
        on.set(
            state="running", stage="predicting", done=self._done, total=len(self._numbers),
            seconds_left=left if self._done > 1 else None,
        )  # fmt: skip

    def _close(self, complete: bool) -> None:
        on, record = self._on, self._on.record
        assert self._result is not None
        assert record is not None
        self._result.finish()
        notes = tuple(dict.fromkeys([*self._lost, *(note for answer in self._answers for note in answer.notes)]))
        doubts = tuple(doubts_of_frames(self._atypicality))
        last = self._answers[-1] if self._answers else None
        seconds = sum(answer.seconds for answer in self._answers)
        run: dict[str, Any] = {"seconds": seconds, "notes": [*doubts, *notes]}
        if last is not None:
            run.update(device=last.device, backend=last.backend, precision=last.precision)
        finish_record(record, run, complete)
        on.set(notes=notes, doubts=doubts, seconds=seconds)

    def _replace(self) -> Iterator[Any]:
        """Let the result take the place of the one that was named, now that it is whole."""
        on, request, record = self._on, self._on.request, self._on.record
        assert record is not None
        self._lost = request.lost
        if request.target is None:
            return
        if request.source.kind == "cine":
            shown = shown_opacity(request.replaced)
            if request.replaced is not None:
                remove_record(request.replaced)
            self._show(shown)
            return
        source, classes = request.source.node, classes_of(request.card)
        made = record.segmentation
        values = {f"Segment_{entry.value}": entry.value for entry in classes}
        labels = yield from on.checked(label_array_in_pieces(made, values, source))
        image = yield from on.checked(oriented_image_in_pieces(source, labels, classes))
        self._lost = request.lost
        target = request.target
        if target is None:  # removed in the meantime
            return
        shown = shown_opacity(request.replaced)
        replace_segments(target, source, image, classes)
        forget_results_of(target)
        set_segmentation(record, target)
        remove_node(made)
        self._show(shown)

    def _show(self, opacity: float | None) -> None:
        """Show where the result is unsure if that of the one it replaces was shown; None where it was not."""
        if opacity is not None and self._on.record is not None:
            show_uncertainty(self._on.record, opacity)
