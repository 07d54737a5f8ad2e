"""Item data, byte arrays, settings and processes; the numbers are of the facts measured in 3D Slicer."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from SlicerRig import application


@pytest.fixture
def qt() -> Any:
    import qt

    return qt


def test_39_item_data(qt: Any) -> None:
    import vtk

    thing, matrix = object(), vtk.vtkMatrix4x4()
    combo = qt.QComboBox()
    for value in (1, 2**40, 1.5, True, "s", None, {"a": 1}, thing, matrix):
        combo.addItem("x", value)
        back = combo.itemData(combo.count - 1)
        assert back == value
        assert type(back) is type(value)
    assert combo.itemData(7) is thing
    assert combo.itemData(8) is matrix
    combo.addItem("list", [1, 2])
    combo.addItem("bytes", b"by")
    combo.addItem("dict", {1: 2})
    assert combo.itemData(9) == (1, 2)
    assert isinstance(combo.itemData(10), qt.QByteArray)
    assert combo.itemData(11) == {"1": 2}
    assert (combo.findData("s"), combo.findData({"a": 1}), combo.findData(thing)) == (4, -1, -1)


def test_39_table_item_data(qt: Any) -> None:
    item = qt.QTableWidgetItem()
    item.setData(qt.Qt.UserRole, [1, "a"])
    item.setData(qt.Qt.DisplayRole, 7)
    assert (item.data(qt.Qt.UserRole), item.text()) == ((1, "a"), "7")


def test_40_byte_arrays(qt: Any) -> None:
    data = qt.QByteArray(b"ab\0c")
    assert data.data() == b"ab\0c"
    assert str(data) == "b'ab\\x00c'"
    with pytest.raises(TypeError):
        len(data)
    with pytest.raises(TypeError):
        bytes(data)


def test_41_settings_keep_types_in_their_session(qt: Any) -> None:
    import slicer

    settings = qt.QSettings()
    for key, value in (("on", True), ("n", 5), ("x", 1.5), ("s", "t"), ("l", ("a",))):
        settings.setValue(f"rig/{key}", value)
        assert settings.value(f"rig/{key}") == value
    assert settings.value("rig/none") is None
    assert settings.contains("rig/on")
    assert slicer.util.settingsValue("rig/n", 0, converter=int) == 5
    assert slicer.util.settingsValue("rig/absent", 7, converter=int) == 7
    settings.remove("rig")


def test_42_a_process(qt: Any) -> None:
    process, seen = qt.QProcess(), []
    process.connect("readyReadStandardOutput()", lambda: seen.append(process.readAllStandardOutput().data()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, status)))
    code = "import sys; sys.stdout.write(sys.stdin.readline()); sys.exit(3)"
    process.start(sys.executable, ["-c", code])
    process.write(b"one\n")
    assert application.wait_until(lambda: (3, 0) in seen)
    assert b"".join(part for part in seen if isinstance(part, bytes)) == b"one\n"
    assert process.state() == qt.QProcess.NotRunning
    assert process.arguments() == ("-c", code)


def test_42_a_program_that_cannot_start_only_sends_an_error(qt: Any) -> None:
    process, seen = qt.QProcess(), []
    assert process.connect("errorOccurred(QProcess::ProcessError)", lambda error: seen.append(("error", error)))
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda *_: seen.append("finished"))
    process.start("no-such-program-anywhere", [])
    assert process.waitForStarted(1000) is False
    application.process_events(0.05)
    assert seen == [("error", qt.QProcess.FailedToStart)]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"a\0b\n", b"a\0b\n"),
        ("ä\n", "ä\n".encode()),
        (bytearray(b"x\n"), b"bytearray(b'x\\n')"),
    ],
    ids=["bytes", "str", "bytearray"],
)
def test_what_write_sends(qt: Any, given: Any, sent: bytes) -> None:
    process = qt.QProcess()
    process.start(sys.executable, ["-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"])
    process.write(given)
    process.closeWriteChannel()
    assert process.waitForFinished(10000)
    assert process.readAllStandardOutput().data() == sent


def test_write_to_a_dead_process_returns_the_length(qt: Any) -> None:
    process = qt.QProcess()
    process.start("true", [])
    process.waitForFinished(5000)
    assert process.write(b"12345") == 5


def test_removing_a_segmentation_empties_what_shares_its_segments() -> None:
    import slicer

    shown = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    item = slicer.vtkMRMLSegmentationNode()
    item.GetSegmentation().AddEmptySegment("", "lip")
    shown.CopyContent(item, False)  # as a browser does that saves changes
    slicer.mrmlScene.RemoveNode(shown)
    assert item.GetSegmentation().GetNumberOfSegments() == 0
