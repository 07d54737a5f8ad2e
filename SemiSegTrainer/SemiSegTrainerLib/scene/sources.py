"""The images of a scene, and the one segmentation that counts for each of them, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import Pieces
from SemiSegCervicalLib.scene import marks as result_marks
from SemiSegCervicalLib.scene import pairs
from SemiSegCervicalLib.scene.cine import (
    browser_of,
    browser_of_proxy,
    browsers_of,
    index_values,
    is_image_sequence,
    item_at,
    sequences_of,
)
from SemiSegCervicalLib.scene.corrections import drawn_by
from SemiSegCervicalLib.scene.hierarchy import patient_of
from SemiSegCervicalLib.scene.nodes import nodes_of
from SemiSegCervicalLib.scene.reading import grid
from SemiSegCervicalLib.scene.segmentation import image_of

from . import choices
from .annotation import Annotation, annotation_in_pieces
from .choices import ChosenUse
from .drawn import RESIZED, was_resized
from .marks import accepted_frames, start_slice

_SET_GEOMETRY = (
    "set its source geometry to its image (Segment Editor, button beside Source volume), and the status of its segments"
)


@dataclass
class Source:
    """One image or frame before its classes are known.

    Attributes:
        id, name, group: as in `training_set.TrainingCase`.
        volume: the volume node, for a frame the sequence's item.
        segmentation, annotation: the segmentation that counts and what it says; None where none does.
        candidate: id of the segmentation node or sequence that holds it, else of the only node or the first sequence
            that could.
        why_not: why none does, in plain words.
        left_out: the image is not to be used at all.
        sequence, frame: image sequence and index value of a frame; None for other images.
        partners: volume nodes of the other modalities; None where a frame has none.
        modalities: names of the volume's modality and of its partners'; empty where nobody said one.
        chosen: what the user said that it is to be used for.
    """

    id: str
    name: str
    group: str
    volume: Any
    segmentation: Any = None
    annotation: Annotation | None = None
    candidate: str | None = None
    why_not: str = ""
    left_out: bool = False
    sequence: Any = None
    frame: str | None = None
    partners: tuple[Any, ...] = ()
    modalities: tuple[str, ...] = ("",)
    chosen: ChosenUse | None = None


@dataclass
class _Scene:
    """The scene, what cannot be used in it, its segmentations by the id of their image, and who is a partner."""

    scene: Any
    notes: list[str] = field(default_factory=list)
    segmentations: dict[str, list[Any]] = field(default_factory=dict)
    partners: set[str] = field(default_factory=set)


def sources_in_pieces(scene: Any) -> Pieces[tuple[list[Source], list[str]]]:
    """Find every image and frame of a scene; nothing in it is changed, no sequence is browsed.

    Args:
        scene: ``vtkMRMLScene``.

    Returns:
        (the images and frames, what was found that cannot be used, in plain words).
    """
    found = _Scene(scene)
    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSequenceNode"):
        found.partners |= {p.GetID() for node in nodes_of(scene, kind) for p in pairs.partners_of(node)}
    _sort_segmentations(found)
    _note_label_maps(found)
    volumes = yield from _volume_sources(found)
    frames = yield from _frame_sources(found)
    return volumes + frames, found.notes


def _sort_segmentations(found: _Scene) -> None:
    """Find the image of every segmentation, and say which ones have none."""
    for segmentation in nodes_of(found.scene, "vtkMRMLSegmentationNode"):
        if browser_of_proxy(segmentation) is not None:
            continue
        volume = image_of(segmentation)
        name = segmentation.GetName()
        if segmentation.GetSegmentation().GetNumberOfSegments() == 0:
            continue
        if volume is None:
            found.notes.append(f'Segmentation "{name}" belongs to no image: {_SET_GEOMETRY}')
        elif volume.IsA("vtkMRMLLabelMapVolumeNode"):
            found.notes.append(
                f'Segmentation "{name}" belongs to the label map "{volume.GetName()}" and to no image: {_SET_GEOMETRY}'
            )
        elif browser_of_proxy(volume) is not None:
            found.notes.append(
                f'Segmentation "{name}" was drawn over the shown frame of "{volume.GetName()}" and belongs '
                "to no frame: synchronise it with the sequence and accept the frame"
            )
        else:
            found.segmentations.setdefault(volume.GetID(), []).append(segmentation)


def _note_label_maps(found: _Scene) -> None:
    """Say that label maps are not read: nobody said of which image they are, and how far they are finished."""
    for node in nodes_of(found.scene, "vtkMRMLLabelMapVolumeNode"):
        if (
            node.GetImageData() is not None
            and node.GetAttribute(result_marks.CONTENT) is None
            and not node.GetHideFromEditors()
            and browser_of_proxy(node) is None
        ):
            found.notes.append(
                f'Label map "{node.GetName()}" is not read: right-click it in the module Data, convert it to a '
                f"segmentation, and there {_SET_GEOMETRY}"
            )


def _volume_sources(found: _Scene) -> Pieces[list[Source]]:
    sources = []
    for volume in nodes_of(found.scene, "vtkMRMLScalarVolumeNode"):
        if (
            volume.IsA("vtkMRMLLabelMapVolumeNode")
            or volume.GetAttribute(result_marks.CONTENT) is not None
            or volume.GetHideFromEditors()
            or browser_of_proxy(volume) is not None
            or volume.GetID() in found.partners
        ):
            continue
        group = patient_of([volume, *pairs.partners_of(volume)]) or volume.GetID()
        source = Source(volume.GetID(), volume.GetName(), group, volume, chosen=choices.chosen_use(volume))
        if not _readable(found, volume, volume.GetName()):
            continue
        candidates = list(found.segmentations.get(volume.GetID(), []))
        for partner in pairs.partners_of(volume):
            if _readable(found, partner, partner.GetName()):
                source.partners += (partner,)
                candidates += found.segmentations.get(partner.GetID(), [])
        source.modalities = tuple(pairs.modality_of(node) for node in (volume, *source.partners))
        wanted = choices.chosen_segmentation(volume)
        if wanted is not None:
            candidates = [s for s in candidates if s is wanted]
        # Of several nobody knows which one is meant: a mark set on one of them might be on what was not looked at.
        meant = [s for s in candidates if start_slice(s) is None] or candidates
        source.candidate = meant[0].GetID() if len(meant) == 1 else None
        yield from _annotate(source, candidates)
        if source.segmentation is not None:
            source.candidate = source.segmentation.GetID()
        sources.append(source)
        yield
    return sources


def _readable(found: _Scene, volume: Any, name: str) -> bool:
    """Return whether a volume holds an image; where it does not, that is noted."""
    try:
        grid(volume)
    except SemiSegError:
        found.notes.append(f'"{name}" holds no image: left out')
        return False
    components = volume.GetImageData().GetNumberOfScalarComponents()
    if components not in (1, 3, 4):
        found.notes.append(f'"{name}" holds {components} numbers per voxel, no picture: left out')
    return components in (1, 3, 4)


def _frame_sources(found: _Scene) -> Pieces[list[Source]]:
    sources = []
    for sequence in nodes_of(found.scene, "vtkMRMLSequenceNode"):
        if not is_image_sequence(sequence) or sequence.GetID() in found.partners:
            continue
        partners = [p for p in pairs.partners_of(sequence) if is_image_sequence(p)]
        modalities = tuple(pairs.modality_of(node) for node in (sequence, *partners))
        wanted = choices.chosen_segmentation(sequence)
        browser = browser_of(sequence)
        proxy = browser.GetProxyNode(sequence) if browser is not None else None
        group = patient_of([sequence, browser, proxy, *partners]) or sequence.GetID()
        by_frame: dict[str, list[Any]] = {}
        belonging: dict[str, str] = {}
        corrected: set[str] = set()
        for segmentations in annotating_sequences(sequence):
            if wanted is not None and segmentations is not wanted:
                continue
            for value in accepted_frames(segmentations):
                if sequence.GetItemNumberFromIndexValue(value, True) < 0:
                    found.notes.append(
                        f'The frame accepted at {value} in "{segmentations.GetName()}" does not exist in '
                        f'"{sequence.GetName()}"'
                    )
                else:
                    by_frame.setdefault(value, []).append(item_at(segmentations, value))
                    belonging.setdefault(value, segmentations.GetID())
            for value in ("", *index_values(segmentations)):
                belonging.setdefault(value, segmentations.GetID())
            for number in range(segmentations.GetNumberOfDataNodes()):
                if _is_corrected(segmentations.GetNthDataNode(number)):
                    corrected.add(segmentations.GetNthIndexValue(number))
                yield
        for number in range(sequence.GetNumberOfDataNodes()):
            value = sequence.GetNthIndexValue(number)
            name = f"{sequence.GetName()}, frame {number + 1}"
            if not _readable(found, sequence.GetNthDataNode(number), name):
                continue
            source = Source(
                id=f"{sequence.GetID()}:{value}",
                name=name,
                group=group,
                volume=sequence.GetNthDataNode(number),
                sequence=sequence,
                frame=value,
                partners=tuple(_partner_frame(found, partner, value) for partner in partners),
                modalities=modalities,
                chosen=choices.chosen_use(sequence, value),
            )
            source.candidate = belonging.get(value, belonging.get(""))
            yield from _annotate(source, by_frame.get(value, []))
            if not source.why_not and source.annotation is None:
                source.why_not = "corrected, but not accepted" if value in corrected else "not accepted"
            sources.append(source)
            yield
    return sources


def _partner_frame(found: _Scene, partner: Any, value: str) -> Any:
    """Return the frame of a paired cine at an index value; None where it has none, or one without an image."""
    item = item_at(partner, value)
    return item if item is not None and _readable(found, item, f"{partner.GetName()}, frame at {value}") else None


def annotating_sequences(sequence: Any) -> list[Any]:
    """Return the segmentation sequences of an image sequence and of those that it is paired with, its own first."""
    together = [sequence, *pairs.partners_of(sequence)]
    return [found for images in together for found in _segmentation_sequences(images)]


def _segmentation_sequences(sequence: Any) -> list[Any]:
    """Return the segmentation sequences that belong to an image sequence, whichever of its browsers they are in.

    A result names its source; any other one belongs to the first image sequence of its browser.
    """
    belonging: dict[str, Any] = {}
    for browser in browsers_of(sequence):
        together = sequences_of(browser)
        first_images = next((s for s in together if is_image_sequence(s)), None)
        for other in together:
            item = other.GetNthDataNode(0) if other.GetNumberOfDataNodes() else None
            if item is None or not item.IsA("vtkMRMLSegmentationNode"):
                continue
            if (other.GetNodeReference(result_marks.SOURCE_ROLE) or first_images) is sequence:
                belonging[other.GetID()] = other
    return list(belonging.values())


def _annotate(source: Source, segmentations: Sequence[Any]) -> Pieces[None]:
    """Find the one segmentation that counts for an image, or why there is none."""
    read = []
    for segmentation in segmentations:
        try:
            read.append((segmentation, (yield from annotation_in_pieces(segmentation, source.volume))))
        except SemiSegError as error:
            source.why_not, source.left_out = error.cause, True
            return
    counting = [(node, annotation) for node, annotation in read if annotation.counts]
    if len(counting) == 1 and _is_resized(source, counting[0][0]):
        source.why_not, source.left_out = RESIZED, True
    elif len(counting) == 1:
        source.segmentation, source.annotation = counting[0]
    elif counting:
        names = ", ".join(f'"{node.GetName()}"' for node, _ in counting)
        source.why_not, source.left_out = (
            f"several segmentations count for it ({names}): choose one below the table",
            True,
        )
    elif read and all(annotation.flagged for _, annotation in read):
        source.why_not, source.left_out = "every segment is flagged", True
    elif any(annotation.predicted for _, annotation in read):
        corrected = any(_is_corrected(node) for node, _ in read)
        source.why_not = f"only a model's result, which nobody has accepted{' since it was corrected' * corrected}"
    elif read:
        source.why_not = "no segment is marked as started: set a status, or accept it"


def _is_resized(source: Source, segmentation: Any) -> bool:
    """Return whether an image has another spacing than when it was outlined, or the one that was of two paired ones."""
    frames = [frame for frame in (source.volume, *source.partners) if frame is not None]
    images = [image_of(segmentation)] if source.frame is None else frames
    return all(was_resized(segmentation, image) for image in images)


def _is_corrected(segmentation: Any) -> bool:
    """Return whether somebody has gone on with what a model drew."""
    return any(drawn_by(segment) == "SEMIAUTOMATIC" for _, segment in result_marks.segments_of(segmentation))
