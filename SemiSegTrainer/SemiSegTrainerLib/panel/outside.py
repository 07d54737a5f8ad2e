"""Images that are not in the scene: folders and saved scenes on disk that the user adds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.locks import Locks

from ..scene import choices
from ..scene.other_scenes import read_scene
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
        )
        self._locks = Locks(ui.addFolderButton, ui.addSceneButton, ui.removeOutsideButton)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, row = self.ui, self._selected()
        self._locks.set(bool(state.busy), state.busy)
        place = place_of(row) if row is not None else None
        for widget in (ui.outsideLabel, ui.removeOutsideButton):
            widget.visible = place is not None
        if place is not None:
            what = "folder" if place in choices.folders() else "saved scene"
            ui.outsideLabel.text = f"Not in the scene, but from the {what} {place}"
            ui.removeOutsideButton.text = f"Use this {what} no more"

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
        place = place_of(row) if row is not None else None
        if place is not None:
            choices.remove_folder(place)
            choices.remove_scene(place)
            self._on_change()


def place_of(row: Row) -> str | None:
    """Return the folder or saved scene that a row comes from; None for one of the open scene."""
    kind, _, rest = row.cases[0].id.partition(":")
    if not row.outside:
        return None
    if kind == "scene":
        return next((path for path in choices.scenes() if rest.startswith(f"{path}:")), None)
    parents = Path(rest).parents
    return next((path for path in choices.folders() if Path(path).resolve() in parents), None)
