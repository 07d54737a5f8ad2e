"""Signals and slots; the numbers are of the facts measured in 3D Slicer."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from SlicerRig import application


@pytest.fixture
def qt() -> Any:
    import qt

    return qt


def test_19_both_styles_and_full_signatures(qt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    button, calls = qt.QPushButton(), []
    assert button.connect("clicked(bool)", calls.append) is True
    assert button.clicked.connect(calls.append) is True
    assert button.connect(" clicked( bool ) ", calls.append) is True
    button.click()
    assert calls == [False, False, False]
    for wrong in ("clicked", "nosuch()", "clicked(int)"):
        assert button.connect(wrong, calls.append) is False
        assert "does not exist" in capsys.readouterr().err


def test_20_extra_arguments_are_dropped_too_few_are_an_error(qt: Any) -> None:
    button, calls = qt.QPushButton(), []

    def none() -> None:
        calls.append("none")

    button.connect("clicked(bool)", none)
    button.connect("clicked()", lambda x: calls.append(x))
    button.click()
    assert calls == ["none"]
    assert "missing 1 required positional argument" in application.slot_errors().pop()


def test_21_partial_gets_all_arguments(qt: Any) -> None:
    button, calls = qt.QPushButton(), []

    def one(value: int) -> None:
        calls.append(value)

    button.clicked.connect(functools.partial(one, 9))
    button.click()
    assert calls == []
    assert "takes 1 positional argument but 2 were given" in application.slot_errors().pop()
    button.clicked.disconnect()
    button.connect("clicked()", functools.partial(one, 9))
    button.click()
    assert calls == [9]


def test_22_one_overload_unless_spelled_out(qt: Any) -> None:
    combo, numbers, texts = qt.QComboBox(), [], []
    combo.addItems(["a", "b"])
    combo.currentIndexChanged.connect(numbers.append)
    combo.connect("currentIndexChanged(QString)", texts.append)
    combo.currentIndex = 1
    assert (numbers, texts) == ([1], ["b"])
    with pytest.raises(TypeError):
        combo.currentIndexChanged[int]
    process, ends = qt.QProcess(), []
    process.finished.connect(lambda *arguments: ends.append(arguments))
    process.connect("finished(int,QProcess::ExitStatus)", lambda *arguments: ends.append(arguments))
    process.start("true", [])
    assert application.wait_until(lambda: len(ends) == 2)
    assert sorted(ends) == [(0,), (0, 0)]


def test_23_connecting_nothing_twice_and_undoing(qt: Any) -> None:
    class Own:
        def __init__(self) -> None:
            self.count = 0

        def hit(self) -> None:
            self.count += 1

    button, own = qt.QPushButton(), Own()
    assert button.connect("clicked()", None) is True
    button.click()
    assert len(application.slot_errors()) == 1
    application.slot_errors().clear()
    assert button.disconnect("clicked()", None) is True
    assert button.connect("clicked()", own.hit)
    assert button.connect("clicked()", own.hit)
    button.click()
    assert own.count == 2
    assert button.disconnect("clicked()", own.hit) is True
    assert button.disconnect("clicked()", own.hit) is False
    button.click()
    assert own.count == 2


def test_24_emitting(qt: Any) -> None:
    class Own(qt.QObject):
        changed = qt.Signal(int)

    button, calls = qt.QPushButton(), []
    button.clicked.connect(calls.append)
    button.clicked.emit(True)
    button.clicked(False)
    assert calls == [True, False]
    with pytest.raises(AttributeError):
        button.emit("clicked()")
    own = Own()
    own.changed.connect(calls.append)
    own.changed.emit(1)
    assert calls == [True, False, 1]
    assert own.connect("changed(int)", calls.append) is False


def test_25_blocking_signals(qt: Any) -> None:
    spin, calls = qt.QSpinBox(), []
    spin.connect("valueChanged(int)", calls.append)
    assert spin.blockSignals(True) is False
    assert spin.blockSignals(True) is True
    spin.value = 3
    spin.blockSignals(False)
    blocker = qt.QSignalBlocker(spin)
    spin.value = 4
    blocker.unblock()
    spin.value = 5
    assert calls == [5]
    with pytest.raises((TypeError, AttributeError)), blocker:
        pass


def test_26_mrml_signals_carry_nodes(qt: Any) -> None:
    import slicer

    combo, nodes = slicer.qMRMLNodeComboBox(), []
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.noneEnabled = True
    combo.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)))
    with pytest.raises(TypeError, match="method requires a vtkMRMLScene, a vtkMRMLScalarVolumeNode was provided"):
        combo.setMRMLScene(volume)
    combo.setMRMLScene(slicer.mrmlScene)
    combo.setCurrentNode(volume)
    combo.setCurrentNode(None)
    assert nodes == [volume, None]
    combo.setCurrentNode(volume)
    combo.currentNodeID = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode").GetID()
    assert combo.currentNode() is None


def test_28_an_exception_in_a_slot_stops_nothing(qt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    button, calls = qt.QPushButton(), []

    def fail() -> None:
        raise KeyError("slot")

    button.clicked.connect(fail)
    button.clicked.connect(lambda: calls.append("later"))
    button.click()
    assert calls == ["later"]
    assert "KeyError: 'slot'" in application.slot_errors().pop()
    assert "KeyError: 'slot'" in capsys.readouterr().err


def test_28_an_exception_in_an_observer_is_counted_too() -> None:
    import slicer

    def fail(*_: Any) -> None:
        raise KeyError("observer")

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, fail)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    slicer.mrmlScene.RemoveObserver(tag)
    assert "KeyError: 'observer'" in application.slot_errors().pop()
    assert application.slot_errors() == []


def test_37_a_connection_keeps_its_callable_until_the_sender_goes(qt: Any) -> None:
    class Own:
        def __init__(self) -> None:
            self.button = qt.QPushButton()
            self.button.connect("clicked()", self.hit)

        def hit(self) -> None:
            pass

    own = Own()
    seen = weakref.ref(own)
    button = own.button
    del own
    gc.collect()
    assert seen() is not None
    button.delete()
    del button
    gc.collect()
    assert seen() is None


def test_46_single_shot(qt: Any) -> None:
    class Own:
        def __init__(self) -> None:
            self.count = 0

        def hit(self) -> None:
            self.count += 1

    own, calls = Own(), []
    qt.QTimer.singleShot(0, own.hit)
    qt.QTimer.singleShot(0, lambda: calls.append(1))
    application.process_events(0.05)
    assert (own.count, calls) == (1, [1])
    timer = qt.QTimer()
    with pytest.raises(AttributeError, match="can not be overwritten"):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()
    timer.singleShot(0, own.hit)
    application.process_events(0.05)
    assert own.count == 2
    seen = weakref.ref(own)
    del own
    gc.collect()
    assert seen() is not None, "it lives as long as Slicer"


def test_44_single_shot_from_a_thread_never_fires(qt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fired: list[int] = []
    thread = threading.Thread(target=lambda: qt.QTimer.singleShot(0, lambda: fired.append(1)))
    thread.start()
    thread.join()
    application.process_events(0.05)
    assert fired == []
    assert "Timers can only be used" in capsys.readouterr().err
