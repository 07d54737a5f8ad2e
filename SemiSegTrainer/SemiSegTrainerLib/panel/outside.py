"""Images that are not in the scene: folders and saved scenes on disk that the user adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import qt
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.locks import Locks

from ..scene import choices
from ..scene.other_scenes import read_scene
from ..scene.training_set import TrainingCase, TrainingSet
from .rows import Row
from .state import PanelState

_SCENES = "Saved scenes (*.mrb *.mrml)"


def choose_folder(title: str) -> str:
    """Ask for a folder; an empty text means none."""
    return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title))


class OutsideSection:
    """Adds places on disk, and takes them away again."""

    def __init__(
        self,
        ui: Any,
        selected: Callable[[], Row | None],
        on_change: Callable[[], None],
        on_error: Callable[[SemiSegError], None],
        choose_file: Callable[[str, str], str],
        choose_folder: Callable[[str], str],
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            selected: returns the selected row of the table of cases.
            on_change: called when there are other places.
            on_error: called with why a place cannot be read.
            choose_file: asks for a file, with a title and a filter; an empty text means none.
            choose_folder: asks for a folder, with a title.
        """
        self.ui, self._selected, self._on_change, self._on_error = ui, selected, on_change, on_error
        self.choose_file, self.choose_folder = choose_file, choose_folder
        self._connections = Connections(
            (ui.addFolderButton, "clicked()", self._add_folder),
            (ui.addSceneButton, "clicked()", self._add_scene),
            (ui.removeOutsideButton, "clicked()", self._remove),
            (ui.removeLostButton, "clicked()", self._remove_lost),
        )
        self._seen: TrainingSet | None = None
        self._lost: str | None = None
        self._locks = Locks(ui.addFolderButton, ui.addSceneButton, ui.removeOutsideButton, ui.removeLostButton)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, row = self.ui, self._selected()
        self._locks.set(bool(state.busy), state.busy)
        place = place_of(row.cases[0]) if row is not None else None
        for widget in (ui.outsideLabel, ui.removeOutsideButton):
            widget.visible = place is not None
        if place is not None:
            what = "folder" if place in choices.folders() else "saved scene"
            ui.outsideLabel.text = f"Not in the scene, but from the {what} {place}"
            ui.removeOutsideButton.text = f"Use this {what} no more"
        if state.training_set is not self._seen:  # of a place that was just added nothing is known yet
            self._seen = state.training_set
            lost = places_without_case(self._seen.cases) if self._seen is not None else []
            self._lost = lost[0] if lost else None
        ui.removeLostButton.visible = self._lost is not None
        if self._lost is not None:
            name = Path(self._lost).name.replace("&", "&&")
            ui.removeLostButton.text = f'Nothing can be used of "{name}": do without it'
            if not state.busy:
                ui.removeLostButton.toolTip = f"Forgets {self._lost}, which stays as it is; Check says what is wrong."

    def close(self) -> None:
        """Disconnect the widgets."""
        self._connections.close()

    def _add_folder(self) -> None:
        path = self.choose_folder("Add the images of a folder")
        if path:
            choices.add_folder(path)
            self._on_change()

    def _add_scene(self) -> None:
        path = self.choose_file("Add the images of a saved scene", _SCENES)
        if not path:
            return
        try:
            with slicer.util.WaitCursor():  # it is read in one piece, and kept
                read_scene(Path(path))
        except SemiSegError as error:
            self._on_error(error)
            return
        choices.add_scene(path)
        self._on_change()

    def _remove(self) -> None:
        row = self._selected()
        self._forget(place_of(row.cases[0]) if row is not None else None)

    def _remove_lost(self) -> None:
        lost, self._lost = self._lost, None
        self._forget(lost)

    def _forget(self, place: str | None) -> None:
        if place is not None:
            choices.remove_folder(place)
            choices.remove_scene(place)
            self._on_change()


def place_of(case: TrainingCase) -> str | None:
    """Return the folder or saved scene that a case comes from; None for one of the open scene."""
    if case.source == "folder":  # by its group, for a data list may name files that lie elsewhere
        return next((path for path in choices.folders() if case.group.startswith(f"{Path(path).absolute()}:")), None)
    return next((path for path in choices.scenes() if case.id.startswith(f"scene:{path}:")), None)


def places_without_case(cases: Iterable[TrainingCase]) -> list[str]:
    """Return the folders and saved scenes of which there is no case: no row of the table stands for them."""
    there = {place_of(case) for case in cases if case.source != "scene"}
    return [place for place in (*choices.folders(), *choices.scenes()) if place not in there]
