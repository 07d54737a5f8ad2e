"""``.ui`` files, loaded as Slicer's ``qt.QUiLoader`` loads them."""

from __future__ import annotations

import logging
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import api, objects, signals
from .access import special
from .qt_module import all_children, wrapped_tool_tip

# Classes without a designer plugin: measured for the first.
_NOT_LOADABLE = {"qMRMLPlotView", "qMRMLPlotWidget"}


class _Loader(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def createWidget(self, cls: str, parent: Any = None, name: str = "") -> Any:
        try:
            return self._create(cls, parent, name)
        except Exception as error:  # must not travel through Qt's own code
            self.error = self.error or error
            return None

    def _create(self, name: str, parent: Any, object_name: str) -> Any:
        info = api.find(name)
        if name in ("Line",):
            return super().createWidget(name, parent, object_name)
        if info is None or name in _NOT_LOADABLE:
            logging.warning("QFormBuilder was unable to create a widget of the class '%s'.", name)
            return None
        backing = objects.backing(name)
        if backing is None:
            raise NotImplementedError(f"{name} exists in 3D Slicer, but the rig does not build it")
        if not hasattr(backing, "QT_CLASS"):
            return super().createWidget(name, parent, object_name)
        widget = backing(parent)
        widget.setObjectName(object_name)
        return widget


@special("QUiLoader", "load")
def _load(made: Any, device: Any, parent: Any = None) -> Any:
    text = bytes(device._qt.readAll().data())
    widget = load(text, parent._qt if parent else None)
    if widget is None:
        return None
    instance = objects.wrap(widget)
    object.__setattr__(instance, "_owned", True)
    return instance


def load(text: bytes, parent: Any = None) -> Any:
    """Build the widgets of a ``.ui`` file.

    An unknown widget class is left out with a warning; an unknown property becomes a dynamic one.

    Returns:
        The PySide6 widget of the form, or None where there is none.

    Raises:
        NotImplementedError: the rig does not build one of its widgets.
    """
    root = ElementTree.fromstring(text)
    connections = [
        tuple(entry.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot"))
        for entry in root.iter("connection")
    ]
    for tag in ("connections", "customwidgets"):
        for part in root.findall(tag):
            root.remove(part)
    enums = _take_enums(root)
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(root))
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loader = _Loader()
    widget = loader.load(buffer)
    if loader.error is not None:
        raise loader.error
    if widget is None:
        return None
    if parent is not None:
        widget.setParent(parent)
    named = {child.objectName(): child for child in all_children(widget) if child.objectName()}
    for name, prop, value in enums:
        if name in named:
            named[name].setProperty(prop, value)
    for child in named.values():
        if isinstance(child, QtWidgets.QWidget) and child.toolTip():
            child.setToolTip(wrapped_tool_tip(child.toolTip()))
    for sender, signal, receiver, slot in connections:
        if sender in named and receiver in named:
            _connect(named[sender], signal, named[receiver], slot)
    return widget


def _take_enums(root: ElementTree.Element) -> list[tuple[str, str, int]]:
    """Take enum properties of classes that the rig builds out of the form, for only the table knows their values."""
    taken = []
    for widget in root.iter("widget"):
        info = api.find(widget.get("class", ""))
        backing = objects.backing(info.name) if info else None
        if info is None or not hasattr(backing, "QT_CLASS"):
            continue
        for entry in widget.findall("property"):
            text = entry.findtext("enum") or entry.findtext("set")
            prop = info.properties.get(entry.get("name", ""))
            if text is None or prop is None or not prop.enum:
                continue
            owner = next((base for base in info.bases if prop.name in _own(base)), None)
            if owner and not hasattr(objects.backing(owner), "QT_CLASS"):
                continue  # Qt's own property; Qt knows its values
            value = 0
            for part in text.split("|"):
                scope, _, name = part.rpartition("::")
                place = api.find(scope.partition("::")[0]) or info
                value |= place.enum_values[name]
            taken.append((widget.get("name", ""), prop.name, value))
            widget.remove(entry)
    return taken


def _own(name: str) -> dict[str, api.Property]:
    info = api.find(name)
    return info.properties if info else {}


def _connect(sender: QtCore.QObject, signal: str, receiver: QtCore.QObject, slot: str) -> None:
    source, target = objects.wrap(sender), objects.wrap(receiver)
    name, _, arguments = slot.partition("(")
    # The slot is looked up by name only, so that whichever of Qt's or the rig's classes has it, takes the value.
    function = getattr(target, name)
    if arguments == ")":
        signals.connect(source, signal, lambda: function())
    else:
        signals.connect(source, signal, lambda value: function(value))
