"""Headless Slicer for tests: start it, open a module, click, look.

    from SlicerRig import application
    application.start()
    widget = application.open_module("SemiSegCervical")
    application.click(widget.ui.applyButton)
    application.process_events(0.5)
    application.screenshot(widget.parent, "panel.png")

`start` makes ``qt``, ``ctk`` and ``slicer`` importable, with PySide6 drawing off screen and the real MRML of
slicer-core. Exceptions in slots are printed and counted in `slot_errors`.

What is exact: names, signatures, properties and signals (by the table in ``api.json``: anything else is refused),
conversions and errors of PythonQt, object lifetime, the scene. What is approximate: looks, sizes and timing; the
application's own work after an event (drawing, mostly) is not part of `longest_call`. What the table lists but the
rig does not build raises NotImplementedError.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

# Files whose classes register themselves when they are imported.
_WIDGETS = (
    "ctk_choosers",
    "ctk_numbers",
    "ctk_sections",
    "mrml_widgets",
    "plot_widgets",
    "segment_editor",
    "ui_files",
    "views",
)
STRETCH = 3.0
"""By how much a busy computer may stretch a test's times: tests find what has grown severalfold, benchmarks measure."""
_modules: dict[str, Any] = {}


def why_not() -> str:
    """Return why the rig cannot run here, with the remedy; empty where it can."""
    if _modules:
        return ""
    _environment()
    try:
        import slicer  # noqa: F401
    except ImportError as error:
        return f"slicer-core is missing ({error}): pip install slicer-core"
    try:
        from PySide6 import QtWidgets  # noqa: F401
    except ImportError as error:
        return (
            f"PySide6 cannot be loaded ({error}): pip install PySide6-Essentials; on Debian and Ubuntu also "
            "apt-get install libegl1 libgl1 libglib2.0-0 libxkbcommon0 libdbus-1-3 fontconfig"
        )
    return ""


def start() -> Any:
    """Make ``qt``, ``ctk`` and ``slicer`` importable as in 3D Slicer; once in a process.

    Returns:
        ``slicer.app``.

    Raises:
        RuntimeError: the rig cannot run here; the message says why and what helps.
    """
    if _modules:
        return _modules["app"]
    if reason := why_not():
        raise RuntimeError(reason)
    import slicer
    import slicer.util  # its own __init__ may not have

    from . import api, mrml, objects, packaging_module, parameter_nodes, qt_module, scripted_modules, slicer_app

    for name in _WIDGETS:
        importlib.import_module(f".{name}", __package__)
    _make_constants_immortal()
    mrml.start()
    for name in ("qt", "ctk"):
        sys.modules[name] = qt_module.Module(name)

    def missing(name: str) -> Any:
        info = api.find(name)
        if info is None or info.module != "slicer":
            raise AttributeError(f"module 'slicer' has no attribute '{name}'")
        return objects.python_class(name)

    vars(slicer)["__getattr__"] = missing
    for submodule in (scripted_modules.module(), parameter_nodes.module(), packaging_module.module(), _translation()):
        sys.modules[submodule.__name__] = submodule
        setattr(slicer, submodule.__name__.rpartition(".")[2], submodule)
    _modules["app"] = slicer.app = slicer_app.as_script()
    slicer.util.delayDisplay = _delay_display
    sys.excepthook = _counted(sys.excepthook)
    _load("SegmentEditor", Path(__file__).with_name("modules") / "SegmentEditor.py")
    slicer.app.startupCompleted.emit()
    return slicer.app


def open_module(name: str, path: Path | None = None) -> Any:
    """Load a scripted module and show its panel, as choosing it in the menu does.

    Args:
        name: of the module.
        path: of its Python file; by default the one of this repository.

    Returns:
        The module's widget object (setup and enter have run).

    Raises:
        RuntimeError: the widget could not be made.
    """
    manager = start().moduleManager()._qt
    import slicer

    if name not in manager.loaded:
        _load(name, path or REPOSITORY / name / f"{name}.py")
    slicer.util.selectModule(name)
    holder = manager.loaded[name].widgetRepresentation()
    holder.show()
    return holder.self()


def _delay_display(message: str, autoCloseMsec: int = 1000, parent: Any = None, **_: Any) -> None:
    """Stand in for the dialog that closes itself: the application waits for that, a test need not."""
    logging.info(message)
    process_events()


def reload_module(name: str) -> Any:
    """Reload a module as its developer's button does.

    Returns:
        The new widget object.
    """
    import slicer

    slicer.util.reloadScriptedModule(name)
    return slicer.util.getModuleWidget(name)


def settle() -> None:
    """Let what the last clicks began come to rest."""
    process_events(0.15)


