"""The section Training: how long, by which method, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.panel.cards import failure_of, read_card
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.locks import Locks
from SemiSegCervicalLib.panel.models import FILTER
from SemiSegCervicalLib.scene.classes import name_key
from SemiSegCervicalLib.worker.protocol import ModelCard

from ..catalogue import METHODS
from ..scene.training_set import TrainingSet
from .parameters import Parameters
from .recipe import (
    AUTOMATIC,
    PRESETS,
    SCRATCH,
    dimensions_of,
    fits,
    has_unlabelled,
    lacks_images,
    method_of,
    start_of,
    trains_further,
)
from .state import PanelState

_FILE = "file"


class RecipeSection:
    """Shows and changes the choices of `Parameters`."""

    def __init__(
        self,
        ui: Any,
        on_change: Callable[[], None],
        on_error: Callable[[SemiSegError], None],
        choose_file: Callable[[str, str], str],
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            on_change: called when something has changed that the parameters do not tell.
            on_error: called with why a file cannot be used.
            choose_file: asks for a file, with a title and a filter; an empty text means none.
        """
        self.ui, self._on_change, self._on_error, self._choose_file = ui, on_change, on_error, choose_file
        self._parameters: Any = None
        self._installed: dict[str, ModelCard] = {}
        self._others: dict[str, ModelCard] = {}  # files that were chosen, by path
        self._presets = {ui.quickButton: "Quick", ui.standardButton: "Standard", ui.thoroughButton: "Thorough"}
        self._connections = Connections(
            (ui.methodComboBox, "activated(int)", self._method_chosen),
            (ui.startComboBox, "activated(int)", self._start_chosen),
            (ui.quickButton, "clicked()", self._quick),
            (ui.standardButton, "clicked()", self._standard),
            (ui.thoroughButton, "clicked()", self._thorough),
        )
        self._locks = Locks(
            *self._presets, ui.methodComboBox, ui.startComboBox, ui.nameLineEdit, ui.minutesSpinBox,
            ui.iterationsSpinBox, ui.sizeLineEdit, ui.spacingLineEdit, ui.seedSpinBox, ui.deviceComboBox,
            ui.calibrateCheckBox, ui.offerStopCheckBox,
        )  # fmt: skip
        self.reload()

    @property
    def cards(self) -> dict[str, ModelCard]:
        """The models that a training can start from, by name or path."""
        return {**self._installed, **self._others}

    def set_parameters(self, parameters: Parameters | None) -> None:
        """Take the choices of a scene; None while there are none."""
        self._parameters = parameters
        start = parameters.start if parameters is not None else ""
        if start not in ("", AUTOMATIC, SCRATCH) and start not in self.cards and Path(start).exists():
            self._others[start] = read_card(Path(start))

    def reload(self) -> None:
        """Look again which models are installed."""
        self._installed = {name: read_card(path) for name, path in find_packs().items()}

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, chosen, found = self.ui, self._parameters, state.training_set
        if chosen is None:
            return
        self._locks.set(bool(state.busy), state.busy)
        for button, name in self._presets.items():
            button.setChecked(not chosen.iterations and chosen.minutes == PRESETS[name])
        ui.minutesSpinBox.enabled = not state.busy and not chosen.iterations
        ui.ownLengthLabel.text = _own_length(chosen)
        ui.ownLengthLabel.visible = bool(ui.ownLengthLabel.text)
        if found is None:
            return
        self._show_methods(found)
        fresh = self._show_starts(found)
        told = _name_text(self._installed.get(chosen.name.strip()), found)
        ui.nameInfoLabel.text = f"<small>{escape(told)}</small>"
        ui.nameInfoLabel.visible = bool(told)
        for widget in (ui.sizeLabel, ui.sizeLineEdit):
            widget.visible = fresh
        for widget in (ui.spacingLabel, ui.spacingLineEdit):
            widget.visible = fresh and dimensions_of(found) == 3
        for widget in (ui.sizeLineEdit, ui.spacingLineEdit):
            widget.placeholderText = "Chosen by the images"

    def close(self) -> None:
        """Disconnect the widgets."""
        self._connections.close()

    def _show_methods(self, found: TrainingSet) -> None:
        chosen = self._parameters.method
        proposed = method_of(AUTOMATIC, found, self._length)
        about = dimensions_of(found), has_unlabelled(found), len(found.modalities), lacks_images(found)
        suited = [m for m in METHODS if m.fits(*about) or m.name == chosen]
        entries = [(f"Automatic: {proposed.title}", AUTOMATIC), *((m.title, m.name) for m in suited)]
        _fill(self.ui.methodComboBox, entries, chosen if chosen in [name for _, name in entries] else AUTOMATIC)
        method, ample = method_of(chosen, found, self._length), method_of(AUTOMATIC, found, None)
        use = method.use
        if chosen == AUTOMATIC and method is not ample:
            use = (
                "In so short a training, what is not annotated is not worth its time yet: "
                f"from {ample.minutes:g} minutes on {ample.title}."
            )
        self.ui.methodInfoLabel.text = f"<small>{escape(use)}</small>"

    @property
    def _length(self) -> float | None:
        """How long the training may take, in minutes; None where steps are counted."""
        return None if self._parameters.iterations else self._parameters.minutes

    def _show_starts(self, found: TrainingSet) -> bool:
        """Show where the training begins, and return whether with random weights."""
        chosen, cards = self._parameters.start, self.cards
        method = method_of(self._parameters.method, found, self._length)
        automatic = start_of(AUTOMATIC, found, cards, method)
        first = f"the model {automatic.name}" if automatic is not None else "random weights"
        usable = [
            (card.name, key) for key, card in cards.items()
            if key == chosen or (fits(card, found) and trains_further(method, card))
        ]  # fmt: skip
        entries = [
            (f"Automatic: {first}", AUTOMATIC), *usable, ("Random weights", SCRATCH), ("From a file...", _FILE),
        ]  # fmt: skip
        if chosen not in [name for _, name in entries]:
            entries.insert(1, (f"{Path(chosen).name} (not there)", chosen))
        _fill(self.ui.startComboBox, entries, chosen)
        card = automatic if chosen == AUTOMATIC else cards.get(chosen)
        self.ui.startInfoLabel.text = f"<small>{escape(_start_text(card, chosen, found))}</small>"
        return card is None

    def _method_chosen(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.method = self.ui.methodComboBox.itemData(index)

    def _start_chosen(self, index: int) -> None:
        if self._parameters is None:
            return
        key = self.ui.startComboBox.itemData(index)
        if key == _FILE:
            key = self._ask_for_file()
        if key:
            self._parameters.start = key
        self._on_change()

    def _ask_for_file(self) -> str:
        """Return the path of a model that the user chose; empty for none, or one that cannot be used."""
        path = self._choose_file("Start from a model", FILTER)
        if not path:
            return ""
        card = read_card(Path(path))
        fault = failure_of(card)
        if fault is not None:
            self._on_error(fault)
            return ""
        self._others[path] = card
        return path

    def _quick(self) -> None:
        self._set_preset("Quick")

    def _standard(self) -> None:
        self._set_preset("Standard")

    def _thorough(self) -> None:
        self._set_preset("Thorough")

    def _set_preset(self, name: str) -> None:
        if self._parameters is not None:
            self._parameters.minutes, self._parameters.iterations = PRESETS[name], 0
        self._on_change()


def _fill(combo: Any, entries: Sequence[tuple[str, str]], chosen: str) -> None:
    """Offer entries (text, data) and show one; nothing is touched where all is as it should be."""
    blocked = combo.blockSignals(True)
    if [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count)] != list(entries):
        combo.clear()
        for text, data in entries:
            combo.addItem(text, data)
    combo.currentIndex = [data for _, data in entries].index(chosen)
    combo.blockSignals(blocked)


