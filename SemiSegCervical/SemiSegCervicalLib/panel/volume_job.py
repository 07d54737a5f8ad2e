"""A volume or a single picture: one message to the worker, one segmentation back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from ..figures import doubts
from ..packs import fingerprint_in_pieces
from ..scene.layers import show_uncertainty, shown_opacity
from ..scene.overlay import uncertainty_volume_in_pieces
from ..scene.record_figures import finish_record, set_segments
from ..scene.records import new_record
from ..scene.removing import forget_results_of, remove_node
from ..scene.segmentation import segmentation_in_pieces
from ..worker.arrays import read_array
from ..worker.protocol import Predict, Prediction
from .arrays_out import affine_rows, check_unchanged, sent_spacing, write_images
from .cards import classes_of
from .sizes import figures_for

if TYPE_CHECKING:
    from .segmenting import Segmenting


class VolumeJob:
    """The steps of `Segmenting` for one image; see there."""

    def __init__(self, segmenting: Segmenting) -> None:
        self._on = segmenting
        self._nodes: list[Any] = []

    def steps(self) -> Iterator[Any]:
        """Do it.

        Raises:
            SemiSegError: it failed.
            JobCancelled: it was cancelled.
        """
        on, request = self._on, self._on.request
        geometry = request.source.geometry
        model = yield from on.model()
        on.set(stage="reading")
        job = on.prepare()
        files = yield from on.checked(write_images(job.folder, request.images))
        source = request.source
        message = Predict(
            model, tuple(files), request.modalities, source.rgb, sent_spacing(source), affine_rows(source)
        )
        on.submit(message, job)
        on.tell(job)
        print_of_model = yield from on.checked(fingerprint_in_pieces(Path(request.card.path)))
        yield from on.until_end(job)
        on.set(state="receiving", stage="", done=0, total=0, seconds_left=None)
        yield
        on.check()
        source.check_geometry(geometry)
        yield from on.checked(check_unchanged(job.folder, request.images))
        yield from self._receive(job.result, print_of_model)

    def tidy(self) -> None:
        """Leave nothing half-made in the scene."""
        for node in self._nodes:
            remove_node(node)

    def _receive(self, answer: Prediction, print_of_model: str) -> Iterator[Any]:
        on, request = self._on, self._on.request
        source, classes = request.source, classes_of(request.card)
        overlay = None
        if request.uncertainty:
            doubt = read_array(answer.uncertainty)
            overlay = yield from on.checked(uncertainty_volume_in_pieces(source.node, doubt))
            self._nodes.append(overlay)
            yield
            on.check()
        labels = read_array(answer.labels)
        segmentation = yield from on.checked(
            segmentation_in_pieces(source.node, labels, classes, replace=request.target)
        )
        # From here on nothing can be cancelled: what is replaced is gone.
        shown = shown_opacity(request.replaced)
        if request.target is not None:
            forget_results_of(segmentation)
        told = {"model": request.card.name, "pack": Path(request.card.path).name, "fingerprint": print_of_model}
        record = new_record(slicer.mrmlScene, request.name, source.node, segmentation, overlay, classes, told)
        figures, kind = figures_for(source, answer.segments)
        set_segments(record, figures, kind, answer.atypicality)
        unlike, notes = tuple(doubts(answer.atypicality)), (*request.lost, *answer.notes)
        run = {
            "device": answer.device, "backend": answer.backend, "precision": answer.precision,
            "seconds": answer.seconds, "notes": [*unlike, *notes],
        }  # fmt: skip
        finish_record(record, run)
        if shown is not None:
            show_uncertainty(record, shown)
        on.set(record=record, notes=notes, doubts=unlike, seconds=answer.seconds)
