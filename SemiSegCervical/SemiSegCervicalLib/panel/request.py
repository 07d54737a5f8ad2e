"""What is to be segmented with what, and whether that can go well: asked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import SemiSegError
from ..scene.records import Record, find_records
from ..scene.segmentation import image_of
from ..scene.source import Source, check_together, source_of
from ..worker.protocol import ModelCard
from .cards import failure_of

AUTO, GPU, CPU = "auto", "gpu", "cpu"
DEVICES = (AUTO, GPU, CPU)


@dataclass(frozen=True)
class Request:
    """One job, checked.

    Attributes:
        card: the model.
        images: what it reads, by the index of the modality; the first one is the source of the result.
        device: ``auto``, ``gpu`` or ``cpu``.
        frames: numbers of the frames from 0, in the order in which they are wanted; None for a volume.
        replace: segmentation node whose segments the result replaces; None for a new one.
        uncertainty: also put the uncertainty into the scene.
        replaced: the result that the replaced segmentation belongs to, which goes with it; None where it is of none.
    """

    card: ModelCard
    images: Mapping[int, Source]
    device: str = AUTO
    frames: tuple[int, ...] | None = None
    replace: Any = None
    uncertainty: bool = True
    replaced: Record | None = field(default=None, repr=False)

    @property
    def source(self) -> Source:
        """The image whose geometry the result has."""
        return next(iter(self.images.values()))

    @property
    def target(self) -> Any:
        """The segmentation whose segments the result replaces, as long as it is in the scene; None for a new one."""
        return self.replace if self.replace is not None and self.replace.GetScene() is not None else None

    @property
    def lost(self) -> tuple[str, ...]:
        """What to say where it was removed while the job ran."""
        if self.target is self.replace:
            return ()
        return ("The segmentation to be replaced is not there any more, so the result is a new one",)

    @property
    def modalities(self) -> tuple[int, ...]:
        """Which modalities are there; empty, as the worker likes it, where all are."""
        return () if len(self.images) == len(self.card.modalities) else tuple(self.images)

    @property
    def name(self) -> str:
        """What the result's names begin with."""
        return str((self.source.shown or self.source.node).GetName())


def make_request(
    card: ModelCard,
    nodes: Mapping[int, Any],
    device: str = AUTO,
    frames: Sequence[int] | None = None,
    slices_as_frames: bool = False,
    replace: Any = None,
    uncertainty: bool = True,
) -> Request:
    """Put a job together and make sure that it can be done.

    Args:
        card: the model.
        nodes: nodes by the index of the modality; those that are None are left out.
        device: ``auto``, ``gpu`` or ``cpu``.
        frames: numbers from 0, in the order in which they are wanted; None for all.
        slices_as_frames: a volume of several slices is meant as a stack of frames.
        replace: segmentation node whose segments the result replaces.
        uncertainty: also put the uncertainty into the scene.

    Raises:
        SemiSegError: why it cannot be done, with what helps.
        ValueError: an unknown device.
    """
    if device not in DEVICES:
        raise ValueError(f"the device must be one of {', '.join(DEVICES)}")
    fault = failure_of(card)
    if fault is not None:
        raise fault
    images = {
        index: source_of(node, slices_as_frames and card.spatial_dims == 2)
        for index, node in sorted(nodes.items())
        if node is not None
    }
    if not images:
        source_of(None)
    _check_modalities(card, images)
    check_together(list(images.values()))
    source = next(iter(images.values()))
    _check_dimensions(card, source)
    replaced = _replaced(source, replace) if replace is not None else None
    return Request(card, images, device, _frames(source, frames), replace, uncertainty, replaced)


def _check_modalities(card: ModelCard, images: Mapping[int, Source]) -> None:
    names = card.modalities
    if max(images) >= len(names):
        raise SemiSegError(
            "wrong-modalities", f"The model {card.name} reads {len(names)} images ({', '.join(names)})",
            "Choose no more", "reading",
        )  # fmt: skip
    if not any(set(reads) <= images.keys() for reads in card.reads):
        raise SemiSegError(
            "missing-modality",
            f"No part of the model works with {' and '.join(names[i] for i in images)} alone",
            f"Choose more of {', '.join(names)}",
            "reading",
        )


def _check_dimensions(card: ModelCard, source: Source) -> None:
    if card.spatial_dims == 3 and source.kind == "cine":
        raise SemiSegError(
            "wrong-dimensions", "This model segments volumes, and the chosen image is a cine",
            "Choose a volume, or a model for single images", "reading",
        )  # fmt: skip
    if card.spatial_dims == 3 and (len(source.size) < 3 or min(source.size) == 1):
        raise SemiSegError(
            "wrong-dimensions", "This model segments volumes, and the chosen image is a single slice",
            "Choose the whole volume, or a model for single images", "reading",
        )  # fmt: skip
    if card.spatial_dims == 2 and min(source.size[-2:]) == 1:
        raise SemiSegError(
            "wrong-dimensions",
            f'The slices of "{source.node.GetName()}" are lines one pixel wide, its picture lies across them',
            "Bring it into the orientation of its picture in the module Orient Scalar Volume", "reading",
        )  # fmt: skip
    if card.spatial_dims == 2 and len(source.size) == 3:
        raise SemiSegError(
            "wrong-dimensions", "This model segments single images, and the chosen one is a volume",
            "Tick \"Treat slices as frames\" to segment it slice by slice, or choose a model for volumes", "reading",
        )  # fmt: skip


def _frames(source: Source, frames: Sequence[int] | None) -> tuple[int, ...] | None:
    if source.kind == "volume":
        return None
    chosen = tuple(range(source.frames)) if frames is None else tuple(int(number) for number in frames)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0 or max(chosen) >= source.frames:
        raise SemiSegError(
            "no-frame", f'The chosen frames are not among the {source.frames} of "{source.node.GetName()}"',
            "Choose other frames", "reading",
        )  # fmt: skip
    return chosen


def _replaced(source: Source, target: Any) -> Record | None:
    """Return the result that a segmentation belongs to, if it is one that the new one can replace."""
    if not target.IsA("vtkMRMLSegmentationNode"):
        raise _irreplaceable(target, "is no segmentation")
    record = next((r for r in find_records(target.GetScene()) if r.shown_segmentation is target), None)
    if source.kind == "cine" and (record is None or record.source is not source.node):
        raise _irreplaceable(target, "is no earlier result of this cine")
    if source.kind != "cine" and record is not None and record.browser is not None:
        raise _irreplaceable(target, "belongs to a cine")
    if record is not None and record.source is None:
        raise _irreplaceable(target, "is a result of an image that is not there any more")
    image = record.source if record is not None else image_of(target)
    if image not in (None, source.node):  # perhaps of another patient: chosen for an image before this one
        raise _irreplaceable(target, f'belongs to "{image.GetName()}"')
    return record


def _irreplaceable(target: Any, why: str) -> SemiSegError:
    return SemiSegError(
        "cannot-replace", f'"{target.GetName()}" {why} and cannot be replaced', "Choose a new segmentation", "reading"
    )