def leave_module(name: str) -> None:
    """Show another module: this one's ``exit`` runs."""
    start().moduleManager()
    import slicer

    if slicer.util.selectedModule() == name:
        slicer.util.selectModule("Welcome")


def close_module(name: str) -> None:
    """Unload a module as the end of the application does: ``exit``, then ``cleanup``, then its widgets go."""
    leave_module(name)
    manager = start().moduleManager()._qt
    manager.moduleAboutToBeUnloaded.emit(name)
    holder = manager.loaded.pop(name)
    holder.drop_widget()
    holder.deleteLater()
    import slicer

    for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    sys.modules.pop(name, None)
    process_events()


def quit_application() -> None:
    """Send ``aboutToQuit``, which comes after the modules' ``cleanup``."""
    start().aboutToQuit.emit()


def process_events(seconds: float = 0.0) -> None:
    """Let the event loop turn: once, or for a while."""
    from PySide6 import QtCore

    app = start()
    until = time.monotonic() + seconds
    while True:
        app.processEvents()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        left = until - time.monotonic()
        if left <= 0:
            return
        loop = QtCore.QEventLoop()
        QtCore.QTimer.singleShot(max(1, int(min(left, 0.02) * 1000)), loop.quit)
        loop.exec()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Let the event loop turn until something holds.

    Returns:
        Whether it came to hold in time.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        process_events(0.01)
    return True


def click(button: Any) -> None:
    """Click a button as a person does: nothing happens where it is disabled."""
    button.click()
    process_events()


def choose(selector: Any, node: Any) -> None:
    """Choose a node in a selector as a person does, by its row in the list that opens."""
    selector._qt.choose(node)
    process_events(0.05)


def least_width(widget: Any) -> int:
    """Return how narrow Slicer's module panel can be made with a module's widget in it, in pixels."""
    from PySide6 import QtWidgets

    process_events()
    shrinks = widget._qt.sizePolicy().horizontalPolicy().value & QtWidgets.QSizePolicy.PolicyFlag.ShrinkFlag.value
    least = widget._qt.minimumSizeHint() if shrinks else widget._qt.sizeHint()
    return int(least.width())


def screenshot(widget: Any, path: Path | str) -> Path:
    """Save what a widget looks like as PNG.

    Returns:
        The path.

    Raises:
        OSError: it could not be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    process_events()
    if not widget._qt.grab().save(str(target)):
        raise OSError(f"the screenshot could not be written: {target}")
    return target


def answer_dialogs(*answers: Any) -> None:
    """Say what the next modal dialogs return: a path, a button, or a function that gets the dialog."""
    from . import qt_module

    qt_module.dialog_answers[:] = answers


def on_pip_install(function: Callable[..., Any] | None) -> None:
    """Say what ``slicer.packaging.pip_install`` calls instead of pip."""
    from . import packaging_module

    packaging_module.install = function


def opened_urls() -> list[str]:
    """Return the addresses that would have been opened outside."""
    from . import qt_module

    return qt_module.opened_urls


def slot_errors() -> list[str]:
    """Return the tracebacks of exceptions in slots, timers and event handlers since the last `reset`."""
    from . import signals

    return signals.record.errors


def longest_call() -> Any:
    """Return the `LongestCall` since the last `reset`: seconds and function."""
    from . import signals

    return signals.record.longest


def reset() -> None:
    """Forget slot errors, the longest call, prepared answers and opened addresses."""
    from . import qt_module, signals

    signals.record.errors.clear()
    signals.record.longest = signals.LongestCall()
    qt_module.dialog_answers.clear()
    qt_module.opened_urls.clear()


def _load(name: str, path: Path) -> None:
    from .scripted_modules import ModuleHolder

    manager = _modules["app"].moduleManager()._qt
    holder = ModuleHolder(manager)
    holder.load(path)
    manager.loaded[name] = holder
    manager.moduleLoaded.emit(name)


def _counted(before: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the hook that prints exceptions nobody caught, those in VTK observers among them: they count as well."""

    def hook(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        from . import signals

        signals.record.errors.append("".join(traceback.format_exception(kind, error, trace)))
        before(kind, error, trace)

    return hook


def _environment() -> None:
    """Ask for drawing without a display; only works before Qt and VTK are imported."""
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _make_constants_immortal() -> None:
    """Give None, True and False references that are never used up, as Python 3.12 does by itself.

    PySide6 6.12 is compiled for interpreters that do: it returns them without taking a reference, and some thousand
    calls would end an older Python.
    """
    if sys.version_info < (3, 12):
        for value in (None, True, False):
            ctypes.c_ssize_t.from_address(id(value)).value += 1 << 40


def _translation() -> types.ModuleType:
    made = types.ModuleType("slicer.i18n")
    vars(made)["tr"] = lambda text: text
    vars(made)["translate"] = lambda context, text: text
    return made
