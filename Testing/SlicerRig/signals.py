"""Signals: both ways of connecting, what slots receive, and what becomes of their exceptions."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore

from . import api, clocks, conversion, objects

FAILED = object()


@dataclass(frozen=True)
class LongestCall:
    """How long one event, timer or slot held the main thread, and which function it was.

    Attributes:
        seconds: on the clock; on a computer that does other things too most of it may be theirs.
        cpu: the most processor time that any one used.
        function: the one that `seconds` is of.
    """

    seconds: float = 0.0
    function: str = ""
    cpu: float = 0.0


@dataclass
class Record:
    """What happened in slots since the last `reset`."""

    errors: list[str]
    longest: LongestCall


record = Record([], LongestCall())
_depth = 0


@dataclass
class _Connection:
    signal: str
    function: Any
    relay: Any
    token: Any


# Keyed by the object's address: what is connected to keeps what it is connected to alive, until it is deleted.
_connections: dict[int, list[_Connection]] = {}

# Signals that Qt 6 no longer has: which one it has instead, and what is passed on.
_QT6: dict[tuple[str, str], tuple[str, Callable[..., tuple[Any, ...]]]] = {
    ("QComboBox", "currentIndexChanged(QString)"): ("currentIndexChanged(int)", lambda o, i: (o.itemText(i),)),
    ("QComboBox", "activated(QString)"): ("activated(int)", lambda o, i: (o.itemText(i),)),
    ("QComboBox", "highlighted(QString)"): ("highlighted(int)", lambda o, i: (o.itemText(i),)),
    ("QSpinBox", "valueChanged(QString)"): ("textChanged(QString)", lambda o, text: (text,)),
    ("QDoubleSpinBox", "valueChanged(QString)"): ("textChanged(QString)", lambda o, text: (text,)),
    ("QProcess", "finished(int)"): ("finished(int,QProcess::ExitStatus)", lambda o, code, status: (code,)),
    ("QProcess", "error(QProcess::ProcessError)"): ("errorOccurred(QProcess::ProcessError)", lambda o, e: (e,)),
    ("QButtonGroup", "buttonClicked(int)"): ("idClicked(int)", lambda o, i: (i,)),
    ("QButtonGroup", "buttonToggled(int,bool)"): ("idToggled(int,bool)", lambda o, i, on: (i, on)),
}


class Signal:
    """``qt.Signal(types...)`` in a subclass of ``qt.QObject``."""

    def __init__(self, *types: Any) -> None:
        self.types = types
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else _OwnSignal(instance, self._name)


class SignalOfObject:
    """``button.clicked``: takes connections and can be emitted."""

    def __init__(self, instance: objects.Instance, name: str) -> None:
        self._instance = instance
        self._signature = type(instance).__qt_info__.signals[name][0]

    def connect(self, function: Any) -> bool:
        """Connect to the overload that PythonQt picks: the first one listed."""
        return connect(self._instance, self._signature, function)

    def disconnect(self, function: Any = None) -> bool:
        """Disconnect one function, or all."""
        return disconnect(self._instance, self._signature, function)

    def emit(self, *arguments: Any) -> None:
        """Send the signal."""
        made = objects.live(self._instance, "emit")
        name = self._signature.partition("(")[0]
        kinds = _types(self._signature)
        if len(arguments) != len(kinds):
            raise ValueError(f"Called {self._signature} with wrong number of arguments: {arguments}")
        info = type(self._instance).__qt_info__
        values = [conversion.to_qt(v, k.rstrip("*"), info, True) for v, k in zip(arguments, kinds, strict=True)]
        bound = getattr(made, name)
        overloads = [signature for signature in info.signals[name] if signature != self._signature]
        if overloads and not hasattr(type(made), "QT_CLASS"):
            bound = bound[",".join(kinds)] if kinds else bound
        bound.emit(*values)

    __call__ = emit


class _OwnSignal:
    def __init__(self, instance: objects.Instance, name: str) -> None:
        self._instance, self._name = instance, name

    def connect(self, function: Any) -> bool:
        made = objects.live(self._instance, "connect")
        _remember(made, self._name, function, getattr(made, self._name).connect)
        return True

    def disconnect(self, function: Any = None) -> bool:
        return _forget(objects.live(self._instance, "disconnect"), self._name, function)

    def emit(self, *arguments: Any) -> None:
        getattr(objects.live(self._instance, "emit"), self._name).emit(*arguments)

    __call__ = emit


def connect(instance: objects.Instance, signature: str, function: Any) -> bool:
    """Connect a function to a signal.

    Returns:
        False, with a line printed, where the class has no signal of exactly this signature.
    """
    made = objects.live(instance, "connect")
    info = type(instance).__qt_info__
    wanted = api.normalized(signature)
    if wanted not in info.signals.get(wanted.partition("(")[0], ()):
        print(f"QObject::connect: signal {signature} does not exist on {info.name}", file=sys.stderr)
        return False
    source, adapt = _source(info, made, wanted)
    attach = _attach(made, source)
    if attach is None:
        raise NotImplementedError(f"{info.name}.{wanted} exists in 3D Slicer, but the rig does not send it")
    _remember(made, wanted, function, attach, adapt)
    return True


def disconnect(instance: objects.Instance, signature: str, function: Any = None) -> bool:
    """Undo `connect`; False where nothing of the kind was connected."""
    return _forget(objects.live(instance, "disconnect"), api.normalized(signature), function)


def run(function: Any, values: Sequence[Any]) -> Any:
    """Call a script's function as PythonQt does.

    Arguments that it does not take are dropped. An exception is printed and counted, and goes no further.

    Returns:
        What the function returned, or `FAILED`.
    """
    global _depth
    _depth += 1
    started, cpu = clocks.seconds(), clocks.cpu_seconds()
    try:
        return function(*values[: _taken(function)])
    except Exception as error:
        _note(error)
        return FAILED
    finally:
        _depth -= 1
        seconds = clocks.seconds() - started
        if not _depth:
            _time(function, seconds, clocks.cpu_seconds() - cpu)


def _time(function: Any, seconds: float, cpu: float) -> None:
    longest = record.longest
    cpu = max(cpu, longest.cpu)
    if seconds > longest.seconds:
        record.longest = LongestCall(seconds, getattr(function, "__qualname__", repr(function)), cpu)
    elif cpu > longest.cpu:
        record.longest = LongestCall(longest.seconds, longest.function, cpu)


def _note(error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    record.errors.append(text)
    print(text, file=sys.stderr)


def _taken(function: Any) -> int | None:
    """Number of positional arguments of a plain function or method; None, all, for anything else."""
    plain = function.__func__ if inspect.ismethod(function) else function
    if not inspect.isfunction(plain) or plain.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return plain.__code__.co_argcount - inspect.ismethod(function)


def _source(info: api.ClassInfo, made: Any, wanted: str) -> tuple[str, Callable[..., tuple[Any, ...]] | None]:
    for base in info.lineage:
        if (base, wanted) in _QT6:
            return _QT6[base, wanted]
    return wanted, None


def _attach(made: Any, signature: str) -> Callable[[Any], Any] | None:
    """Return what connects a function to the PySide6 signal."""
    renamed = getattr(type(made), "SIGNALS", {}).get(signature)
    if renamed:
        return getattr(made, renamed).connect
    if made.metaObject().indexOfSignal(signature) >= 0:
        return lambda relay: QtCore.QObject.connect(made, QtCore.SIGNAL(signature), relay)
    name = signature.partition("(")[0]
    if isinstance(getattr(type(made), name, None), QtCore.Signal) and hasattr(type(made), "QT_CLASS"):
        return getattr(made, name).connect
    return None


def _remember(
    made: Any,
    signal: str,
    function: Any,
    attach: Callable[[Any], Any],
    adapt: Callable[..., tuple[Any, ...]] | None = None,
) -> None:
    def relay(*values: Any) -> None:
        passed = adapt(made, *values) if adapt else values
        try:
            converted = [conversion.from_qt(value) for value in passed]
        except LookupError as error:  # must not travel through Qt's own code
            _note(error)
        else:
            run(function, converted)

    key = id(made)
    if key not in _connections:
        _connections[key] = []
        made.destroyed.connect(lambda *_: _connections.pop(key, None))
    _connections[key].append(_Connection(signal, function, relay, attach(relay)))


def _forget(made: Any, signal: str, function: Any) -> bool:
    known = _connections.get(id(made), [])
    matching = [c for c in known if c.signal == signal and (function is None or c.function == function)]
    for connection in matching:
        QtCore.QObject.disconnect(connection.token)
        known.remove(connection)
    return bool(matching)


def _types(signature: str) -> list[str]:
    inner = signature[signature.index("(") + 1 : -1]
    return inner.split(",") if inner else []
