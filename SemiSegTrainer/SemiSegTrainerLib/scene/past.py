"""What earlier trainings learned from, and what they were measured with: kept with the images.

A model that goes on from an earlier one has seen what that one learned from. Measured with it, it would look better
than it is; so what has once been kept aside stays aside, and what has been learned from never validates again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from SemiSegCervicalLib.errors import SemiSegError

from .attributes import hold, holders, is_outside, node_of, read_json, set_attribute
from .split import Split
from .training_set import Past, TrainingCase, TrainingSet

PAST = "SemiSeg.Past"
"""Attribute of a volume or image sequence, by index value of the frame (of a volume ""), and of the module's own node,
by id of a case on disk: JSON, the planes that were learned from and those that validated."""

_LATEST: list[object] = []


def remember(training_set: TrainingSet, split: Split | None) -> Callable[[], None]:
    """Keep on which side of a training its annotations are.

    Args:
        training_set: what is trained on.
        split: what of it validates; None for nothing.

    Returns:
        What makes it forgotten again, where nothing was kept since: the training came to nothing.
    """
    outside = _outside()
    nodes: dict[str, tuple[Any, dict[str, Past]]] = {}
    for case in training_set.used("labelled", "partly"):
        if case.read_labels is None or (split is not None and case.id in split.dropped):
            continue
        now = _sides(case, split)
        if is_outside(case.id):
            outside[case.id] = case.past | now
            continue
        try:
            node, frame = node_of(case.id)
        except SemiSegError:  # it was removed while the data were written
            continue
        _, frames = nodes.setdefault(node.GetID(), (node, _read(node)))
        frames[frame or ""] = case.past | now
    before = [(node, node.GetAttribute(PAST)) for node in (*(node for node, _ in nodes.values()), *holders())]
    for node, frames in nodes.values():
        set_attribute(node, PAST, _written(frames))
    if outside:
        hold(PAST, _written(outside))
        before += [(node, None) for node in holders() if all(node is not known for known, _ in before)]
    mine = object()
    _LATEST[:] = [mine]
    kept = [(node.GetID(), earlier, node.GetAttribute(PAST)) for node, earlier in before]

    def forget() -> None:
        if [mine] != _LATEST:  # a later training may have learned from the same
            return
        for node_id, earlier, written in kept:  # by id, for an image that is closed must not be kept alive
            node = slicer.mrmlScene.GetNodeByID(node_id)
            if node is not None and node.GetAttribute(PAST) == written:
                set_attribute(node, PAST, earlier)

    return forget


def past_of(node: Any, frame: str | None) -> Past:
    """Return the past of an image, or of one frame: `node` is the volume or image sequence."""
    return _read(node).get(frame or "", Past())


def outside_past(case_id: str, scene: Any = None) -> Past:
    """Return the past of a case on disk."""
    return _outside(scene).get(case_id, Past())


def _sides(case: TrainingCase, split: Split | None) -> Past:
    planes = {*case.annotated_slices, *(int(k) for k in np.flatnonzero(case.painted))}
    validating = () if split is None else split.validation.get(case.id, ())
    if split is None or validating is None:
        return Past(validated=frozenset(planes)) if split is not None else Past(learned=frozenset(planes))
    return Past(frozenset(planes.difference(split.held_out(case.id))), frozenset(validating))


def _outside(scene: Any = None) -> dict[str, Past]:
    return {case_id: past for holder in holders(scene) for case_id, past in _read(holder).items()}


def _read(node: Any) -> dict[str, Past]:
    found: dict[str, Past] = {}
    for key, sides in read_json(node.GetAttribute(PAST), dict).items():
        if isinstance(sides, list) and len(sides) == 2 and all(isinstance(planes, list) for planes in sides):
            found[key] = Past(*(frozenset(k for k in planes if isinstance(k, int)) for planes in sides))
    return found


def _written(pasts: dict[str, Past]) -> str:
    return json.dumps({key: [sorted(past.learned), sorted(past.validated)] for key, past in pasts.items()})
