"""Properties, methods and attributes as PythonQt has them; the numbers are of the facts measured in 3D Slicer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def qt() -> Any:
    import qt

    return qt


def test_1_properties_are_attributes_and_not_callable(qt: Any) -> None:
    spin, combo, table = qt.QSpinBox(), qt.QComboBox(), qt.QTableWidget(2, 3)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        spin.value()
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        combo.currentData()
    combo.addItem("a")
    timer = qt.QTimer()
    timer.interval = 20
    assert (combo.count, combo.currentIndex, combo.currentText) == (1, 0, "a")
    assert (table.rowCount, table.columnCount, timer.interval) == (2, 3, 20)
    widget = qt.QWidget()
    assert (widget.enabled, widget.visible, widget.objectName) == (True, False, "")
    assert (widget.width, widget.size.height()) == (640, 480)


def test_2_other_getters_are_methods(qt: Any) -> None:
    button, label = qt.QCheckBox("b"), qt.QLabel("x")
    assert (button.isEnabled(), button.isVisible(), button.isChecked(), button.checkState()) == (True, False, False, 0)
    assert (button.parent(), button.layout(), qt.QTimer().isActive()) == (None, None, False)
    assert label.sizePolicy.horizontalPolicy() == qt.QSizePolicy.Preferred
    assert qt.QTableWidgetItem("cell").text() == "cell"
    assert (qt.QFont().bold(), qt.QSize(4, 5).width()) == (False, 4)


def test_3_setters_work_both_ways(qt: Any) -> None:
    label = qt.QLabel("a")
    label.text = "b"
    assert label.text == "b"
    label.setText("c")
    assert label.text == "c"
    with pytest.raises(AttributeError, match="is not writable"):
        label.width = 3
    with pytest.raises(AttributeError, match="Slot 'click' can not be overwritten"):
        qt.QPushButton().click = 1
    with pytest.raises(AttributeError, match="can not be overwritten"):
        qt.QPushButton().clicked = 1


def test_4_new_attributes_only_on_python_subclasses(qt: Any) -> None:
    class Own(qt.QWidget):
        pass

    with pytest.raises(AttributeError, match=r"creating new attributes on C\+\+ objects is not allowed"):
        qt.QWidget().foo = 1
    own = Own()
    own.foo = [1]
    assert own.foo == [1]
    widget = qt.QWidget()
    widget.setProperty("dyn", 3)
    assert widget.dyn == 3


def test_5_name_is_object_name_and_children_are_attributes(qt: Any) -> None:
    parent = qt.QWidget()
    parent.name = "outer"
    button = qt.QPushButton("b", parent)
    button.objectName = "theButton"
    assert (parent.objectName, parent.name) == ("outer", "outer")
    assert parent.theButton is button


def test_6_no_keywords_and_wrong_calls_are_value_errors(qt: Any) -> None:
    with pytest.raises(ValueError, match="called slot does not support kwargs"):
        qt.QLabel(text="x")
    with pytest.raises(ValueError, match="called slot does not support kwargs"):
        qt.QWidget().resize(w=1, h=2)
    with pytest.raises(ValueError, match=r"Called setText\(QString\) -> void with wrong number of arguments"):
        qt.QLabel().setText()
    with pytest.raises(ValueError, match="Could not find matching overload"):
        qt.QWidget().resize("a", "b", "c")


def test_7_loose_and_strict_conversions(qt: Any) -> None:
    button, spin = qt.QPushButton(), qt.QSpinBox()
    for value, shown in ((None, "None"), (5, "5"), (b"by", "b'by'"), (["a"], "['a']")):
        button.text = value
        assert button.text == shown
    button.setText(None)
    assert button.text == "None"
    spin.value = 2.7
    assert spin.value == 2
    button.enabled = "no"
    assert button.enabled is True
    button.setEnabled(None)
    assert button.enabled is False
    with pytest.raises(AttributeError, match="does not accept an object of type str"):
        spin.value = "7"
    with pytest.raises(ValueError, match="setValue"):
        spin.setValue(None)


def test_8_numpy_scalars_are_accepted(qt: Any) -> None:
    spin, box, button = qt.QSpinBox(), qt.QDoubleSpinBox(), qt.QPushButton()
    spin.value = np.int64(3)
    box.setValue(np.float32(1.5))
    button.enabled = np.bool_(False)
    button.setText(np.str_("t"))
    assert (spin.value, box.value, button.enabled, button.text) == (3, 1.5, False, "t")


def test_9_a_str_in_a_list_property_is_split_into_characters(qt: Any) -> None:
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = "vtk"
    assert combo.nodeTypes == ("v", "t", "k")


def test_10_lists_come_back_as_tuples(qt: Any) -> None:
    import slicer

    parent = qt.QWidget()
    child = qt.QLabel("x", parent)
    assert parent.children() == (child,)
    assert parent.findChildren(qt.QLabel) == (child,)
    assert slicer.app.layoutManager().sliceViewNames() == ("Red", "Green", "Yellow")
    combo = slicer.qMRMLNodeComboBox()
    for given in (["vtkMRMLModelNode"], ("vtkMRMLModelNode",)):
        combo.nodeTypes = given
        assert combo.nodeTypes == ("vtkMRMLModelNode",)


def test_what_the_application_does_not_have_is_refused(qt: Any) -> None:
    import ctk
    import slicer

    for refused in (
        lambda: qt.QWebEngineView,
        lambda: ctk.ctkNoSuchWidget,
        lambda: slicer.qMRMLNoSuchWidget,
        lambda: qt.QWidget().noSuchThing,
        lambda: qt.QHeaderView(qt.Qt.Horizontal).setResizeMode,
        lambda: qt.QMessageBox.NoSuchButton,
        lambda: ctk.ctkSliderWidget().setMaximum(3),  # a property without a slot of that name
        lambda: qt.QPushButton().isDefaultAction(),
    ):
        with pytest.raises(AttributeError):
            refused()


def test_what_the_rig_does_not_build_says_so(qt: Any) -> None:
    with pytest.raises(NotImplementedError, match="exists in 3D Slicer, but the rig"):
        qt.QComboBox().autoCompletion  # noqa: B018
