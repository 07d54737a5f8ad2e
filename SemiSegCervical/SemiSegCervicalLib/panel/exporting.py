"""One result being written into files, in pieces that never hold the main thread, until it is there or given up."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import slicer

from ..errors import SemiSegError
from ..packages import find_lacks
from ..scene.dicom import DicomSeg, encoded_in_pieces
from ..scene.pieces import PIECE_BYTES, slabs
from ..scene.records import Record
from ..worker.arrays import ArrayWriter
from ..worker.client import Client
from ..worker.protocol import EncodeDicomSeg, Segment
from .connections import SceneEvents
from .slices import Slices, answer_of

Encode = Callable[[DicomSeg, Path], Generator[Any, None, None]]


class Exporting:
    """Writes; everything is told by `on_change` and, once, by `on_end`.

    Attributes:
        share: how much is written, 0 to 1; None while that cannot be told.
    """

    def __init__(
        self,
        record: Record,
        steps: Callable[[Encode], Generator[Any, None, list[Path]]],
        client: Callable[[], Client],
        on_change: Callable[[], None],
        on_end: Callable[[list[Path], Exception | None], None],
    ) -> None:
        """Begin with the next turn of the event loop.

        Args:
            record: the result; where it, or its image, is removed meanwhile nothing is written.
            steps: writes and returns the files, with what encodes DICOM SEG.
            client: returns the client of the worker, where that is needed.
            on_change: called when `share` has changed.
            on_end: called with the files, or with why there are none; with neither where it was cancelled.
        """
        self.share: float | None = None
        self._client = client
        self._needed = (record.table, record.source, record.segmentation, record.uncertainty, record.frames_table)
        self._on_change, self._on_end = on_change, on_end
        self._files: list[Path] = []
        self._slices = Slices(self._steps(steps), self._ended)
        self._scene_events = SceneEvents({slicer.vtkMRMLScene.StartCloseEvent: self.cancel}, self._node_goes)

    @property
    def active(self) -> bool:
        """Whether it is not over yet."""
        return self._slices.active

    def cancel(self) -> None:
        """Give up; nothing half-written stays."""
        self._give_up(None)

    def _steps(self, steps: Callable[[Encode], Generator[Any, None, list[Path]]]) -> Generator[Any, None, None]:
        inner = steps(self._encode)
        try:
            while True:
                try:
                    step = next(inner)
                except StopIteration as end:
                    self._files = end.value
                    return
                if isinstance(step, float):
                    self.share = step
                    self._on_change()
                yield step
        finally:
            inner.close()

    def _encode(self, content: DicomSeg, path: Path) -> Generator[Any, None, None]:
        """Have the worker write DICOM SEG; where it cannot run, as packages are missing, do it here.

        Raises:
            SemiSegError: it cannot.
            OSError: the file cannot be copied to its place.
        """
        if find_lacks():
            yield from encoded_in_pieces(content, path)
            return
        client = self._client()
        job = client.prepare()
        try:
            labels = job.folder / "labels.npy"
            with ArrayWriter(labels, content.labels.shape, content.labels.dtype) as writer:
                for part in slabs(content.labels):
                    writer.write(content.labels[part])
                    yield None
            message = EncodeDicomSeg(
                str(labels),
                tuple(tuple(map(float, row)) for row in content.affine),
                tuple(map(str, content.sources)),
                tuple(
                    Segment(s.name, tuple(map(float, s.color)), s.terminology, s.algorithm) for s in content.segments
                ),
                content.model,
                content.version,
                content.name,
            )
            client.submit(message, job, on_end=lambda _: self._slices.wake())
            ended = SemiSegError("cancelled", "The process that writes was ended", "Save it again", "export")
            written = yield from answer_of(job, ended)
            with open(written.path, "rb") as source, path.open("wb") as target:
                while piece := source.read(PIECE_BYTES):
                    target.write(piece)
                    yield None
        finally:
            if job.ended:
                client.release(job)
            else:  # its folder goes when it writes there no more
                job.on_end = client.release
                client.cancel(job)

    def _node_goes(self, node: Any) -> None:
        if node in self._needed:
            self._give_up(
                SemiSegError(
                    "removed", f'"{node.GetName()}" was deleted while the result was saved, and nothing is written',
                    "Save what is left", "export",
                )
            )  # fmt: skip

    def _give_up(self, error: SemiSegError | None) -> None:
        if self.active:
            self._slices.cancel()
            self._ended(error)

    def _ended(self, fault: Exception | None) -> None:
        self._scene_events.close()
        self._on_end(self._files if fault is None else [], fault)
