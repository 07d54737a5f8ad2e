"""The section Result: what came out, in numbers, for the image or the frame that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer

from ..figures import looks_unlike
from ..scene.cine import is_sequence
from ..scene.corrections import is_corrected
from ..scene.frames import keep_changes
from ..scene.navigation import go_to_frame, uncertain_frames, worst_frame
from ..scene.nodes import nodes_of
from ..scene.record_figures import Frame, atypicality_of, frame_segments, frames_of, is_flat, segments_of
from ..scene.records import Record, find_records, is_complete
from ..scene.source import source_of_record
from .connections import Connections
from .frames import shown_frame, total_frames
from .inputs import NO_BROWSER, why_no_frame
from .segments_table import fill_table, prepare_table
from .state import PanelState
from .watching import Watching

_DEVICES = {"cpu": "processor", "cuda": "graphics card", "mps": "graphics card"}
_REDRAW_MS = 50
_SURFACE = "Closed surface"
_UNLIKE = " looks unlike the images of the training."
_CORRECTED = " The figures are the model's, before your corrections."


class ResultsSection:
    """Shows one result of the scene and leads to its frames, to 3D and to the Segment Editor."""

    def __init__(
        self,
        ui: Any,
        on_choose: Callable[[Record], None],
        correct: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the results' widgets.
            on_choose: called with the result that the user wants to see.
            correct: opens the Segment Editor for a segmentation and its source volume.
        """
        self.ui, self._on_choose, self._correct = ui, on_choose, correct or open_segment_editor
        self._record: Record | None = None
        self._offered: list[Record] = []
        self._busy = False
        self._frames: list[Frame] = []
        self._watching = Watching(self.frames_added, _REDRAW_MS)
        self._connections = Connections(
            (ui.resultComboBox, "activated(int)", self._chosen),
            (ui.previousFrameButton, "clicked()", self._to_previous),
            (ui.worstFrameButton, "clicked()", self._to_worst),
            (ui.nextFrameButton, "clicked()", self._to_next),
            (ui.show3DButton, "toggled(bool)", self._show_3d),
            (ui.correctButton, "clicked()", self._to_editor),
        )
        prepare_table(ui.segmentsTable)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self._busy = state.arriving
        self.set_record(state.record)

    def set_record(self, record: Record | None) -> None:
        """Show a result of the scene; None shows nothing."""
        self._record = record if record is not None and record.exists else None
        record = self._record
        self.ui.resultButton.visible = record is not None
        self._watching.watch(
            [record.table, record.frames_table, record.browser, record.segmentation, *_frame_nodes(record)]
            if record is not None
            else ()
        )
        self._offer()
        self.frames_added()

    def frames_added(self) -> None:
        """Show the frames that have come."""
        self._frames = frames_of(self._record) if self._record is not None else []
        self._show()

    def close(self) -> None:
        """Let go."""
        self._watching.close()
        self._connections.close()

    # -- which result --

    def _offer(self) -> None:
        """List the results of the scene, the newest first; one alone needs no list."""
        combo = self.ui.resultComboBox
        found = find_records(slicer.mrmlScene)[::-1]
        names = [title_of(record) for record in found]
        if names != [combo.itemText(i) for i in range(combo.count)]:
            combo.clear()
            combo.addItems(names)
        self._offered = found
        combo.setCurrentIndex(found.index(self._record) if self._record in found else -1)
        self.ui.resultChoiceHost.visible = len(found) > 1
        self.ui.resultComboBox.enabled = not self._busy
        self.ui.resultComboBox.toolTip = (
            "Wait until the job has ended, or cancel it."
            if self._busy
            else "Which of the results in the scene is shown here; in the views, other results of its image are hidden."
        )

    def _chosen(self, index: int) -> None:
        if 0 <= index < len(self._offered):
            self._on_choose(self._offered[index])

    # -- what it says --

    def _show(self) -> None:
        record = self._record
        if record is None or not record.exists:
            return
        framed = record.frames_table is not None
        number = shown_frame(record) if framed else None
        figures = frame_segments(record, number) if number is not None else []
        self.ui.resultInfoLabel.text = describe(record, len(self._frames), total_frames(record), self._busy)
        self.ui.framesHost.visible = framed
        if framed:
            self.ui.frameLabel.text = (
                describe_frame(number, total_frames(record), self._frames, self._busy)
                if number is not None
                else "{}. {}.".format(*why_no_frame(source_of_record(record)))
            )
            self._enable_navigation(number)
            atypicality = next((frame.atypicality for frame in self._frames if frame.number == number), None)
        else:
            figures, atypicality = segments_of(record), atypicality_of(record)
        segmentation = record.shown_segmentation
        if figures and segmentation is not None and is_corrected(segmentation, record.classes):
            (self.ui.frameLabel if framed else self.ui.resultInfoLabel).text += _CORRECTED
        fill_table(self.ui.segmentsTable, record, figures, looks_unlike(atypicality))
        self._enable_actions(record)

    def _enable_navigation(self, number: int | None) -> None:
        ui = self.ui
        worst = uncertain_frames(self._frames)
        none = "No frame is computed yet."
        targets = {
            ui.worstFrameButton: (worst_frame(self._frames), "Go to the frame with the highest mean uncertainty."),
            ui.previousFrameButton: (
                self._before(worst, number), "Go to the previous one of the tenth of the frames with most uncertainty."
            ),
            ui.nextFrameButton: (
                self._after(worst, number), "Go to the next one of the tenth of the frames with most uncertainty."
            ),
        }  # fmt: skip
        for button, (target, tip) in targets.items():
            button.enabled = target is not None
            button.toolTip = tip if target is not None else (none if not worst else "There is no further one.")

    @staticmethod
    def _before(worst: Sequence[int], number: int | None) -> int | None:
        return next((n for n in reversed(worst) if number is None or n < number), None)

    @staticmethod
    def _after(worst: Sequence[int], number: int | None) -> int | None:
        return next((n for n in worst if number is None or n > number), None)

    def _to_worst(self) -> None:
        self._go_to(worst_frame(self._frames))

    def _to_previous(self) -> None:
        self._go_to(self._before(uncertain_frames(self._frames), self._shown()))

    def _to_next(self) -> None:
        self._go_to(self._after(uncertain_frames(self._frames), self._shown()))

    def _shown(self) -> int | None:
        return shown_frame(self._record) if self._record is not None else None

    def _go_to(self, number: int | None) -> None:
        if self._record is not None and number is not None:
            go_to_frame(self._record, number)
            self._show()

    # -- what can be done with it --

    def _enable_actions(self, record: Record) -> None:
        ui, segmentation = self.ui, record.shown_segmentation
        gone = "The segmentation was deleted." if record.segmentation is None else f"{NO_BROWSER}."
        flat = is_flat(record)
        ui.show3DButton.visible = not flat
        ui.show3DButton.enabled = segmentation is not None
        ui.show3DButton.toolTip = (
            "Draw the surfaces of the segments in the 3D view; for a large volume this takes seconds."
            if segmentation is not None
            else gone
        )
        blocked = ui.show3DButton.blockSignals(True)
        ui.show3DButton.checked = segmentation is not None and has_surfaces(segmentation)
        ui.show3DButton.blockSignals(blocked)
        ui.correctButton.enabled = segmentation is not None and not self._busy
        if segmentation is None:
            ui.correctButton.toolTip = gone
        elif self._busy:
            ui.correctButton.toolTip = "Wait until the job has ended, or cancel it."
        else:
            ui.correctButton.toolTip = "Open this segmentation in the Segment Editor, to paint and erase."

    def _show_3d(self, on: bool) -> None:
        segmentation = self._record.shown_segmentation if self._record is not None else None
        if segmentation is not None:
            show_surfaces(segmentation, on)

    def _to_editor(self) -> None:
        record = self._record
        if record is None or record.shown_segmentation is None:
            return
        if record.browser is not None:
            keep_changes(record.browser, record.segmentation)
        self._correct(record.shown_segmentation, record.shown_source)


