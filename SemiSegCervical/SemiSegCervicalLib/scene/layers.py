"""Uncertainty over the image in the slice views, and everything as it was once it is taken off again.

While it is shown the segments of all results of the image are outlines: their fill would be drawn over it. What was
there before is kept in each result's own nodes, so that a reopened scene or a reloaded module can take it off as well;
how segments were drawn in their display, which Slicer's scene views bring back as it was.
What the user changes in the meantime stays as the user wants it: only what is still ours is restored.
"""

from __future__ import annotations

import json
from typing import Any

from . import marks
from .nodes import nodes_of
from .overlay import add_legend, legend_of
from .records import Record, find_records

DEFAULT_OPACITY = 0.6
_LINE_WIDTH = 2
"""Outlines must stand out against the overlay's colours."""


def composites(scene: Any) -> list[Any]:
    """Return the nodes that say what each slice view of the scene shows."""
    return nodes_of(scene, "vtkMRMLSliceCompositeNode")


def views_of(record: Record) -> list[Any]:
    """Return the composite nodes of the views in which a result's uncertainty is the foreground layer."""
    volume = record.shown_uncertainty
    if volume is None:
        return []
    return [c for c in composites(volume.GetScene()) if c.GetForegroundVolumeID() == volume.GetID()]


def show_uncertainty(record: Record, opacity: float = DEFAULT_OPACITY, everywhere: bool = True) -> bool:
    """Lay the uncertainty over the views that show its source.

    Args:
        record: the result.
        opacity: of the layer, 0 to 1.
        everywhere: where no view shows the source, show it in all of them.

    Returns:
        Whether it is shown now.
    """
    volume, source = record.shown_uncertainty, record.shown_source
    if volume is None:
        return False
    scene = volume.GetScene()
    every = composites(scene)
    views = [c for c in every if source is not None and c.GetBackgroundVolumeID() == source.GetID()]
    if not views and not everywhere:
        return False
    kept = _read(record.table, marks.LAYERS)
    for view in views or every:
        was_modifying = view.StartModify()
        if view.GetForegroundVolumeID() != volume.GetID():
            kept[view.GetLayoutName()] = _remembered(record, view)
            view.SetForegroundVolumeID(volume.GetID())
        if not views and source is not None:
            view.SetBackgroundVolumeID(source.GetID())
        view.SetCompositing(view.Alpha)
        view.SetForegroundOpacity(opacity)
        view.EndModify(was_modifying)
    record.table.SetAttribute(marks.LAYERS, json.dumps(kept))
    for each in _of_one_image(record):
        _outline(each)
    # Last: a legend appears only where its volume is in the view already.
    legend = add_legend(volume)
    if legend is not None:
        legend.SetVisibility(True)
    return True


def hide_uncertainty(record: Record) -> None:
    """Take the uncertainty off again, and its legend; views and segments become what they were."""
    kept = _read(record.table, marks.LAYERS)
    for view in views_of(record):
        was_modifying = view.StartModify()
        _restore(record, view, kept.get(view.GetLayoutName(), {}))
        view.EndModify(was_modifying)
    tidy(record)


def tidy(record: Record) -> None:
    """Where no view shows the uncertainty any more, take off its legend.

    Where it was the last one of its image, the segments of all results of that image become what they were. So it must
    also be called when the user has put something else into the views.
    """
    if views_of(record):
        return
    volume = record.shown_uncertainty
    legend = legend_of(volume) if volume is not None else None
    if legend is not None:
        legend.SetVisibility(False)
    if not record.exists:
        return
    together = _of_one_image(record)
    if not any(views_of(each) for each in together):
        for each in together:
            _forget(each)


def let_go(record: Record) -> None:
    """Take the uncertainty off a result that goes, and give its segments back what they were whatever else is shown."""
    hide_uncertainty(record)
    if record.exists:
        _forget(record)


def set_segmentation(record: Record, segmentation: Any) -> None:
    """Make another segmentation that of a result; where the former is shown as outlines, so is the new one.

    Args:
        record: the result of a volume or an image.
        segmentation: the other segmentation node.
    """
    outlined = bool(_read(_display(record), marks.OUTLINED))
    _fill(record)
    record.table.SetNodeReferenceID(marks.SEGMENTATION_ROLE, segmentation.GetID())
    if outlined:
        _outline(record)


