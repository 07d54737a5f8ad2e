"""A model's outlines as a start for an annotation: shown where a person should draw next, a label once accepted.

On a frame of a cine the start is an item of the segmentation sequence in which the cine is annotated. On a slice of a
volume it is a segmentation of its own, so that nothing counts before it is accepted; accepting then moves the slice
into the segmentation that counts for the volume. So it does with what is seen there of a model's result. What a person
has drawn stays as it is, always, and so does what a person has corrected of a model's result. Without a model a person
begins with empty segments (`begin_drawing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene import marks as result_marks
from SemiSegCervicalLib.scene.cine import browsers_of, item_at
from SemiSegCervicalLib.scene.classes import SegmentClass, name_key, terminology_key
from SemiSegCervicalLib.scene.geometry import copy_geometry, copy_transform
from SemiSegCervicalLib.scene.marks import segments_of
from SemiSegCervicalLib.scene.nodes import nodes_of
from SemiSegCervicalLib.scene.pairs import partners_of
from SemiSegCervicalLib.scene.pieces import allocated
from SemiSegCervicalLib.scene.reading import grid
from SemiSegCervicalLib.scene.segmentation import (
    check_values,
    fill_segmentation,
    image_of,
    segment_mask,
    slice_image,
)

from .annotation import read_annotation
from .choices import chosen_segmentation
from .drawn import (
    STAGE,
    check_size,
    chosen_is_hidden,
    is_seen,
    nothing_drawn,
    painted,
    painted_slices,
    seen,
    several,
    worked_on,
)
from .marks import (
    accept_segmentation,
    accept_slice,
    begin_start,
    chosen_segments,
    end_start,
    set_annotated_slices,
    start_slice,
)
from .modes import mode_of
from .places import Place
from .starts_cine import accept_at, keep_edits, put_on_frame, result_for, sequence_at, sequence_for


def annotation_at(place: Place) -> Any:
    """Return the segmentation in which a place is annotated, for a cine the sequence of them; None where there is none.

    Raises:
        SemiSegError: several count for it.
    """
    return sequence_at(place) if place.is_frame else _start_at(place) or _counting(place.node) or _worked_in(place)


def shown_annotation(place: Place) -> Any:
    """Return the segmentation node that views show and a person edits at a place; None where there is none."""
    return _shown(place, annotation_at(place))


def is_empty(place: Place) -> bool:
    """Return whether nothing is drawn at a place in the segmentation in which it is annotated."""
    found = annotation_at(place)
    if not place.is_frame:
        return found is not None and not painted(found, place.node, place.number, place.number + 1)
    item = item_at(found, place.index_value) if found is not None else None
    return item is not None and not painted(item, place.volume)


def hidden_at(place: Place, whole: bool = False) -> list[str]:
    """Return the names of the segments that count at a place, or in the whole image, and are hidden one by one."""
    found = annotation_of(place.node) if whole else shown_annotation(place)
    display = found.GetDisplayNode() if found is not None else None
    if display is None:
        return []
    volume, counting = place.volume, chosen_segments(found)
    planes = (place.number, place.number + 1) if not (whole or place.is_frame) else (0, grid(volume)[0])
    return [
        segment.GetName()
        for segment_id, segment in segments_of(found)
        if segment in counting
        and not display.GetSegmentVisibility(segment_id)
        and segment_mask(found, segment_id, volume, planes) is not None
    ]


def empty_between(volume: Any) -> int:
    """Return on how many slices of a volume nothing is drawn between those that are, in what counts for it."""
    found = _counting(volume)
    painted = painted_slices(found, volume, (0, grid(volume)[0])) if found is not None else set()
    return max(painted) - min(painted) + 1 - len(painted) if painted else 0


def begin_drawing(place: Place, classes: Sequence[SegmentClass]) -> Any:
    """Return the segmentation node that a person draws in at a place, made where there is none.

    A segmentation that is made in the Segment Editor over a frame belongs to no frame, unless somebody synchronises it
    in the module Sequences.

    Args:
        place: where.
        classes: the class list; where nothing is drawn yet, each becomes an empty segment, so that segments of all
            images are called alike.

    Returns:
        What is drawn there already, a model's result included; else a new segmentation, for a cine the node that shows
        a frame of a new sequence.

    Raises:
        SemiSegError: several could be meant, or a cine has no browser that shows it.
    """
    if not place.is_frame:
        return _start_at(place) or annotation_of(place.node) or _blank(place.node, classes)
    own = sequence_at(place)
    found = own or result_for(place.node)
    item = item_at(found, place.index_value) if found is not None else None
    if found is None or (found is own and (item is None or not segments_of(item))):
        put_on_frame(place, np.zeros(grid(place.volume)[1:], np.uint8), classes)
        found = sequence_for(place.node)
        for node in (item_at(found, place.index_value), _shown(place, found)):
            for _, segment in segments_of(node):
                segment.RemoveTag(result_marks.ORIGIN)  # what will be there is a person's
    keep_edits(_browser(place, found), found)
    return _shown(place, found)


def _shown(place: Place, found: Any) -> Any:
    if found is None or not place.is_frame:
        return found
    browser, value = _browser(place, found), place.index_value
    if browser is not place.browser:  # that of a paired cine, which has to show the same frame
        browser.SetSelectedItemNumber(browser.GetMasterSequenceNode().GetItemNumberFromIndexValue(value, False))
    return browser.GetProxyNode(found)


def _browser(place: Place, found: Any) -> Any:
    """Return what shows a segmentation sequence, rather that of the place."""
    browsers = browsers_of(found)
    return place.browser if place.browser in browsers else browsers[0]


def put_start(place: Place, labels: np.ndarray, classes: Sequence[SegmentClass]) -> bool:
    """Put a model's outlines where a person should draw next.

    Args:
        place: where.
        labels: uint8 ``(Y, X)`` on the place's grid; 0 is background.
        classes: the class list.

    Returns:
        Whether they were put there; False where a person has drawn already, or a start is there.

    Raises:
        SemiSegError: several segmentations count for the image, or a cine has no browser that shows it.
        ValueError: labels of another size or type, or with a value outside the class list.
    """
    if labels.shape != grid(place.volume)[1:] or labels.dtype != np.uint8:
        raise ValueError(f"labels must be uint8 {grid(place.volume)[1:]}, not {labels.dtype} {labels.shape}")
    check_values(labels, classes)
    return put_on_frame(place, labels, classes) if place.is_frame else _put_on_slice(place, labels, classes)


def accept(place: Place) -> None:
    """Make what is drawn at a place a label: a person has looked at it and takes it over.

    Raises:
        SemiSegError: nothing is drawn there, or two segmentations claim the same slice.
    """
    if place.is_frame:
        accept_at(place)
        return
    start = _start_at(place)
    counting = _counting(place.node) if start is not None else annotation_of(place.node)
    if start is None and counting is None:
        raise nothing_drawn(place)
    for found in (start, counting):
        check_size(found, place)
    if start is not None and counting is not None:
        _move(place, start, counting)
        start = None
    elif start is not None:
        start.SetName(slicer.mrmlScene.GenerateUniqueName(f"{place.node.GetName()} segmentation"))
        end_start(start)
        # A segment that the Segment Editor calls completed is so on this slice: nobody has drawn on the others.
        set_annotated_slices(start, [place.number])
    else:
        beside = _seen_beside(place.node, counting, (place.number, place.number + 1))
        if len(beside) > 1:
            raise several(place.node, beside)
        for other in beside:
            _make_room(place, other, counting)
            _take_over(place, other, counting)
    annotation = start or counting
    if place.is_picture:
        accept_segmentation(annotation)
    else:
        accept_slice(annotation, place.number)


def accept_volume(volume: Any) -> None:
    """Make everything that is drawn in a volume a finished annotation.

    Raises:
        SemiSegError: nothing is drawn, or it is not clear which segmentation is meant: slices that are finished with
            nothing on them are learned as background, whatever is seen there.
    """
    found = annotation_of(volume)
    if found is None:
        raise SemiSegError("nothing-drawn", "Nothing is drawn in this image", "Draw in it first", STAGE)
    check_size(found, Place(volume, 0))
    done = mode_of(found).mode == "whole" and is_seen(found)
    beside = _seen_beside(volume, found, (0, grid(volume)[0])) if not done else []
    if beside:
        raise several(volume, [found, *beside])
    accept_segmentation(found)


def annotation_of(volume: Any) -> Any:
    """Return the segmentation that a person means for a whole volume: the one that counts, else the only one there is.

    Raises:
        SemiSegError: several count, or none does and there are several.
    """
    found = _counting(volume)
    if found is not None:
        return found
    drawn = [n for n in segmentations_of(volume) if start_slice(n) is None and segments_of(n)]
    drawn = [n for n in drawn if worked_on(n, volume)] or seen(drawn)
    if len(drawn) > 1:
        raise several(volume, drawn)
    return drawn[0] if drawn else None


def segmentations_of(volume: Any) -> list[Any]:
    """Return the segmentations whose source is a volume or one that it is paired with."""
    found = nodes_of(volume.GetScene(), "vtkMRMLSegmentationNode")
    together = [volume, *partners_of(volume)]
    return [segmentation for segmentation in found if image_of(segmentation) in together]


def _start_at(place: Place) -> Any:
    """Return the segmentation that holds the start on a slice, None without one."""
    found = (node for node in segmentations_of(place.node) if image_of(node) is place.node)
    return next((node for node in found if start_slice(node) == place.number), None)


def _counting(volume: Any) -> Any:
    """Return the segmentation that was chosen for a volume, else the one that counts; None without any."""
    drawn = [node for node in segmentations_of(volume) if start_slice(node) is None]
    if chosen_segmentation(volume) in drawn:
        return chosen_segmentation(volume)
    found = [node for node in drawn if read_annotation(node, volume).counts]
    if len(found) > 1:
        raise several(volume, found)
    return found[0] if found else None


def _worked_in(place: Place) -> Any:
    """Return the segmentation that a person has worked on, with paint on a slice or a picture; None without one.

    Raises:
        SemiSegError: there are several.
    """
    volume, number = place.node, place.number
    drawn = [n for n in segmentations_of(volume) if start_slice(n) is None and worked_on(n, volume)]
    found = [n for n in drawn if place.is_picture or painted(n, volume, number, number + 1)]
    if len(found) > 1:
        raise several(volume, found)
    return found[0] if found else None


def _blank(volume: Any, classes: Sequence[SegmentClass]) -> Any:
    """Return a segmentation of a volume in which nothing is drawn: one without a segment, else a new one."""
    scene = volume.GetScene()
    node = next((n for n in segmentations_of(volume) if start_slice(n) is None and not segments_of(n)), None)
    if node is None:
        name = scene.GenerateUniqueName(f"{volume.GetName()} segmentation")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        copy_transform(volume, node)
        node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for entry in classes:
        _add_segment(node, entry.name, entry.color, entry.terminology)
    return node


def _put_on_slice(place: Place, labels: np.ndarray, classes: Sequence[SegmentClass]) -> bool:
    volume, number = place.node, place.number
    drawn = _counting(volume)
    if _start_at(place) is not None or (drawn is not None and painted(drawn, volume, number, number + 1)):
        return False
    if _worked_in(place) is not None:
        return False
    scene = volume.GetScene()
    where = "" if place.is_picture else f" slice {number + 1}"
    node = scene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{volume.GetName()}{where} (suggested)")
    )
    node.CreateDefaultDisplayNodes()
    copy_transform(volume, node)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    fill_segmentation(node, volume, slice_image(volume, labels, number), classes)
    begin_start(node, number, grid(volume)[0])
    return True


def _seen_beside(volume: Any, counting: Any, planes: tuple[int, int]) -> list[Any]:
    """Return the segmentations, such as a model's results, that are seen on slices where the one that counts holds no
    paint, or is hidden, as a result is behind a newer one; none where that one was chosen, or does not count yet: a
    person has worked on it, and on no other.

    Args:
        volume: the image.
        counting: the segmentation that is about to be accepted.
        planes: first slice, and the one after the last.

    Raises:
        SemiSegError: the one that was chosen is hidden, and others are seen.
    """
    chosen, hidden = chosen_segmentation(volume) is counting, not is_seen(counting)
    if (chosen and not hidden) or _counting(volume) is not counting:
        return []
    own = painted_slices(counting, volume, planes)
    others = [n for n in segmentations_of(volume) if n is not counting and start_slice(n) is None and is_seen(n)]
    if not hidden:
        return [node for node in others if painted_slices(node, volume, planes) - own]
    others = [node for node in others if segments_of(node)]
    if chosen and others:
        raise chosen_is_hidden(volume, counting)
    return [node for node in others if painted_slices(node, volume, planes)] or (others[:1] if own else [])


def _make_room(place: Place, seen_there: Any, counting: Any) -> None:
    """Erase in the segmentation that counts what a model drew on a slice, for what is seen there to take its place.

    Raises:
        SemiSegError: a person may have drawn it, or has accepted it.
    """
    volume, number = place.node, place.number
    if not painted(counting, volume, number, number + 1):
        return
    if place.is_picture:
        raise several(volume, [counting, seen_there])
    annotation = read_annotation(counting, volume)
    if worked_on(counting, volume) or (annotation.finished and number in (annotation.slices or (number,))):
        raise SemiSegError(
            "drawn-twice", f'"{counting.GetName()}", which counts and is hidden, holds other outlines on this slice',
            f'Show it to accept those, or erase them there to accept what is seen in "{seen_there.GetName()}"', STAGE,
        )  # fmt: skip
    _, rows, columns = grid(volume)
    nothing = slicer.vtkOrientedImageData()
    nothing.SetExtent(0, columns - 1, 0, rows - 1, number, number)
    copy_geometry(volume, nothing)
    allocated(nothing)[...] = 0
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for segment_id, _ in segments_of(counting):
        logic.SetBinaryLabelmapToSegment(nothing, counting, segment_id, logic.MODE_MERGE_MIN)


def _move(place: Place, start: Any, target: Any) -> None:
    """Bring the start's slice into the segmentation that counts; paint of a person's on this slice forbids it."""
    volume, number = place.node, place.number
    if painted(target, volume, number, number + 1):
        raise SemiSegError(
            "drawn-twice", f'"{target.GetName()}" and "{start.GetName()}" both hold paint on this slice',
            f'Erase it in one of them, or remove "{start.GetName()}" in the module Data', STAGE,
        )  # fmt: skip
    _take_over(place, start, target)
    # A brush in 3D paints on other slices too.
    if not painted(start, volume, 0, number) and not painted(start, volume, number + 1):
        volume.GetScene().RemoveNode(start)


def _take_over(place: Place, drawn: Any, target: Any) -> None:
    """Draw in a segmentation what another one holds on a slice; where a class has no segment there, one is made."""
    volume, number = place.node, place.number
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for segment_id, segment in segments_of(drawn):
        wanted = _same_class(target, segment)
        found = segment_mask(drawn, segment_id, volume, (number, number + 1))
        if found is not None:
            # The image has to hold the value that the segment has in its layer, which it may share with others.
            value = target.GetSegmentation().GetSegment(wanted).GetLabelValue()
            labels = np.zeros(grid(volume)[1:], np.min_scalar_type(value))
            labels[found.box[1:]] = found.mask[0] * value
            image = slice_image(volume, labels, number)
            logic.SetBinaryLabelmapToSegment(image, target, wanted, logic.MODE_MERGE_MAX)


def _same_class(target: Any, segment: Any) -> str:
    """Return the id of the segment of a segmentation that is of the same class; one is made where there is none."""
    key, name = terminology_key(segment.GetTerminology()), name_key(segment.GetName())
    named = [str(i) for i, other in segments_of(target) if name_key(other.GetName()) == name]
    typed = [str(i) for i, other in segments_of(target) if key and terminology_key(other.GetTerminology()) == key]
    # Parts of one structure may share its terminology, and then their names tell them apart.
    found = [i for i in named if i in typed] or named or (typed if len(typed) == 1 else [])
    if found:
        return found[0]
    return _add_segment(target, segment.GetName(), segment.GetColor(), segment.GetTerminology())


def _add_segment(segmentation: Any, name: str, color: Sequence[float], terminology: str) -> str:
    """Add an empty segment and return its id."""
    content = segmentation.GetSegmentation()
    made = content.AddEmptySegment("", name, color)
    if terminology:
        content.GetSegment(made).SetTerminology(terminology)
    return str(made)
