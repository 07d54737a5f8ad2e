"""The modules ``qt`` and ``ctk``, and where PythonQt's Qt 5 does something else than PySide6 of the same name."""

from __future__ import annotations

import itertools
import sys
import threading
import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from . import api, conversion, objects, signals
from .access import call, reader, special

_FUNCTIONS = {"SIGNAL": str, "SLOT": str, "qVersion": lambda: "5.15.8", "Signal": signals.Signal}
dialog_answers: list[Any] = []
"""What the next modal dialogs return; filled by tests through `application.answer_dialogs`."""


class Module(types.ModuleType):
    """``qt`` or ``ctk``: classes by the table, nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "qt" and name in _FUNCTIONS:
            return _FUNCTIONS[name]
        info = api.find(name)
        if info is None or info.module != self.__name__:
            raise AttributeError(
                f"module '{self.__name__}' has no attribute '{name}' (if 3D Slicer has it, see extract_api.py)"
            )
        return objects.python_class(name)

    def __dir__(self) -> list[str]:
        return api.names(self.__name__)


def modal(kind: str) -> Any:
    """Answer a modal dialog, for nobody is there to do it.

    Raises:
        RuntimeError: no answer was prepared.
    """
    if not dialog_answers:
        raise RuntimeError(f"{kind} waits for a person; prepare an answer with application.answer_dialogs(...)")
    return dialog_answers.pop(0)


@special("QGuiApplication", "setOverrideCursor")
def _set_override_cursor(made: Any, cursor: Any) -> None:
    """Take a shape as well, as PythonQt does, and return nothing, as Qt 5 does."""
    shown = QtGui.QCursor(QtCore.Qt.CursorShape(cursor)) if isinstance(cursor, int) else cursor._qt
    QtGui.QGuiApplication.setOverrideCursor(shown)


@special("QObject", "connect")
def _connect(made: Any, *arguments: Any) -> bool:
    if made is None or isinstance(arguments[0], objects.Instance):
        sender, *arguments = arguments  # type: ignore[assignment]
    else:
        sender = objects.wrap(made)
    if len(arguments) < 2:
        raise ValueError(f"Could not find matching overload for connect{tuple(arguments)}")
    signal, receiver = arguments[:2]
    if len(arguments) > 2 and isinstance(receiver, objects.Instance):
        receiver = getattr(receiver, str(arguments[2]).partition("(")[0])
    return signals.connect(sender, str(signal), receiver)


@special("QObject", "disconnect")
def _disconnect(made: Any, *arguments: Any) -> bool:
    if made is None or (arguments and isinstance(arguments[0], objects.Instance)):
        sender, *arguments = arguments  # type: ignore[assignment]
    else:
        sender = objects.wrap(made)
    signal, function = arguments[0], arguments[1] if len(arguments) > 1 else None
    return signals.disconnect(sender, str(signal), function)


@special("QObject", "findChild")
def _find_child(made: Any, kind: Any, name: str = "") -> Any:
    return next(iter(_find_children(made, kind, name)), None)


@special("QObject", "findChildren")
def _find_children(made: Any, kind: Any, name: Any = "") -> tuple[Any, ...]:
    wanted = kind if isinstance(kind, str) else kind.__qt_info__.name
    found = []
    for child in made.findChildren(QtCore.QObject):
        instance = objects.wrap(child)
        if instance.inherits(wanted) and (not name or child.objectName() == name):
            found.append(instance)
    return tuple(found)


@special("QWidget", "setToolTip")
def _set_tool_tip(made: Any, text: Any) -> None:
    made.setToolTip(wrapped_tool_tip(str(text)))


def wrapped_tool_tip(text: str) -> str:
    """Wrap a plain tool tip in a paragraph, as the application does so that long ones get several lines."""
    return f"<p>{text}</p>" if text and not text.startswith("<") else text


# Slicer makes a timer for each, which belongs to its module manager, and lives with what it calls until Slicer ends.
_single_shots: list[Any] = []


@special("QTimer", "singleShot")
def _single_shot(made: Any, milliseconds: int, function: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        print("QObject::startTimer: Timers can only be used with threads started with QThread", file=sys.stderr)
        return
    _single_shots.append(function)
    QtCore.QTimer.singleShot(milliseconds, lambda: signals.run(function, ()))


@special("QProcess", "start")
def _start(made: Any, *arguments: Any) -> None:
    if len(arguments) == 1 and isinstance(arguments[0], str):
        made.startCommand(arguments[0])
        return
    converted = [str(arguments[0]), [str(entry) for entry in arguments[1]]] if len(arguments) > 1 else []
    made.start(*converted)


@special("QIODevice", "write")
def _write(made: Any, data: Any) -> int:
    info = objects.python_class("QIODevice").__qt_info__
    return int(made.write(conversion.to_qt(data, "QByteArray", info, loose=True)))


@special("QByteArray", "")
def _byte_array(backing: Any, *arguments: Any) -> QtCore.QByteArray:
    if not arguments:
        return QtCore.QByteArray()
    if len(arguments) == 2:
        return QtCore.QByteArray(str(arguments[1]).encode() * int(arguments[0]))
    (value,) = arguments
    if isinstance(value, objects.Instance):
        return QtCore.QByteArray(value._qt)
    return QtCore.QByteArray(value if isinstance(value, bytes) else str(value).encode())


@special("QImage", "")
def _image(backing: Any, *arguments: Any) -> QtGui.QImage:
    values = [argument._qt if isinstance(argument, objects.Instance) else argument for argument in arguments]
    if values and isinstance(values[0], bytes):
        if len(values) != 4:
            raise ValueError(f"Could not find matching overload for given arguments: {arguments}")
        data, width, height, kind = values
        line = len(data) // height // 4 * 4 if height else 0
        return QtGui.QImage(data, width, height, line, QtGui.QImage.Format(kind)).copy()
    if len(values) in (2, 3) and isinstance(values[-1], int) and not isinstance(values[0], str):
        values[-1] = QtGui.QImage.Format(values[-1])
    return QtGui.QImage(*values)


@special("QComboBox", "findData")
def _find_data(made: Any, data: Any, role: int = 256, flags: int | None = None) -> int:
    if data is not None and not isinstance(data, (str, int, float)):
        return -1
    return int(made.findData(conversion.to_variant(data), role))


@special("QSettings", "value")
def _settings_value(made: Any, key: str, default: Any = None) -> Any:
    return conversion.from_qt(made.value(str(key), conversion.to_variant(default)))


@special("QThread", "")
def _no_thread(*_: Any) -> None:
    raise NotImplementedError("a QThread with a Python run() crashes 3D Slicer")


@special("QDialog", "exec")
def _exec_dialog(made: Any) -> int:
    answer = modal(type(made).__name__)
    result = answer(objects.wrap(made)) if callable(answer) else answer
    return int(result)


@special("QMenu", "exec")
def _exec_menu(made: Any, *_: Any) -> Any:
    answer = modal("QMenu")
    if answer is None:
        return None
    action = next(action for action in made.actions() if action.text() == answer)
    action.trigger()
    return objects.wrap(action)


def _static_dialogs(cls: str, names: str) -> None:
    for name in names.split():
        special(cls, name)(lambda made, *arguments, name=name: _static_dialog(cls, name, arguments))


def _static_dialog(cls: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """Answer a dialog that is called as a function, if one of its overloads takes the arguments."""
    info = objects.python_class(cls).__qt_info__
    return call(info, name, info.methods[name], lambda *_: modal(f"{cls}.{name}"), arguments, convert=False)


_static_dialogs("QFileDialog", "getOpenFileName getOpenFileNames getSaveFileName getExistingDirectory")
_static_dialogs("QMessageBox", "about critical information question warning")
_static_dialogs("QInputDialog", "getText getItem getInt getDouble getMultiLineText")
_static_dialogs("QColorDialog", "getColor")


@special("QDesktopServices", "openUrl")
def _open_url(made: Any, url: Any) -> bool:
    opened_urls.append(url.toString())
    return True


opened_urls: list[str] = []
"""What would have been opened in a browser or another program."""


@special("QSignalBlocker", "")
def _signal_blocker(backing: Any, blocked: objects.Instance) -> Any:
    return QtCore.QSignalBlocker(blocked._qt)


@special("QWidget", "setSizePolicy")
def _set_size_policy(made: Any, *arguments: Any) -> None:
    if len(arguments) == 2:
        made.setSizePolicy(*(QtWidgets.QSizePolicy.Policy(int(value)) for value in arguments))
    else:
        made.setSizePolicy(arguments[0]._qt)


@reader("QObject", "objectName")
def _object_name(made: Any) -> str:
    return str(made.objectName())


@special("QFormLayout", "addRow")
def _add_row(made: Any, *arguments: Any) -> None:
    values = [a._qt if isinstance(a, objects.Instance) else str(a) for a in arguments]
    made.addRow(*values)
    for argument in arguments:
        if isinstance(argument, objects.Instance):
            objects.give_away(argument)


def all_children(root: QtCore.QObject) -> itertools.chain[QtCore.QObject]:
    """Go through an object and everything below it."""
    return itertools.chain([root], root.findChildren(QtCore.QObject))