def set_opacity(record: Record, opacity: float) -> None:
    """Make the layer more or less transparent.

    Args:
        record: the result.
        opacity: 0 to 1.
    """
    for view in views_of(record):
        view.SetForegroundOpacity(opacity)


def opacity_of(record: Record) -> float:
    """Return how opaque the layer is now, the default while it is not shown."""
    views = views_of(record)
    return float(views[0].GetForegroundOpacity()) if views else DEFAULT_OPACITY


def shown_opacity(record: Record | None) -> float | None:
    """Return how opaque the layer of a result is; None while it is not shown, and where there is no result."""
    return opacity_of(record) if record is not None and views_of(record) else None


def _roles(view_name: str) -> tuple[str, str]:
    return f"{marks.FOREGROUND_ROLE}.{view_name}", f"{marks.BACKGROUND_ROLE}.{view_name}"


def _of_one_image(record: Record) -> list[Record]:
    """Return the results of a result's image, it among them."""
    return [each for each in find_records(record.table.GetScene()) if each.source is record.source]


def _read(node: Any, attribute: str) -> dict[str, Any]:
    """Return what was remembered in an attribute; empty where it is missing or damaged, and without the node."""
    try:
        found = json.loads(node.GetAttribute(attribute) or "{}") if node is not None else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _display(record: Record) -> Any:
    segmentation = record.shown_segmentation
    return segmentation.GetDisplayNode() if segmentation is not None else None


def _remembered(record: Record, view: Any) -> dict[str, Any]:
    """Remember what a view shows; its volumes as references, which follow them when a scene is loaded."""
    foreground, background = _roles(view.GetLayoutName())
    record.table.SetNodeReferenceID(foreground, view.GetForegroundVolumeID())
    record.table.SetNodeReferenceID(background, view.GetBackgroundVolumeID())
    return {"opacity": view.GetForegroundOpacity(), "compositing": view.GetCompositing()}


def _restore(record: Record, view: Any, before: dict[str, Any]) -> None:
    foreground, background = (record.table.GetNodeReference(role) for role in _roles(view.GetLayoutName()))
    source = record.shown_source
    view.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    if source is not None and view.GetBackgroundVolumeID() == source.GetID() and before:
        view.SetBackgroundVolumeID(background.GetID() if background is not None else None)
    view.SetForegroundOpacity(before.get("opacity", view.GetForegroundOpacity()))
    view.SetCompositing(before.get("compositing", view.GetCompositing()))


def _outline(record: Record) -> None:
    """Show segments as outlines only, and remember what they were."""
    display = _display(record)
    if display is None or _read(display, marks.OUTLINED):
        return
    before = {
        "fill": bool(display.GetVisibility2DFill()),
        "outline": bool(display.GetVisibility2DOutline()),
        "width": display.GetSliceIntersectionThickness(),
    }
    was_modifying = display.StartModify()
    display.SetAttribute(marks.OUTLINED, json.dumps(before))
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(max(display.GetSliceIntersectionThickness(), _LINE_WIDTH))
    display.EndModify(was_modifying)


def _fill(record: Record) -> None:
    """Show segments as they were remembered, and remember them no longer."""
    display = _display(record)
    before = _read(display, marks.OUTLINED)
    if not before:
        return
    was_modifying = display.StartModify()
    display.RemoveAttribute(marks.OUTLINED)
    if not display.GetVisibility2DFill():
        display.SetVisibility2DFill(bool(before.get("fill", True)))
    if display.GetVisibility2DOutline():
        display.SetVisibility2DOutline(bool(before.get("outline", True)))
    if display.GetSliceIntersectionThickness() == _LINE_WIDTH:
        display.SetSliceIntersectionThickness(int(before.get("width", 1)))
    display.EndModify(was_modifying)


def _forget(record: Record) -> None:
    """Show segments as they were, and remember nothing of them nor of the views."""
    _fill(record)
    for name in _read(record.table, marks.LAYERS):
        for role in _roles(name):
            record.table.SetNodeReferenceID(role, None)
    record.table.RemoveAttribute(marks.LAYERS)
