"""The section Input: which image, which of its frames, and whether its pixel size can be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import qt
import slicer

from ..errors import SemiSegError
from ..scene import marks
from ..scene.source import Source, current_frame
from .accessible import name_widget
from .binding import CHOSEN_BY_USER
from .connections import Connections
from .locks import Locks
from .parameters import SHOWN_FRAME, SOME_FRAMES, Parameters
from .state import PanelState
from .views import background_volume, is_shown_askew, shown_slice
from .watching import Watching

_FRAMES_MS = 300
"""A cine that is being recorded gets many frames a second."""
TIMES = " \N{MULTIPLICATION SIGN} "
NO_BROWSER = "No sequence browser shows this cine"
_AUTOMATIC, _YES, _NO = range(3)
_WORDS = {_AUTOMATIC: None, _YES: "yes", _NO: "no"}
_ROLE = "SemiSeg.modality."
_CHOSEN = ("currentNodeChanged(vtkMRMLNode*)", CHOSEN_BY_USER)


class InputSection:
    """Shows and changes the choices of `Parameters` that concern the image."""

    def __init__(self, ui: Any, on_change: Callable[[], None], on_calibrated: Callable[[Any], None]) -> None:
        """Connect the widgets.

        Args:
            ui: the panel's widgets.
            on_change: called when something has changed that the parameters do not tell.
            on_calibrated: called with the image of which the user has said whether its pixel size can be believed.
        """
        self.ui, self._on_change, self._on_calibrated = ui, on_change, on_calibrated
        self._parameters: Any = None
        self._modalities: tuple[str, ...] = ()
        self._selectors: list[Any] = []
        self._source: Source | None = None
        self._watching = Watching(on_change, _FRAMES_MS)
        self._connections = Connections((ui.calibratedComboBox, "activated(int)", self._say_calibrated))
        self._locks = Locks(
            ui.sourceSelector,
            ui.slicesAsFramesCheckBox,
            ui.framesComboBox,
            ui.firstFrameSpinBox,
            ui.lastFrameSpinBox,
            ui.everySpinBox,
            ui.calibratedComboBox,
        )

    def set_parameters(self, parameters: Parameters | None) -> None:
        """Take the choices of a scene; None while there are none."""
        self._parameters = parameters
        self._modalities = ()  # their selectors are filled anew
        self._source = None  # of the scene before, whose frames say nothing of those that this one remembers

    def nodes(self) -> dict[int, Any]:
        """Return the chosen nodes by the index of the modality."""
        return dict(enumerate([self.ui.sourceSelector.currentNode(), *(s.currentNode() for s in self._selectors)]))

    def frames(self, source: Source | None) -> tuple[int, ...] | None:
        """Return the numbers of the wanted frames from 0, the one that is shown first; None for a volume.

        Raises:
            SemiSegError: there is no such frame.
        """
        if source is None or source.kind == "volume" or self._parameters is None:
            return None
        chosen, shown = self._parameters, shown_frame(source)
        if chosen.frames == SHOWN_FRAME:
            if shown is None:
                cause, remedy = why_no_frame(source)
                raise SemiSegError("no-frame", cause, f"{remedy}, or choose All frames", "reading")
            return (shown,)
        numbers = list(range(source.frames))
        if chosen.frames == SOME_FRAMES:
            if not 1 <= chosen.first_frame <= chosen.last_frame <= source.frames:
                raise SemiSegError(
                    "no-frame", f"The image has the frames 1 to {source.frames}",
                    "Choose a first frame that is not after the last", "reading",
                )  # fmt: skip
            numbers = numbers[chosen.first_frame - 1 : chosen.last_frame : chosen.every]
        if shown in numbers:
            numbers.remove(shown)
            numbers.insert(0, shown)
        return tuple(numbers)

    def choose_shown(self, modalities: Sequence[str]) -> None:
        """Choose what the slice views show, if nothing is chosen yet.

        Args:
            modalities: what the model reads; where another than the first is chosen, the first was left out on purpose.
        """
        if self._parameters is None or self._parameters.source is not None:
            return
        if not any(self._node().GetNodeReference(_role(name)) for name in modalities[1:]):
            volume = background_volume()
            if volume is not None and is_offered(volume):
                self._parameters.source = volume

    def choose(self, images: Mapping[int, Any]) -> None:
        """Choose the images of a case, by the index of the modality; the other modalities are not available."""
        if self._parameters is not None:
            self._parameters.source = images.get(0)
            for index, selector in enumerate(self._selectors, start=1):
                selector.setCurrentNode(images.get(index))

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        ui, source = self.ui, state.source
        self._offer_modalities(state)
        self._hide_results()
        self._watching.watch([source.node] if source is not None and source.kind == "cine" else ())
        ui.sourceInfoLabel.text = describe(source)
        ui.sourceInfoLabel.visible = source is not None
        locked = state.busy and not state.in_batch
        self._locks.set(locked)
        for selector in self._selectors:
            selector.enabled = not locked
        stackable = source is not None and source.kind != "cine" and (source.kind == "stack" or len(source.size) == 3)
        ui.slicesAsFramesCheckBox.visible = stackable and (state.card is None or state.card.spatial_dims == 2)
        framed = source is not None and source.kind != "volume"
        for widget in (ui.framesLabel, ui.framesComboBox):
            widget.visible = framed
        some = framed and self._parameters is not None and self._parameters.frames == SOME_FRAMES
        ui.frameRangeHost.visible = some
        if source is not None and framed and _key(source) != _key(self._source):
            self._fit_range(source)
        self._source = source
        for widget in (ui.calibratedLabel, ui.calibratedComboBox):
            widget.visible = source is not None
        if source is not None:
            self._show_calibrated(source)

    def close(self) -> None:
        """Disconnect the widgets."""
        self._watching.close()
        self._connections.close()
        self._drop_selectors()

    # -- frames --

    def _fit_range(self, source: Source) -> None:
        """Offer the whole of a new cine, unless what the scene remembers fits it."""
        chosen = self._parameters
        if chosen is not None and not (self._source is None and 1 < chosen.last_frame <= source.frames):
            chosen.first_frame, chosen.last_frame, chosen.every = 1, source.frames, 1

    # -- calibration --

    def _show_calibrated(self, source: Source) -> None:
        combo = self.ui.calibratedComboBox
        flat = len(source.size) == 2
        self.ui.calibratedLabel.text = "Pixel size:" if flat else "Voxel size:"
        said = source.node.GetAttribute(marks.CALIBRATED)
        size = TIMES.join(f"{value:.3g}" for value in reversed(source.spacing)) + " mm"
        if said not in ("yes", "no"):
            automatic = {
                "yes": f"{size}, as in the file", "no": "Not known: the file holds no size",
                "unknown": "1 mm in the file, perhaps not measured",
            }[source.calibrated]  # fmt: skip
        else:
            automatic = "As in the file"
        texts = [automatic, f"Calibrated: it is {size}", "Not calibrated: count pixels only"]
        blocked = combo.blockSignals(True)
        if [combo.itemText(i) for i in range(combo.count)] != texts:
            combo.clear()
            combo.addItems(texts)
        combo.currentIndex = {"yes": _YES, "no": _NO}.get(said, _AUTOMATIC)
        combo.blockSignals(blocked)

    def _say_calibrated(self, index: int) -> None:
        if self._source is not None:
            word = _WORDS[index]
            if word is None:
                self._source.node.RemoveAttribute(marks.CALIBRATED)
            else:
                self._source.node.SetAttribute(marks.CALIBRATED, word)
            self._on_calibrated(self._source.node)
            self._on_change()

    # -- modalities --

    def _offer_modalities(self, state: PanelState) -> None:
        names = state.card.modalities if state.card is not None else ()
        if names == self._modalities:
            return
        self._modalities = names
        self._drop_selectors()
        several = len(names) > 1
        self.ui.sourceLabel.text = f"{names[0]}:" if several else "Image:"
        name_widget(self.ui.sourceSelector, names[0] if several else "Image")
        self._say_none("Not available" if several else "Choose an image or a cine")
        self.ui.modalitiesHost.visible = several
        for name in names[1:]:
            selector = slicer.qMRMLNodeComboBox()
            selector.nodeTypes = ["vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"]
            selector.showChildNodeTypes = False
            selector.addEnabled = selector.removeEnabled = False
            selector.noneEnabled = True
            selector.noneDisplay = "Not available"
            selector.toolTip = f"The {name} image of the same patient, on the same grid; may be left out."
            selector.setMRMLScene(slicer.mrmlScene)
            name_widget(selector, name)
            label = qt.QLabel(f"{name}:")
            label.setBuddy(selector)
            label.textFormat = qt.Qt.PlainText
            self.ui.modalitiesHost.layout().addRow(label, selector)
            selector.setCurrentNode(self._node().GetNodeReference(_role(name)) if self._node() else None)
            for signal in _CHOSEN:
                selector.connect(signal, self._modality_chosen)
            self._selectors.append(selector)

    def _say_none(self, text: str) -> None:
        """Say what choosing no image means. By itself a selector without an image would then choose its first one."""
        selector = self.ui.sourceSelector
        node, blocked = selector.currentNode(), selector.blockSignals(True)
        selector.noneDisplay = text
        selector.setCurrentNode(node)
        selector.blockSignals(blocked)

    def node_goes(self, node: Any) -> None:
        """Choose nothing in the place of a node that is being removed."""
        for selector in self._selectors:
            if selector.currentNode() is node:
                selector.setCurrentNode(None)

    def _modality_chosen(self, _node: Any) -> None:
        if self._parameters is None:  # the scene is being closed
            return
        for name, selector in zip(self._modalities[1:], self._selectors, strict=True):
            node = selector.currentNode()
            if self._node() is not None:
                self._node().SetNodeReferenceID(_role(name), node.GetID() if node is not None else None)
        self._on_change()

    def _drop_selectors(self) -> None:
        for selector in self._selectors:
            for signal in _CHOSEN:
                selector.disconnect(signal, self._modality_chosen)
            selector.setMRMLScene(None)
            self.ui.modalitiesHost.layout().removeRow(selector)
        self._selectors = []

    def _node(self) -> Any:
        return self._parameters.parameterNode if self._parameters is not None else None

    def _hide_results(self) -> None:
        """Keep what SemiSeg itself made out of the lists of images."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        hidden = [node.GetID() for node in nodes if node.GetAttribute(marks.CONTENT) is not None]
        for selector in (self.ui.sourceSelector, *self._selectors):
            model = selector.sortFilterProxyModel()
            if list(model.hiddenNodeIDs) != hidden:
                model.hiddenNodeIDs = hidden


