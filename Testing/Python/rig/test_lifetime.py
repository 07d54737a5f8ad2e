"""Lifetime of Qt objects; the numbers are of the facts measured in 3D Slicer."""

from __future__ import annotations

from typing import Any

import pytest
from SlicerRig import application


@pytest.fixture
def qt() -> Any:
    import qt

    return qt


def test_35_a_parentless_timer_dies_with_its_last_reference(qt: Any) -> None:
    fired = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: fired.append(1))
    timer.start(1)
    del timer
    application.process_events(0.05)
    assert fired == []


def test_35_a_child_lives_on_and_a_subclass_keeps_its_attributes(qt: Any) -> None:
    class Own(qt.QWidget):
        def __init__(self, parent: Any) -> None:
            qt.QWidget.__init__(self, parent)
            self.mine = [1, 2]

    parent = qt.QWidget()
    Own(parent)
    (child,) = parent.children()
    assert child.mine == [1, 2]
    assert isinstance(child, Own)


def test_35_a_widget_in_a_layout_lives_on(qt: Any) -> None:
    layout = qt.QVBoxLayout()
    layout.addWidget(qt.QPushButton("kept"))
    parent = qt.QWidget()
    parent.setLayout(layout)
    assert parent.findChild(qt.QPushButton).text == "kept"


def test_35_parts_of_a_dead_owner_are_dead(qt: Any) -> None:
    action = qt.QMenu("m").addAction("x")
    header = qt.QTableWidget(1, 1).horizontalHeader()
    assert not action
    assert not header


def test_36_deleted_objects(qt: Any) -> None:
    button = qt.QPushButton("b")
    inner = qt.QLabel("x", button)
    button.delete()
    assert not button
    assert not inner
    assert button == None  # noqa: E711
    assert button is not None
    with pytest.raises(ValueError, match="on a destroyed QPushButton object"):
        button.text  # noqa: B018
    with pytest.raises(ValueError, match="on a destroyed QPushButton object"):
        button.setText("x")


def test_36_delete_later_waits_for_the_event_loop(qt: Any) -> None:
    import slicer

    button = qt.QPushButton()
    button.deleteLater()
    slicer.app.processEvents()
    assert button
    qt.QCoreApplication.sendPostedEvents(None, 52)
    assert not button


def test_38_dropping_a_running_process_kills_it(qt: Any) -> None:
    process = qt.QProcess()
    process.start("sleep", ["30"])
    assert process.waitForStarted(3000)
    pid = process.processId()
    del process
    import os

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
