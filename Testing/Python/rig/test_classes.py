"""Classes, identity, look-up and enums; the numbers are of the facts measured in 3D Slicer."""

from __future__ import annotations

from typing import Any

import pytest
from SlicerRig import application


@pytest.fixture
def qt() -> Any:
    import qt

    return qt


def test_11_classes_do_not_inherit_from_each_other(qt: Any) -> None:
    class Own(qt.QWidget):
        pass

    button = qt.QPushButton()
    assert not isinstance(button, qt.QWidget)
    assert not issubclass(qt.QPushButton, qt.QWidget)
    assert isinstance(button, qt.QPushButton)
    assert button.inherits("QWidget")
    assert button.className() == "QPushButton"
    assert isinstance(Own(), qt.QWidget)


def test_12_overrides_are_called_and_super_has_nothing(qt: Any) -> None:
    widths, failures = [], []

    class Own(qt.QWidget):
        def resizeEvent(self, event: Any) -> None:
            widths.append(event.size().width())
            qt.QWidget.resizeEvent(self, event)
            try:
                super().resizeEvent(event)
            except AttributeError as error:
                failures.append(str(error))

        def sizeHint(self) -> Any:
            return qt.QSize(77, 88)

    own = Own()
    own.show()
    own.resize(123, 50)
    application.process_events()
    assert widths[-1] == 123
    assert "'super' object has no attribute 'resizeEvent'" in failures[0]
    layout_parent = qt.QWidget()
    qt.QVBoxLayout(layout_parent).addWidget(own)
    assert layout_parent.sizeHint.width() >= 77


def test_12_event_filters_are_called(qt: Any) -> None:
    seen = []

    class Filter(qt.QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:
            seen.append((watched, event.type()))
            return False

    watching, widget = Filter(), qt.QWidget()
    widget.installEventFilter(watching)
    widget.resize(10, 10)
    widget.show()
    application.process_events()
    assert (widget, qt.QEvent.Resize) in seen


def test_13_a_subclass_without_base_init_fails_at_the_first_attribute(qt: Any) -> None:
    class Own(qt.QWidget):
        def __init__(self) -> None:
            self.x = 1

    with pytest.raises(AttributeError, match="Trying to set property 'x' on a destroyed QWidget object"):
        Own()


def test_14_the_same_object_gives_the_same_wrapper(qt: Any) -> None:
    import slicer

    widget, button = qt.QWidget(), qt.QPushButton()
    layout = qt.QVBoxLayout(widget)
    layout.addWidget(button)
    assert layout.itemAt(0).widget() is button
    assert button.parent() is widget
    assert slicer.app.layoutManager() is slicer.app.layoutManager()
    assert layout.itemAt(9) is None
    assert qt.QTableWidget(1, 1).item(0, 0) is None
    assert slicer.app.layoutManager().sliceWidget("nope") is None


def test_15_children_are_found_by_class_and_name(qt: Any) -> None:
    import slicer

    parent = qt.QWidget()
    button = qt.QPushButton("b", parent)
    button.objectName = "press"
    assert parent.findChild(qt.QPushButton) is button
    assert parent.findChild("QPushButton") is button
    assert parent.findChild(qt.QWidget, "press") is button
    assert parent.findChild(qt.QWidget, "else") is None
    found = slicer.util.childWidgetVariables(parent)
    assert found.press is button
    with pytest.raises(AttributeError):
        found.missing  # noqa: B018


def test_16_names_that_do_not_exist(qt: Any) -> None:
    for name in ("QVariant", "QString", "QStringList", "QWebEngineView", "qApp"):
        with pytest.raises(AttributeError):
            getattr(qt, name)
    for name in ("CTRL", "SHIFT"):
        with pytest.raises(AttributeError):
            getattr(qt.Qt, name)
    assert qt.QKeySequence("Ctrl+S").toString() == "Ctrl+S"


def test_16_exec_has_both_names(qt: Any) -> None:
    for name in ("exec", "exec_"):
        application.answer_dialogs(1)
        assert getattr(qt.QDialog(), name)() == 1


def test_17_short_and_scoped_enums(qt: Any) -> None:
    import ctk

    assert qt.Qt.AlignLeft == qt.Qt.AlignmentFlag.AlignLeft == 1
    assert qt.QMessageBox.Yes == qt.QMessageBox.StandardButton.Yes == 16384
    assert qt.QSizePolicy.Expanding == qt.QSizePolicy.Policy.Expanding == 7
    assert ctk.ctkPathLineEdit.Files == 2


def test_18_enums_are_ints(qt: Any) -> None:
    assert isinstance(qt.Qt.AlignLeft, int)
    assert str(qt.Qt.AlignRight) == "2"
    assert type(qt.Qt.AlignLeft | qt.Qt.AlignTop) is int
    label = qt.QLabel()
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignVCenter
    assert type(label.alignment) is int
    assert label.alignment == 130
    label.setAlignment(4)
    assert label.alignment == qt.Qt.AlignHCenter
    widget = qt.QWidget()
    widget.setSizePolicy(qt.QSizePolicy.Fixed, 7)
    assert (widget.sizePolicy.horizontalPolicy(), widget.sizePolicy.verticalPolicy()) == (0, 7)


def test_classes_of_vtkitk_are_not_in_slicer() -> None:
    import slicer
    import vtkITK

    assert vtkITK.vtkITKArchetypeImageSeriesScalarReader().GetSingleFile() == 1
    with pytest.raises(AttributeError):
        _ = slicer.vtkITKArchetypeImageSeriesScalarReader