def title_of(record: Record) -> str:
    """Return what a result is called in a list: of one image there may be those of several models."""
    model = record.run.get("model")
    return f"{record.name} ({model})" if model else record.name


def describe(record: Record, frames: int, total: int, busy: bool = False) -> str:
    """Say in a line what made a result, and whether all of it is there."""
    run = record.run
    parts = [f'Model "{run["model"]}"' if run.get("model") else "Result"]
    if run.get("device"):
        parts.append(f"on the {_DEVICES.get(str(run['device']).partition(':')[0], run['device'])}")
    if run.get("seconds") is not None:
        parts.append(f"in {run['seconds']:.1f} s")
    text = " ".join(parts) + "."
    if record.frames_table is not None:
        asked = run.get("asked") or total
        text += f" {frames} of {asked} frames are computed." if not is_complete(record) or frames != total else ""
        text += f" All {total} frames are computed." if frames == total and is_complete(record) else ""
    elif not is_complete(record) and not busy:
        text += " A part of it was deleted."
    return f"{text} The image{_UNLIKE}" if looks_unlike(atypicality_of(record)) else text


def describe_frame(number: int, total: int, frames: Sequence[Frame], busy: bool = False) -> str:
    """Say what is known of the frame that is looked at."""
    found = next((frame for frame in frames if frame.number == number), None)
    if found is None:
        return f"Frame {number + 1} of {total}: not computed{' yet' if busy else ''}."
    text = f"Frame {number + 1} of {total}: mean uncertainty {found.mean_uncertainty:.0f} % over the picture."
    return f"{text} It{_UNLIKE}" if looks_unlike(found.atypicality) else text


