"""The section Model: what is installed, what it can do, and how to add another."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ..packs import ENDING, find_packs
from ..words import many
from ..worker.protocol import ModelCard
from .cards import read_card
from .connections import Connections
from .locks import WHY
from .parameters import DEVICE_NAMES, Parameters
from .speed import expected_seconds, in_words
from .state import PanelState

_UNNAMED = ("image",)
"""What a training calls the modality of images of which nobody has said it."""
_SAID = (("dice", "Dice"), ("validation list", "what was kept aside from its training"))
"""What a training writes of the quality of its model, and how the panel says it."""
_HOW = "add one from a file, or train one with SemiSegTrainer"
FILTER = f"SemiSeg models (*{ENDING})"


class ModelSection:
    """Shows the installed models, and hands files that are to be added on."""

    def __init__(
        self,
        ui: Any,
        on_change: Callable[[], None],
        on_add: Callable[[Path], None],
        choose_file: Callable[[str, str], str],
    ) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            on_change: called when another model is chosen.
            on_add: called with a file that the user wants to add.
            choose_file: asks for a file, with a title and a filter; an empty text means none.
        """
        self.ui, self._on_change, self._on_add, self._choose_file = ui, on_change, on_add, choose_file
        self._parameters: Any = None
        self._cards: dict[str, ModelCard] = {}
        self._connections = Connections(
            (ui.modelComboBox, "activated(int)", self._chosen),
            (ui.addModelButton, "clicked()", self._add),
        )
        self.reload()

    @property
    def card(self) -> ModelCard | None:
        """The chosen model."""
        name = self._parameters.model if self._parameters is not None else ""
        return self._cards.get(name)

    def set_parameters(self, parameters: Parameters | None) -> None:
        """Take the choices of a scene; a model that is not there any more makes room for the first that is."""
        self._parameters = parameters
        self._settle()

    def reload(self) -> None:
        """Look again which models are installed."""
        self._cards = {name: read_card(path) for name, path in find_packs().items()}
        combo = self.ui.modelComboBox
        blocked = combo.blockSignals(True)
        combo.clear()
        for name, card in self._cards.items():
            combo.addItem(_title(name, card) if card.failure is None else f"{name} (damaged)", name)
        combo.blockSignals(blocked)
        self._settle()

    def choose(self, name: str) -> None:
        """Choose a model by the name of its file without ending."""
        if self._parameters is not None and name in self._cards:
            self._parameters.model = name
        self._settle()

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, card = self.ui, state.card
        ui.modelComboBox.enabled = bool(self._cards) and not state.busy
        ui.addModelButton.enabled = state.complete and not state.busy
        chosen = ui.modelComboBox.currentText  # it may be too long to be read whole
        ui.modelComboBox.toolTip = escape(chosen) if self._cards else f"No model is installed: {_HOW}."
        ui.addModelButton.toolTip = "Copies a model into your own folder, so that it stays when the file goes."
        if not state.complete:
            ui.addModelButton.toolTip = "Packages that check a model are missing: see the top of this panel."
        if state.busy:
            ui.modelComboBox.toolTip = ui.addModelButton.toolTip = WHY
        ui.modelInfoLabel.text = self._describe(state, card)

    def close(self) -> None:
        """Disconnect the widgets."""
        self._connections.close()

    def _settle(self) -> None:
        if self._parameters is None:
            return
        if self._parameters.model not in self._cards:
            usable = [name for name, card in self._cards.items() if card.failure is None]
            self._parameters.model = next(iter(usable), "")
        combo = self.ui.modelComboBox
        blocked = combo.blockSignals(True)
        combo.currentIndex = combo.findData(self._parameters.model)
        combo.blockSignals(blocked)

    def _chosen(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.model = self.ui.modelComboBox.itemData(index) or ""
        self._on_change()

    def _add(self) -> None:
        path = self._choose_file("Add a model", FILTER)
        if path:
            self._on_add(Path(path))

    def _describe(self, state: PanelState, card: ModelCard | None) -> str:
        if card is None:
            return f"<i>No model is installed yet:</i> {_HOW}."
        if card.failure is not None:
            return f"{escape(card.failure.cause)}. {escape(card.failure.remedy)}."
        lines = [escape(card.description.strip())] if card.description.strip() else []
        lines.append(f"<b>Segments:</b> {'&nbsp; '.join(_swatch(c.color) + escape(c.name) for c in card.classes)}")
        kind = "single images and cine" if card.spatial_dims == 2 else "volumes"
        modalities = "" if card.modalities == _UNNAMED else f" ({escape(', '.join(card.modalities))})"
        lines.append(f"<b>For:</b> {kind}{modalities}")
        lines.append(f"<b>Quality:</b> {_quality(card)}")
        if not card.calibrated_on:
            lines.append(
                "<b>Uncertainty:</b> not calibrated: the model may be surer than it should, and predicted Dice too high"
            )
        lines.append(f"<b>Time:</b> {self._time(state, card)}")
        lines.append(f"<b>Licence:</b> {escape(card.licence.strip()) or 'not stated'}")
        if card.attribution.strip():
            lines.append(f"<b>Made from:</b> {escape(card.attribution.strip())}")
        return "<br>".join(lines)

    def _time(self, state: PanelState, card: ModelCard) -> str:
        if state.source is None or self._parameters is None:
            return "known after an image is chosen"
        device = DEVICE_NAMES[self._parameters.device]
        seconds = expected_seconds(card, state.source, state.frames, device)
        return "known after the first run" if seconds is None else f"about {in_words(seconds)}, as measured here"


def _title(name: str, card: ModelCard) -> str:
    return card.name if card.name == name else f"{card.name} ({name})"


def _swatch(color: tuple[float, ...]) -> str:
    red, green, blue = (round(255 * value) for value in color)
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">&#9632;</span>&nbsp;'


def _quality(card: ModelCard) -> str:
    if not card.quality:
        return "not measured"
    measured: dict[tuple[str, int], list[str]] = {}
    for quality in card.quality:
        metric, data = quality.metric, quality.data
        for written, said in _SAID:
            metric, data = metric.replace(written, said), data.replace(written, said)
        measured.setdefault((data, quality.cases), []).append(f"{escape(metric)} {quality.value:.3g}")
    return "; ".join(
        f"{', '.join(figures)} on {escape(data)} ({many(cases, 'case')})" for (data, cases), figures in measured.items()
    )