def _role(modality: str) -> str:
    """Return the role of the reference to the image of a modality; a scene keeps roles as they are, between signs of
    its own."""
    return _ROLE + quote(modality, safe=" ")


def shown_frame(source: Source) -> int | None:
    """Return the number of the frame that is looked at; None where none is."""
    return shown_slice(source.node) if source.kind == "stack" else current_frame(source)


def why_no_frame(source: Source | None) -> tuple[str, str]:
    """Say why no frame is looked at, and what shows one."""
    if source is None:
        return ("The image was deleted or has changed", "The figures of all frames can still be saved as a table")
    if source.kind == "cine" and source.browser is None:
        return (NO_BROWSER, "Add its sequence, and those of its results, to one in the module Sequences")
    if source.kind == "stack" and is_shown_askew(source.node):
        return (
            "No view lies in the plane of the slices",
            'Press "Rotate to volume plane" in the bar of a view',
        )
    return "No view shows this image now", "Show it in a slice view"


def is_offered(node: Any) -> bool:
    """Return whether a node is one of those that can be chosen as an image; what another module keeps hidden is not."""
    return (
        node.GetClassName() in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
        and node.GetAttribute(marks.CONTENT) is None
        and not node.GetHideFromEditors()
    )


def describe(source: Source | None) -> str:
    """Say in one or two sentences what was chosen."""
    if source is None:
        return ""
    size = TIMES.join(str(n) for n in reversed(source.size))
    if source.kind == "cine":
        text = f"Cine of {source.frames} frames, {size} pixels."
    elif source.kind == "stack":
        text = f"Stack of {source.frames} single images, {size} pixels."
    else:
        text = f"Volume of {size} voxels." if len(source.size) == 3 else f"Single image of {size} pixels."
    if source.rgb:
        text += " In colour: it is turned into grey for the model."
    return text


def _key(source: Source | None) -> tuple[str, str, int] | None:
    return None if source is None else (source.node.GetID(), source.kind, source.frames)
