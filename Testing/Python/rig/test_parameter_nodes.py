"""parameterNodeWrapper: the pairs of type and widget that connect in 3D Slicer, and those that raise."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Union

import pytest
import slicer


class Device(enum.Enum):
    AUTO = "automatic"
    CPU = "processor"


@pytest.fixture
def api() -> Any:
    import slicer.parameterNodeWrapper as made

    return made


@pytest.fixture
def node() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


def wrapper(api: Any, kind: Any, **values: Any) -> Any:
    """A wrapper class with the one parameter `value`."""
    return api.parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"value": kind}, **values}))


def within(api: Any) -> Any:
    return Annotated[float, api.WithinRange(0, 5)]


def connecting(api: Any) -> list[tuple[str, Any, Any, Any, str]]:
    """Widget class, type, a value, what the widget shows then, and the property that shows it."""
    choice = Annotated[str, api.Choice(["a", "b"]), api.Default("a")]
    return [
        ("QSpinBox", int, 4, 4, "value"),
        ("QDoubleSpinBox", float, 1.5, 1.5, "value"),
        ("ctkDoubleSpinBox", float, 1.5, 1.5, "value"),
        ("QCheckBox", bool, True, True, "checked"),
        ("QPushButton", bool, True, True, "checked"),
        ("QComboBox", Device, Device.CPU, "CPU", "currentText"),
        ("QComboBox", choice, "b", "b", "currentText"),
        ("QLineEdit", str, "ü", "ü", "text"),
        ("QTextEdit", str, "ü", "ü", "plainText"),
        ("QLabel", str, "ü", "ü", "text"),
        ("ctkDirectoryButton", Path, Path("/data/ä b"), "/data/ä b", "directory"),
        ("ctkSliderWidget", within(api), 2.5, 2.5, "value"),
    ]


def widget_of(cls: str) -> Any:
    import ctk
    import qt

    module = qt if cls.startswith("Q") else slicer if cls.startswith("qMRML") else ctk
    made = getattr(module, cls)()
    if cls == "QPushButton":
        made.checkable = True
    return made


@pytest.mark.parametrize("row", range(12))
def test_pairs_that_connect(api: Any, node: Any, row: int) -> None:
    cls, kind, value, shown, name = connecting(api)[row]
    parameters, widget = wrapper(api, kind)(node), widget_of(cls)
    first = getattr(widget, name)
    tag = parameters.connectParametersToGui({"value": widget})
    parameters.value = value
    assert getattr(widget, name) == shown
    assert wrapper(api, kind)(node).value == value
    if cls != "QLabel" and name != "currentText":
        setattr(widget, name, first)
        assert parameters.value != value
    parameters.disconnectGui(tag)
    before = getattr(widget, name)
    parameters.value = parameters.default("value").value
    parameters.value = value
    assert getattr(widget, name) == before


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        ("ctkSliderWidget", float),
        ("ctkSliderWidget", int),
        ("QSlider", int),
        ("QSpinBox", float),
        ("QComboBox", str),
        ("ctkDirectoryButton", str),
        ("QPlainTextEdit", str),
        ("ctkCollapsibleButton", bool),
        ("QRadioButton", bool),
        ("QLineEdit", Device),
    ],
)
def test_pairs_that_raise(api: Any, node: Any, cls: str, kind: Any) -> None:
    parameters = wrapper(api, kind)(node)
    with pytest.raises(RuntimeError):
        parameters.connectParametersToGui({"value": widget_of(cls)})


@pytest.mark.parametrize("kind", [int | None, Path | None, list[str], dict])
def test_types_that_the_rig_does_not_know_raise(api: Any, kind: Any) -> None:
    with pytest.raises(RuntimeError, match="Unable to find serializer"):
        wrapper(api, kind)


def test_an_unknown_name_is_a_value_error(api: Any, node: Any) -> None:
    with pytest.raises(ValueError, match="Cannot find a param"):
        wrapper(api, int)(node).connectParametersToGui({"other": widget_of("QSpinBox")})


def test_wrong_values(api: Any, node: Any) -> None:
    with pytest.raises(TypeError):
        wrapper(api, int)(node).value = 1.5
    with pytest.raises(ValueError, match="range"):
        wrapper(api, within(api))(node).value = 7.0


def test_defaults_and_storage(api: Any, node: Any) -> None:
    assert wrapper(api, Path)(node).value == Path()
    node.UnsetAllParameters()
    assert wrapper(api, Device)(node).value is Device.AUTO
    assert node.GetParameter("value") == "AUTO"


def test_nodes(api: Any, node: Any) -> None:
    kind = slicer.vtkMRMLScalarVolumeNode | None
    parameters, selector = wrapper(api, kind)(node), widget_of("qMRMLNodeComboBox")
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    parameters.connectParametersToGui({"value": selector})
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert (parameters.value, selector.currentNode()) == (None, None)
    parameters.value = volume
    assert selector.currentNode() is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert parameters.value is None


def test_a_selector_offers_the_classes_of_its_parameter_and_no_others(api: Any, node: Any) -> None:
    grey, colour = slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode
    both = wrapper(api, Union[grey, colour, None])(node)  # noqa: UP007
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colour")
    both.value = volume
    for parameters, types in (
        (both, ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")),
        (wrapper(api, grey)(node), ("vtkMRMLScalarVolumeNode",)),
    ):
        selector = widget_of("qMRMLNodeComboBox")
        selector.nodeTypes = ["vtkMRMLVolumeNode"]
        selector.noneEnabled, selector.showChildNodeTypes = True, False
        selector.setMRMLScene(slicer.mrmlScene)
        parameters.value = volume
        parameters.connectParametersToGui({"value": selector})
        assert selector.nodeTypes == types
        assert selector.currentNode() is (volume if len(types) == 2 else None)
        assert parameters.value is volume


@pytest.mark.parametrize("ranged", [False, True])
def test_a_spin_box_has_the_range_of_its_parameter_and_not_its_own(api: Any, node: Any, ranged: bool) -> None:
    spin = widget_of("QSpinBox")
    spin.setRange(1, 9)
    kind = Annotated[int, api.WithinRange(2, 5), api.Default(2)] if ranged else int
    wrapper(api, kind)(node).connectParametersToGui({"value": spin})
    assert (spin.minimum, spin.maximum) == ((2, 5) if ranged else (-(2**31), 2**31 - 1))


def test_what_is_read_is_not_checked_but_cannot_be_shown(api: Any, node: Any) -> None:
    node.SetParameter("value", "c")
    parameters = wrapper(api, Annotated[str, api.Choice(["a", "b"]), api.Default("a")])(node)
    assert parameters.value == "c"
    with pytest.raises(ValueError, match="Unable to find value c"):
        parameters.connectParametersToGui({"value": widget_of("QComboBox")})
    with pytest.raises(ValueError, match="must be"):
        parameters.value = parameters.value


def test_widgets_are_not_heard_while_they_are_filled(api: Any, node: Any) -> None:
    parameters, selector = wrapper(api, slicer.vtkMRMLScalarVolumeNode)(node), widget_of("qMRMLNodeComboBox")
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    parameters.connectParametersToGui({"value": selector})
    hidden = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    selector.sortFilterProxyModel().hiddenNodeIDs = [hidden.GetID()]
    selector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))
    parameters.value = hidden
    assert (selector.currentNode(), parameters.value) == (None, hidden)


def test_packs(api: Any, node: Any) -> None:
    kinds = {"first": int, "last": Annotated[int, api.WithinRange(0, 9)]}
    pack = api.parameterPack(type("Range", (), {"__annotations__": kinds, "first": 1, "last": 3}))
    parameters = wrapper(api, pack)(node)
    spin = widget_of("QSpinBox")
    parameters.connectParametersToGui({"value.last": spin})
    assert (spin.maximum, spin.value) == (9, 3)
    spin.value = 5
    assert (parameters.value.first, parameters.value.last) == (1, 5)
    parameters.value.last = 6
    assert spin.value == 6


def test_one_unreadable_value_keeps_the_wrapper_from_being_made(api: Any, node: Any) -> None:
    node.SetParameter("value", "abc")
    with pytest.raises(ValueError, match="abc"):
        wrapper(api, int)(node)


def test_one_modified_event_per_change_and_per_block(api: Any, node: Any) -> None:
    import vtk

    parameters, events = wrapper(api, int)(node), []
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: events.append(1))
    parameters.value = 8
    assert len(events) == 1
    with slicer.util.NodeModify(node):
        parameters.value = 9
        parameters.value = 10
    assert len(events) == 2


def test_values_survive_saving_the_scene(api: Any, node: Any, tmp_path: Path) -> None:
    kinds = {"number": int, "share": float, "on": bool, "device": Device, "folder": Path, "text": str}
    kinds["volume"] = slicer.vtkMRMLScalarVolumeNode
    cls = api.parameterNodeWrapper(type("Parameters", (), {"__annotations__": kinds}))
    values = {
        "number": -4,
        "share": 0.1,
        "on": True,
        "device": Device.CPU,
        "folder": Path("/data/ä b/c"),
        "text": 'a"<ü>',
    }
    first = cls(node)
    for name, value in values.items():
        setattr(first, name, value)
    first.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    again = cls(slicer.util.getNode("parameters"))
    assert {name: getattr(again, name) for name in values} == values
    assert again.volume.GetName() == "V"
