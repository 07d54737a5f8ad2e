"""Where the frames of a cine are annotated: the sequence of segmentations that is meant, and starts put into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene import marks as result_marks
from SemiSegCervicalLib.scene.cine import browser_of, item_at
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult, keep_changes
from SemiSegCervicalLib.scene.marks import segments_of
from SemiSegCervicalLib.scene.segmentation import fill_segmentation, oriented_image

from .choices import chosen_segmentation
from .drawn import (
    STAGE,
    check_size,
    chosen_is_hidden,
    is_seen,
    labels_of,
    nothing_drawn,
    painted,
    seen,
    several,
    worked_on,
)
from .marks import ACCEPTED_FRAME, START, accept_frame, accepted_frames, withdraw_frame
from .places import Place
from .sources import annotating_sequences

_EVERY_FRAME = 50


def accept_at(place: Place) -> None:
    """Accept what is drawn on a frame: what a person has worked on there, else the only thing that is seen there.

    Where that is hidden, as a model's result is behind a newer one, and another is seen, the frame of the other counts
    in its place.
    """
    images, value = place.node, place.index_value
    sequence = sequence_at(place) or result_for(images)
    if sequence is None:
        raise nothing_drawn(place)
    beside = _seen_beside(images, sequence, value)
    if beside and chosen_segmentation(images) is sequence:
        raise chosen_is_hidden(images, sequence)
    if len(beside) > 1:
        raise several(images, beside)
    for other in beside:
        check_size(item_at(other, value), place)
        withdraw_frame(sequence, value)
        sequence = other
    check_size(item_at(sequence, value), place)
    try:
        accept_frame(sequence, value)
    except SemiSegError:  # nothing is drawn on this frame where others are annotated, but perhaps a model's result is
        result = result_for(images, value)
        if result is None:
            raise
        accept_frame(result, value)


def _seen_beside(images: Any, sequence: Any, value: str) -> list[Any]:
    """Return the segmentation sequences that are seen on a frame where another one is hidden; of several those that
    have paint there."""
    if is_seen(sequence):
        return []
    items = {s: item_at(s, value) for s in annotating_sequences(images) if s is not sequence and is_seen(s)}
    found = [s for s, item in items.items() if item is not None and segments_of(item)]
    frame = item_at(images, value)
    return [s for s in found if painted(items[s], frame)] or found[:1]


def result_for(images: Any, value: str = "") -> Any:
    """Return the only segmentation sequence that there is for a cine, or that is seen, such as a model's result; None
    without one. With an index value only those count that have segments there."""
    found = annotating_sequences(images)
    if chosen_segmentation(images) in found:
        return chosen_segmentation(images)
    if value:
        items = [(sequence, item_at(sequence, value)) for sequence in found]
        found = [sequence for sequence, item in items if item is not None and segments_of(item)]
    found = seen(found)
    if len(found) > 1:
        raise several(images, found)
    return found[0] if found else None


def sequence_at(place: Place) -> Any:
    """Return the segmentation sequence in which a frame is annotated: the chosen one, where the frame is accepted,
    where a person has drawn on it or corrected a model, or else that of the cine; None without any.

    Where that of the cine is hidden on such a frame, as a model's result is behind a newer one, it is what is seen.
    """
    images, value = place.node, place.index_value
    found = annotating_sequences(images)
    if chosen_segmentation(images) in found:
        return chosen_segmentation(images)
    accepted = [sequence for sequence in found if value in accepted_frames(sequence)]
    if accepted:
        return accepted[0]
    items = [(sequence, item_at(sequence, value)) for sequence in found]
    worked = [s for s, item in items if item is not None and _worked_on_frame(s, item, value, place.volume)]
    if len(worked) > 1:
        raise several(images, worked)
    if worked:
        return worked[0]
    own = sequence_for(images)
    beside = _seen_beside(images, own, value) if own is not None else []
    return beside[0] if len(beside) == 1 else own


def _worked_on_frame(sequence: Any, item: Any, value: str, volume: Any) -> bool:
    """Return whether a person has drawn in an item or corrected it, and it is no copy that browsing made."""
    return worked_on(item, volume) and not _is_copy(sequence, item, value, volume)


def sequence_for(images: Any) -> Any:
    """Return the segmentation sequence in which a cine is annotated: the chosen one, where most is accepted, or any of
    the user's."""
    found = annotating_sequences(images)
    if chosen_segmentation(images) in found:
        return chosen_segmentation(images)
    accepted = {sequence.GetID(): len(accepted_frames(sequence)) for sequence in found}
    own = [
        sequence
        for sequence in found
        if accepted[sequence.GetID()]
        or sequence.GetAttribute(START)
        or sequence.GetAttribute(result_marks.CONTENT) is None
    ]
    return max(own, key=lambda sequence: accepted[sequence.GetID()], default=None)


def put_on_frame(place: Place, labels: np.ndarray, classes: Sequence[SegmentClass]) -> bool:
    """Put a start on a frame, unless a person has drawn there.

    Args:
        place: the frame.
        labels: class numbers ``(Y, X)``.
        classes: the class list.

    Returns:
        Whether it was put there.

    Raises:
        SemiSegError: no browser shows the cine, or several segmentations could be meant.
    """
    images, value = place.node, place.index_value
    if place.browser is None:
        raise SemiSegError(
            "no-browser", f'No sequence browser shows "{images.GetName()}"', "Add it to one in the module Sequences",
            STAGE,
        )  # fmt: skip
    sequence = sequence_at(place)
    if sequence is None:
        result = CineResult(images, classes, uncertainty=False, browser=place.browser)
        while result.prepare(_EVERY_FRAME):
            pass
        result.add_frames([FrameResult(value, labels)])
        result.finish()
        result.segmentations.SetAttribute(START, "1")
        return True
    browser = browser_of(sequence)
    keep_edits(browser, sequence)
    item = item_at(sequence, value)
    drawn = item is not None and (painted(item, place.volume) or worked_on(item, place.volume))
    if drawn and not _is_copy(sequence, item, value, place.volume):
        return False
    made = slicer.vtkMRMLSegmentationNode()
    made.SetName(sequence.GetName())
    fill_segmentation(made, place.volume, oriented_image(place.volume, labels[None], classes), classes)
    sequence.SetDataNodeAtValue(made, value)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return True


def keep_edits(browser: Any, sequence: Any) -> None:
    """Have edits stored, also of frames that had none, which would be lost; frames that are only passed stay empty."""
    if not browser.GetSaveChanges(sequence):
        keep_changes(browser, sequence)


def _is_copy(sequence: Any, item: Any, value: str, volume: Any) -> bool:
    """Return whether an item is what browsing made of an accepted frame, and nobody has drawn in it since."""
    accepted = item.GetAttribute(ACCEPTED_FRAME)
    origin = item_at(sequence, accepted) if accepted not in (None, value) else None
    if origin is None:
        return False
    return np.array_equal(labels_of(item, volume), labels_of(origin, volume))
