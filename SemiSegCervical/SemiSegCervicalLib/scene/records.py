"""A result as nodes of the scene, so that a reopened scene, a reloaded module or a script finds it again.

One table node, "NAME figures", stands for the result: its rows are the figures of the segments (`record_figures`), its
node references lead to source, segmentation and uncertainty (for a cine: the sequences), its attributes say what made
it. A result of frames has a second table, "NAME frames", that grows while they arrive. What was deleted since reads as
None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import marks
from .cine import browser_of, is_sequence
from .classes import SegmentClass
from .hierarchy import put_beside
from .nodes import nodes_of
from .tables import new_table

COMPLETE = "complete"
"""Key of `Record.run`: whether all that was asked for is there."""


@dataclass(frozen=True)
class Record:
    """A handle on one result; two of the same table are equal. Each property is None where its node is gone."""

    table: Any

    @property
    def exists(self) -> bool:
        """Whether the result is still in its scene."""
        return self.table.GetScene() is not None

    @property
    def name(self) -> str:
        """What the result is called."""
        return str(self.table.GetName()).removesuffix(" figures")

    @property
    def source(self) -> Any:
        """The volume that was segmented; for a cine its image sequence."""
        return self._node(marks.SOURCE_ROLE)

    @property
    def segmentation(self) -> Any:
        """The segmentation; for a cine the segmentation sequence."""
        return self._node(marks.SEGMENTATION_ROLE)

    @property
    def uncertainty(self) -> Any:
        """The percent volume; for a cine the sequence of them; None also where none was asked for."""
        return self._node(marks.UNCERTAINTY_ROLE)

    @property
    def frames_table(self) -> Any:
        """The figures of each frame; None for a single image or volume."""
        return self._node(marks.FRAMES_ROLE)

    @property
    def browser(self) -> Any:
        """What browses the cine, of several the one that shows the result; None for volumes and stacks."""
        nodes = (self.segmentation, self.uncertainty, self.source)
        sequence = next((node for node in nodes if is_sequence(node)), None)
        return browser_of(sequence) if sequence is not None else None

    @property
    def shown_source(self) -> Any:
        """What views show of the source: for a cine the volume with the current frame."""
        return self._shown(self.source)

    @property
    def shown_segmentation(self) -> Any:
        """What views show of the segmentation: for a cine that of the current frame."""
        return self._shown(self.segmentation)

    @property
    def shown_uncertainty(self) -> Any:
        """What views show of the uncertainty: for a cine that of the current frame."""
        return self._shown(self.uncertainty)

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The class list of the model."""
        return tuple(
            SegmentClass(entry["value"], entry["name"], tuple(entry["color"]), entry["terminology"])
            for entry in _json(self.table, marks.CLASSES, [])
        )

    @property
    def run(self) -> dict[str, Any]:
        """What made the result, on what, and how it went, as `new_record` and `finish_record` were told."""
        found: dict[str, Any] = _json(self.table, marks.RUN, {})
        return found

    def _node(self, role: str) -> Any:
        return self.table.GetNodeReference(role) if self.exists else None

    def _shown(self, node: Any) -> Any:
        if not is_sequence(node):
            return node
        browser = self.browser
        return browser.GetProxyNode(node) if browser is not None else None


def new_record(
    scene: Any,
    name: str,
    source: Any,
    segmentation: Any,
    uncertainty: Any,
    classes: Sequence[SegmentClass],
    model: Mapping[str, Any],
    frames: bool = False,
) -> Record:
    """Add a result to the scene, its figures still missing.

    Args:
        scene: the scene of the nodes.
        name: what the result is called; made unique.
        source: volume or image sequence that was segmented.
        segmentation: segmentation node, or for a cine the sequence of them.
        uncertainty: percent volume, or for a cine the sequence of them; None without.
        classes: the class list of the model.
        model: what can be said beforehand, as JSON can hold it: ``model``, ``fingerprint``, ``asked`` (frames).
        frames: whether figures of single frames will follow (`record_figures.add_frames`).

    Returns:
        The result, not yet complete; its nodes lie with the patient and study of the image.
    """
    names = {record.name for record in find_records(scene)}
    unique, count = name, 1
    while unique in names:
        unique, count = f"{name}_{count}", count + 1
    table = new_table(scene, f"{unique} figures", marks.FIGURES)
    for role, node in (
        (marks.SOURCE_ROLE, source),
        (marks.SEGMENTATION_ROLE, segmentation),
        (marks.UNCERTAINTY_ROLE, uncertainty),
        (marks.FRAMES_ROLE, new_table(scene, f"{unique} frames", marks.FRAMES) if frames else None),
    ):
        table.SetNodeReferenceID(role, node.GetID() if node is not None else None)
    table.SetAttribute(marks.CLASSES, json.dumps([vars(entry) for entry in classes]))
    _sign(segmentation, str(model.get("model", "")))
    table.SetAttribute(marks.RUN, json.dumps({**model, COMPLETE: False}))
    record = Record(table)
    made = (record.shown_segmentation, record.shown_uncertainty, table, record.frames_table)
    put_beside(record.shown_source, made)
    return record


def find_records(scene: Any) -> list[Record]:
    """Return the results in a scene, the newest last."""
    tables = nodes_of(scene, "vtkMRMLTableNode")
    return [Record(table) for table in tables if table.GetAttribute(marks.CONTENT) == marks.FIGURES]


def is_complete(record: Record) -> bool:
    """Return whether the run came to its end and source and segmentation are still there."""
    return bool(
        record.exists and record.run.get(COMPLETE) and record.source is not None and record.segmentation is not None
    )


def _sign(segmentation: Any, model: str) -> None:
    """Say in the segments that a model drew them: Slicer's own DICOM export calls manual whatever does not."""
    if segmentation.IsA("vtkMRMLSegmentationNode") and model:
        for _, segment in marks.segments_of(segmentation):
            segment.SetTag(marks.ALGORITHM_TYPE, "AUTOMATIC")
            segment.SetTag(marks.ALGORITHM_NAME, model)


def _json(node: Any, attribute: str, default: Any) -> Any:
    """Read an attribute that a person or another version may have damaged."""
    try:
        found = json.loads(node.GetAttribute(attribute) or "null")
    except ValueError:
        return default
    return found if isinstance(found, type(default)) else default