def has_surfaces(segmentation: Any) -> bool:
    """Return whether the surfaces of a segmentation are there and drawn."""
    display = segmentation.GetDisplayNode()
    return (
        segmentation.GetSegmentation().ContainsRepresentation(_SURFACE)
        and display is not None
        and bool(display.GetVisibility3D())
    )


def show_surfaces(segmentation: Any, on: bool) -> None:
    """Draw the surfaces of the segments in 3D, or no longer."""
    if on:
        with slicer.util.WaitCursor():
            segmentation.CreateClosedSurfaceRepresentation()
        segmentation.CreateDefaultDisplayNodes()  # where it was deleted
        segmentation.GetDisplayNode().SetVisibility3D(True)
    elif segmentation.GetSegmentation().GetSourceRepresentationName() == _SURFACE:
        segmentation.GetDisplayNode().SetVisibility3D(False)  # made so in the module Segmentations: there is no other
    else:
        segmentation.RemoveClosedSurfaceRepresentation()


def open_segment_editor(segmentation: Any, source: Any) -> None:
    """Show a segmentation with its image in the Segment Editor; the views go on showing what they show."""
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor

    def hand_over() -> None:
        editor.setSegmentationNode(segmentation)
        if source is not None:
            editor.setSourceVolumeNode(source)

    # Before it is opened: an editor without a segmentation takes the first of the scene, and puts its image into all
    # views in the place of what they show. And after it: one that nobody has opened in this scene yet may take none.
    hand_over()
    slicer.util.selectModule("SegmentEditor")
    hand_over()


def _frame_nodes(record: Record) -> list[Any]:
    """Return what changes the frames: of a cine its sequence, of a stack the slice views, which show another."""
    if record.frames_table is None:
        return []
    if is_sequence(record.source):
        return [record.source]
    return nodes_of(slicer.mrmlScene, "vtkMRMLSliceNode")
