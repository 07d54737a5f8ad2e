"""Which of the scene's images are segmented together: one each, or those of a patient in several modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer

from ..scene.cine import browser_of_proxy, source_sequence
from ..scene.pairs import modality_of, named_alike, partners_of
from .inputs import is_offered

Images = Mapping[int, Any]
"""Volumes by the index of the modality; of a cine the volume that shows its current frame."""


def offered_images() -> list[Any]:
    """Return what can be chosen as an image."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode") if is_offered(node)]


def cases_of(modalities: Sequence[str], images: Sequence[Any], chosen: Images) -> list[Images]:
    """Put the images of a patient together.

    Args:
        modalities: what the model reads.
        images: all that are offered.
        chosen: those of one patient, whose names tell which of the others belong together. None is not available.

    Returns:
        Cases in the order of the images. Of several modalities each is the chosen one, one that the user has said
        (`scene.pairs`), or one that is named like the chosen one; no image is in two.
    """
    if len(modalities) == 1:
        return [{0: image} for image in images]
    shown = {_holder(image): image for image in images}
    example = {index: _holder(node) for index, node in chosen.items() if node in images}
    partners = {partner for holder in shown for partner in partners_of(holder)}
    said = [_said(holder, modalities) for holder in shown if holder not in partners]
    # What is chosen counts; a single image perhaps only until its partner is chosen, too.
    offered = [example, *said] if len(example) > 1 else [*said, example]
    if len(example) > 1:
        left = [holder for holder in shown if not any(holder in case.values() for case in offered)]
        offered += [dict(zip(example, alike, strict=True)) for alike in named_alike(list(example.values()), left)]
    found: list[Images] = []
    taken: set[Any] = set()
    for case in offered:
        if case and not taken & set(case.values()) and all(holder in shown for holder in case.values()):
            found.append({index: shown[holder] for index, holder in case.items()})
            taken |= set(case.values())
    return sorted(found, key=lambda case: min(images.index(node) for node in case.values()))


def _said(holder: Any, modalities: Sequence[str]) -> dict[int, Any]:
    """Return what the user has said to be of one patient, or of what modality an image without partners is."""
    known = [name.casefold() for name in modalities]
    together = [(modality_of(node).casefold(), node) for node in (holder, *partners_of(holder))]
    return {known.index(name): node for name, node in together if name in known}


def _holder(image: Any) -> Any:
    """Return what pairs are made of: a volume, or the sequence of a cine."""
    return source_sequence(image) if browser_of_proxy(image) is not None else image