def _own_length(chosen: Any) -> str:
    if chosen.iterations:
        return f"{chosen.iterations} steps, as said under Advanced."
    return "" if chosen.minutes in PRESETS.values() else f"{chosen.minutes:g} minutes, as said under Advanced."


def _name_text(card: ModelCard | None, found: TrainingSet) -> str:
    """Say what an installed model of the new one's name is for; nothing where the new one does the same, or more."""
    if card is None or card.failure is not None or not found.classes:
        return ""
    wanted = {name_key(entry.name) for entry in found.classes}
    if fits(card, found) and {name_key(entry.name) for entry in card.classes} <= wanted:
        return ""
    names, kind = ", ".join(c.name for c in card.classes), "volumes" if card.spatial_dims == 3 else "single images"
    return (
        f"There is a model of this name, which segments {names} in {kind}. It would become an earlier version of the "
        "new one and not be listed any more: choose another name to keep both."
    )


def _start_text(card: ModelCard | None, chosen: str, found: TrainingSet) -> str:
    if card is None:
        if chosen == AUTOMATIC:
            return "No installed model suits the method and knows exactly these segments: everything is learned anew."
        return "Everything is learned anew." if chosen == SCRATCH else "Choose another model."
    same = [name_key(c.name) for c in card.classes] == [name_key(c.name) for c in found.classes]
    names = ", ".join(c.name for c in card.classes)
    aside = "" if same else " They are not the segments here, so its last layer is learned anew."
    return f"Goes on from a model that segments: {names}.{aside}"
