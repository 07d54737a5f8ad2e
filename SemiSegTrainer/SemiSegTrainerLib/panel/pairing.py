"""What else can be said of the selected image: which segmentation counts, its slices, its second modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.locks import Locks
from SemiSegCervicalLib.scene import marks, pairs
from SemiSegCervicalLib.scene.cine import browser_of_proxy, is_image_sequence, is_sequence
from SemiSegCervicalLib.scene.nodes import nodes_of
from SemiSegCervicalLib.words import many

from ..scene import choices
from ..scene.sources import annotating_sequences
from ..scene.starts import segmentations_of
from .rows import Row

_AUTOMATIC = "The one that is annotated"
_UNKNOWN = "Not known"
_LISTED = 12


class PairingControls:
    """Shows and changes what `scene.choices` keeps of one image."""

    def __init__(self, ui: Any, on_change: Callable[[], None], on_error: Callable[[SemiSegError], None]) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            on_change: called when the scene holds another choice.
            on_error: called with why something cannot be done.
        """
        self.ui, self._on_change, self._on_error = ui, on_change, on_error
        self._node: Any = None
        self._candidates: list[Any] = []
        self._modalities: tuple[str, ...] = ()
        self._connections = Connections(
            (ui.segmentationComboBox, "activated(int)", self._segmentation_chosen),
            (ui.slicesAreFramesCheckBox, "clicked(bool)", self._frames_chosen),
            (ui.loneModalityComboBox, "activated(int)", self._modality_chosen),
            (ui.partnerSelector, "currentNodeChanged(vtkMRMLNode*)", self._partner_chosen),
            (ui.pairButton, "clicked()", self._pair),
            (ui.unpairButton, "clicked()", self._unpair),
            (ui.pairAlikeButton, "clicked()", self._pair_alike),
        )
        self._locks = Locks(
            ui.segmentationComboBox, ui.slicesAreFramesCheckBox, ui.loneModalityComboBox, ui.partnerSelector,
            ui.modalityLineEdit, ui.partnerModalityLineEdit, ui.pairButton, ui.unpairButton, ui.pairAlikeButton,
        )  # fmt: skip

    def refresh(self, row: Row, busy: str, modalities: Sequence[str] = ()) -> None:
        """Show a row of the table of cases, in a scene of these modalities."""
        ui = self.ui
        node = slicer.mrmlScene.GetNodeByID(row.key)
        if node is None:
            return
        fresh, self._node = node is not self._node, node
        self._locks.set(bool(busy), busy)
        self._show_segmentations(node)
        is_volume = not node.IsA("vtkMRMLSequenceNode")
        ui.slicesAreFramesCheckBox.visible = is_volume and (row.is_cine or row.cases[0].shape[0] > 1)
        ui.slicesAreFramesCheckBox.checked = is_volume and choices.slices_are_frames(node)
        self._show_partner(node, fresh)
        self._show_modality(node, tuple(modalities))

    def forget(self) -> None:
        """No row is shown any more."""
        self._node, self._candidates = None, []

    def node_goes(self, node: Any) -> None:
        """Choose nothing in the place of an image that is being removed: the selector would choose its next one."""
        if self.ui.partnerSelector.currentNode() is node:
            self.ui.partnerSelector.setCurrentNode(None)

    def close(self) -> None:
        """Disconnect the widgets."""
        self._connections.close()

    # -- which segmentation counts --

    def _show_segmentations(self, node: Any) -> None:
        ui = self.ui
        if node.IsA("vtkMRMLSequenceNode"):
            self._candidates = annotating_sequences(node)
        else:
            self._candidates = segmentations_of(node)
        chosen = choices.chosen_segmentation(node)
        for widget in (ui.segmentationLabel, ui.segmentationComboBox):
            widget.visible = len(self._candidates) > 1 or chosen is not None
        texts = [_AUTOMATIC, *(candidate.GetName() for candidate in self._candidates)]
        combo = ui.segmentationComboBox
        if texts != [combo.itemText(i) for i in range(combo.count)]:
            combo.clear()
            combo.addItems(texts)
        combo.currentIndex = self._candidates.index(chosen) + 1 if chosen in self._candidates else 0

    def _segmentation_chosen(self, index: int) -> None:
        if self._node is not None:
            choices.choose_segmentation(self._node, self._candidates[index - 1] if index > 0 else None)
            self._on_change()

    # -- slices as frames --

    def _frames_chosen(self, frames: bool) -> None:
        if self._node is not None:
            choices.set_slices_as_frames(self._node, bool(frames))
            self._on_change()

    # -- modalities --

    def _show_modality(self, node: Any, modalities: tuple[str, ...]) -> None:
        """Offer to say which modality an image is of whose patient there is no other, where others are pairs."""
        ui, combo = self.ui, self.ui.loneModalityComboBox
        alone = pairs.reference_of(node) is None and not pairs.partners_of(node)
        for widget in (ui.loneModalityLabel, combo):
            widget.visible = alone and len(modalities) > 1
        self._modalities = modalities
        texts = [_UNKNOWN, *modalities]
        if texts != [combo.itemText(i) for i in range(combo.count)]:
            combo.clear()
            combo.addItems(texts)
        said = pairs.modality_of(node).casefold()
        names = [name.casefold() for name in modalities]
        combo.currentIndex = names.index(said) + 1 if said in names else 0

    def _modality_chosen(self, index: int) -> None:
        if self._node is not None:
            pairs.set_modality(self._node, self._modalities[index - 1] if index > 0 else "")
            self._on_change()

    def _show_partner(self, node: Any, fresh: bool) -> None:
        ui = self.ui
        reference = pairs.reference_of(node) or node
        paired = [reference, *pairs.partners_of(reference)]
        together = len(paired) > 1
        ui.pairedLabel.visible = ui.unpairButton.visible = together
        ui.pairedLabel.text = "One case with: " + ", ".join(
            f"{other.GetName()} ({pairs.modality_of(other)})" for other in paired if other is not node
        )
        self._show_alike(paired)
        ui.pairHost.visible = not together
        if together:
            return
        kind = _kind(node)
        if list(ui.partnerSelector.nodeTypes) != [kind]:
            ui.partnerSelector.nodeTypes = [kind]
        hidden = [other.GetID() for other in nodes_of(slicer.mrmlScene, kind) if not _can_be_partner(other, node)]
        model = ui.partnerSelector.sortFilterProxyModel()
        if list(model.hiddenNodeIDs) != hidden:
            model.hiddenNodeIDs = hidden
        if fresh:
            ui.partnerSelector.setCurrentNode(None)
        self._show_pair_button()

    def _partner_chosen(self, partner: Any) -> None:
        """Keep the modalities of the pair before, each with the image that is called so: they may come the other way
        round now."""
        self._show_pair_button()
        edits = self.ui.modalityLineEdit, self.ui.partnerModalityLineEdit
        names = [edit.text.strip().casefold() for edit in edits]
        if self._node is None or partner is None or not all(names):
            return
        images = [node.GetName().casefold() for node in (self._node, partner)]
        kept, swapped = (sum(map(str.__contains__, images, order)) for order in (names, names[::-1]))
        if swapped > kept:
            edits[0].text, edits[1].text = edits[1].text, edits[0].text

    def _show_pair_button(self) -> None:
        chosen = self.ui.partnerSelector.currentNode() is not None
        for widget in (self.ui.modalityHost, self.ui.pairButton):
            widget.visible = chosen

    def _pair(self) -> None:
        ui = self.ui
        partner = ui.partnerSelector.currentNode()
        if self._node is None or partner is None:
            return
        try:
            pairs.pair(self._node, partner, (ui.modalityLineEdit.text, ui.partnerModalityLineEdit.text))
        except SemiSegError as error:
            self._on_error(error)
            return
        self._on_change()

    def _show_alike(self, paired: list[Any]) -> None:
        """Offer to pair what is named like a pair: of thirty patients nobody wants to say so thirty times."""
        button = self.ui.pairAlikeButton
        alike = _named_alike(paired)
        button.visible = bool(alike)
        button.text = f"Pair {many(len(alike), 'other')} named alike"
        listed = [" with ".join(f'"{node.GetName()}"' for node in case) for case in alike]
        more = [f"{len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
        button.toolTip = f"Makes one case of {', of '.join((*listed[:_LISTED], *more))}."

    def _pair_alike(self) -> None:
        if self._node is None:
            return
        reference = pairs.reference_of(self._node) or self._node
        paired = [reference, *pairs.partners_of(reference)]
        names = [pairs.modality_of(node) for node in paired]
        for first, *others in _named_alike(paired):
            for node, name in zip(others, names[1:], strict=True):
                pairs.pair(first, node, (names[0], name))
        self._on_change()

    def _unpair(self) -> None:
        if self._node is not None:
            pairs.unpair(pairs.reference_of(self._node) or self._node)
            self._on_change()


def _named_alike(paired: list[Any]) -> list[tuple[Any, ...]]:
    """Return the cases that are named like a pair, of images that are in no pair yet; none where it is no pair."""
    if len(paired) < 2:
        return []
    kind = _kind(paired[0])
    nodes = nodes_of(slicer.mrmlScene, kind)
    taken = {node.GetID() for first in nodes for node in (first, *pairs.partners_of(first)) if pairs.partners_of(first)}
    free = [node for node in nodes if node.GetID() not in taken and _can_be_partner(node, paired[0])]
    return pairs.named_alike(paired, free)


def _kind(node: Any) -> str:
    return "vtkMRMLSequenceNode" if node.IsA("vtkMRMLSequenceNode") else "vtkMRMLScalarVolumeNode"


def _can_be_partner(other: Any, node: Any) -> bool:
    """Return whether a node may be an image of the same patient as another.

    What a model has made is none, nor what shows a frame of a cine.
    """
    if other is node or other.GetAttribute(marks.CONTENT) is not None:
        return False
    return is_image_sequence(other) if is_sequence(other) else browser_of_proxy(other) is None
