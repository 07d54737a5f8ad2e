"""What a training would work with, before it runs: how much of what, and what to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from SemiSegCervicalLib.pieces import Pieces, whole

from ..catalogue import MethodText
from .findings import Finding as Finding
from .findings import find_all, sort_cases
from .split import Split
from .training_set import TrainingCase, TrainingSet


@dataclass(frozen=True)
class ClassFacts:
    """How much of a class is annotated on each side.

    Attributes:
        value, name: of the class.
        training_voxels, training_cases: painted voxels that train, and in how many images or frames.
        validation_voxels, validation_cases: the same of what validates.
    """

    value: int
    name: str
    training_voxels: int
    training_cases: int
    validation_voxels: int
    validation_cases: int


@dataclass(frozen=True)
class Facts:
    """What a training would work with.

    Attributes:
        training, validation, unlabelled: images or frames in each use; a volume of which slices validate is in the
            first two.
        dropped: next to validation frames, or of a patient that is held out, and therefore not used.
        left_out: not used for other reasons.
        classes: one per class, in the order of their values.
        background_voxels: voxels that are certainly background and train.
        open_voxels: voxels of which no class is certain and which may train: what semi-supervised methods use.
        dimensions: 2 for pictures and frames, 3 for volumes, None where both are used or nothing is.
        modalities: images per case.
        shapes: smallest and largest size in voxels per axis, slowest first; None where nothing is used.
        spacings: smallest and largest voxel in mm per axis; None where no image is calibrated.
        uncalibrated: images or frames without a voxel size.
        groups: patients or sequences among what trains and validates with annotation.
        split: what was held out, in plain words.
        findings: the gravest first.
    """

    training: int
    validation: int
    unlabelled: int
    dropped: int
    left_out: int
    classes: tuple[ClassFacts, ...]
    background_voxels: int
    open_voxels: int
    dimensions: int | None
    modalities: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None
    spacings: tuple[tuple[float, ...], tuple[float, ...]] | None
    uncalibrated: int
    groups: int
    split: str
    findings: tuple[Finding, ...]

    @property
    def voxel(self) -> str:
        """What one of its voxels is called: a pixel where there are only pictures and frames."""
        return "pixel" if self.dimensions == 2 else "voxel"

    @property
    def refused(self) -> Finding | None:
        """The first finding for which a training must not start."""
        return next((finding for finding in self.findings if finding.refuses), None)


def gather_facts(training_set: TrainingSet, split: Split, method: MethodText | None = None) -> Facts:
    """Do what `facts_in_pieces` does, at once."""
    return whole(facts_in_pieces(training_set, split, method))


def facts_in_pieces(training_set: TrainingSet, split: Split, method: MethodText | None = None) -> Pieces[Facts]:
    """Gather what a training would work with; nothing is computed with, and nothing in the scene changes.

    Args:
        training_set: from `collect.collect_training_set`.
        split: of this set.
        method: the chosen one; what it needs and does not have is then refused.

    Returns:
        The facts; in pieces of a few milliseconds of work.
    """
    for case in training_set.used("labelled", "partly"):
        yield from case.count_in_pieces()
    parts = sort_cases(training_set, split)
    yield
    classes = tuple(
        ClassFacts(
            entry.value,
            entry.name,
            *_painted(parts.training, entry.value),
            *_painted(parts.validation, entry.value),
        )
        for entry in training_set.classes
    )
    yield
    certain = sum(int(case.counts[rows].sum()) for case, rows in parts.training)
    size = sum(len(rows) * case.shape[1] * case.shape[2] for case, rows in parts.training)
    size += sum(int(np.prod(case.shape)) for case in parts.unlabelled)
    images = parts.images
    flat = {case.shape[0] == 1 for case in images}
    dimensions = None if len(flat) != 1 else 2 if flat == {True} else 3
    axes = 1 if dimensions == 2 else 0
    spaced = [case.spacing for case in images if case.spacing is not None] if dimensions else []
    facts = Facts(
        training=len(parts.training),
        validation=len(parts.validation),
        unlabelled=len(parts.unlabelled),
        dropped=len(parts.dropped),
        left_out=len(parts.left_out),
        classes=classes,
        background_voxels=sum(int(case.counts[rows, 0].sum()) for case, rows in parts.training),
        open_voxels=size - certain,
        dimensions=dimensions,
        modalities=max((len(case.images) for case in images), default=0),
        shapes=_range([case.shape[axes:] for case in images]) if images else None,
        spacings=_range(spaced) if spaced else None,
        uncalibrated=sum(case.spacing is None for case in images),
        groups=len({case.group for case, _ in (*parts.training, *parts.validation)}),
        split=split.how,
        findings=(),
    )
    findings = yield from find_all(training_set, facts, parts, split, method)
    return replace(facts, findings=findings)


def _painted(side: Sequence[tuple[TrainingCase, list[int]]], value: int) -> tuple[int, int]:
    """Return voxels of a class, and the number of cases that hold any."""
    voxels = [int(case.counts[rows, value].sum()) for case, rows in side]
    return sum(voxels), sum(count > 0 for count in voxels)


def _range(values: Sequence[tuple]) -> tuple[tuple, tuple]:
    columns = list(zip(*values, strict=False))
    return tuple(map(min, columns)), tuple(map(max, columns))
