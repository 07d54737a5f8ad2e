"""``.ui`` files are loaded as 3D Slicer loads them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

FORM = """<?xml version="1.0"?><ui version="4.0"><class>F</class><widget class="QWidget" name="F">
<layout class="QVBoxLayout" name="l">{items}</layout></widget>{rest}</ui>"""
ITEM = '<item><widget class="{cls}" name="{name}">{inner}</widget></item>'


@pytest.fixture
def load(tmp_path: Path) -> Any:
    import slicer

    def load(*items: tuple[str, str, str], rest: str = "") -> Any:
        text = "".join(ITEM.format(cls=cls, name=name, inner=inner) for cls, name, inner in items)
        path = tmp_path / "form.ui"
        path.write_text(FORM.format(items=text, rest=rest), encoding="utf-8")
        return slicer.util.loadUI(str(path))

    return load


def test_27_a_missing_file_raises(tmp_path: Path) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))


@pytest.mark.parametrize("cls", ["NoSuchWidget", "ctkNoSuch", "qMRMLPlotView"])
def test_27_an_unknown_class_is_left_out_with_a_warning(load: Any, caplog: pytest.LogCaptureFixture, cls: str) -> None:
    with caplog.at_level(logging.WARNING):
        form = load((cls, "odd", ""), ("QSpinBox", "kept", ""))
    import slicer

    assert f"unable to create a widget of the class '{cls}'" in caplog.text
    found = slicer.util.childWidgetVariables(form)
    assert found.kept.value == 0
    assert not hasattr(found, "odd")


def test_27_unknown_properties_are_ignored(load: Any) -> None:
    form = load(("QLabel", "label", '<property name="noSuch"><string>x</string></property>'))
    assert form.findChild("QLabel", "label").text == ""


def test_properties_enums_and_dynamic_properties(load: Any) -> None:
    inner = (
        '<property name="alignment"><set>Qt::AlignRight|Qt::AlignVCenter</set></property>'
        '<property name="toolTip"><string>why</string></property>'
        '<property name="SlicerParameterName" stdset="0"><string>pack.name</string></property>'
    )
    form = load(("QLabel", "label", inner))
    label = form.findChild("QLabel", "label")
    assert (label.alignment, label.toolTip) == (130, "<p>why</p>")
    assert label.property("SlicerParameterName") == "pack.name"


def test_ctk_and_qmrml_widgets(load: Any) -> None:
    import slicer

    form = load(
        ("ctkCollapsibleButton", "section", '<property name="collapsed"><bool>true</bool></property>'),
        ("ctkSliderWidget", "slider", '<property name="maximum"><double>5</double></property>'),
        ("ctkDirectoryButton", "folder", ""),
        ("qMRMLNodeComboBox", "nodes", ""),
    )
    ui = slicer.util.childWidgetVariables(form)
    assert ui.section.collapsed is True
    assert ui.slider.maximum == 5.0
    assert ui.folder.directory == "."
    ui.folder.directory = "here"
    assert ui.folder.directory == str(Path.cwd() / "here")
    assert ui.nodes.className() == "qMRMLNodeComboBox"


def test_connections_of_the_file(load: Any) -> None:
    rest = (
        "<connections>"
        "<connection><sender>on</sender><signal>toggled(bool)</signal>"
        "<receiver>label</receiver><slot>setVisible(bool)</slot></connection>"
        "<connection><sender>spin</sender><signal>valueChanged(int)</signal>"
        "<receiver>bar</receiver><slot>setValue(int)</slot></connection></connections>"
    )
    form = load(
        ("QCheckBox", "on", ""),
        ("QLabel", "label", ""),
        ("QSpinBox", "spin", ""),
        ("QProgressBar", "bar", ""),
        rest=rest,
    )
    form.findChild("QCheckBox", "on").checked = True
    form.findChild("QCheckBox", "on").checked = False
    form.findChild("QSpinBox", "spin").value = 7
    assert form.findChild("QLabel", "label").isVisibleTo(form) is False
    assert form.findChild("QProgressBar", "bar").value == 7
