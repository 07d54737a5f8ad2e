"""The table of cases: what each image of the scene is used for, why, and how the user changes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from SemiSegTrainerLib.scene.facts import Finding
from SlicerRig import application

NAME, ANNOTATED, USE = range(3)


def rows(module: Any) -> list[tuple[str, str, str, str]]:
    """Name, why, how much is annotated and the use of every row, as shown."""
    table = module.ui.casesTable
    found = []
    for row in range(table.rowCount):
        name, why = table.item(row, NAME).text().split("\n")
        found.append((name, why, table.cellWidget(row, ANNOTATED).format, table.cellWidget(row, USE).currentText))
    return found


def choose(module: Any, row: int, use: str) -> None:
    """Choose a use as a person does."""
    combo = module.ui.casesTable.cellWidget(row, USE)
    combo.currentText = use
    combo.activated(combo.currentIndex)
    module.settle()


def test_every_volume_and_every_cine_is_a_row(opened_trainer: Callable[..., Any], partly: Any, pictures: Any) -> None:
    module = opened_trainer()
    module.settle()
    application.screenshot(module.widget.parent, pictures / "trainer-cases.png")
    found = {name: row for name, *row in rows(module)}
    assert list(found) == [*(f"Volume {n}" for n in range(6)), "Cine"]
    assert {tuple(found[f"Volume {n}"][:2]) for n in range(3)} == {("every outline is finished", "everything")}
    assert found["Volume 3"][:2] == ["finished on 3 of 8 slices", "3 of 8 slices"]
    assert found["Volume 4"] == ["every segment is flagged", "nothing", "Left out"]
    assert found["Volume 5"] == ["no segmentation", "nothing", "Unlabelled"]
    assert found["Cine"][1] == "5 of 12 frames"
    split = module.panel.split
    for case in module.panel.training_set.cases:
        if case.shape[0] > 1 and case.use in ("labelled", "partly"):
            assert found[case.name][2] == ("Validation" if split.side(case.id) == "validation" else "Training")
    assert split.how in module.ui.splitLabel.text
    assert "not annotated" in module.ui.casesSummaryLabel.text


def test_a_long_reason_does_not_cut_the_name(opened_trainer: Callable[..., Any], partly: Any) -> None:
    partly.volumes[3].SetName(6 * "a long name ")
    module = opened_trainer()
    module.settle()
    table = module.ui.casesTable
    assert any(len(why) > 20 for _, why, *_ in rows(module))
    assert [n for n in range(table.rowCount) if table.sizeHintForRow(n) > table.rowHeight(n)] == []


def test_names_are_read_where_the_panel_is_as_narrow_as_it_can_be(
    opened_trainer: Callable[..., Any], partly: Any
) -> None:
    from SemiSegTrainerLib.panel.cases_table import THUMBNAIL
    from SemiSegTrainerLib.panel.rows import CHOSEN_USES

    module = opened_trainer()
    module.settle()
    parent, table = module.widget.parent, module.ui.casesTable
    parent.resize(application.least_width(parent), 900)
    application.settle()
    text = table.fontMetrics().horizontalAdvance
    assert table.columnWidth(NAME) - THUMBNAIL > text("Volume 12")
    assert table.columnWidth(USE) > max(map(text, CHOSEN_USES)) + 24, "and the arrow beside it"
    partial = next(table.cellWidget(row, ANNOTATED) for row in range(table.rowCount) if rows(module)[row][0] == "Cine")
    assert partial.format == "5 of 12 frames" or partial.format.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert text(partial.format) < table.columnWidth(ANNOTATED)
    assert "5 of 12 frames" in partial.toolTip


def test_text_is_readable_on_a_dark_background_too(opened_trainer: Callable[..., Any], partly: Any) -> None:
    """Slicer takes a dark style over from the system; WCAG calls a contrast of 3 the least that can be read."""
    import qt
    from SemiSegTrainerLib.panel import cases_table, preflight, training_curves

    module = opened_trainer()
    module.settle()
    colors = {row: module.ui.casesTable.item(row, NAME).data(qt.Qt.ForegroundRole) for row in range(5)}
    assert colors[0] is None, "the style's own"
    assert colors[4] is not None, "left out"

    def light(color: str) -> float:
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.05 + float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    used = {*cases_table._COLORS.values(), cases_table._GRAY, preflight._GREY, preflight._RED, preflight._AMBER}
    used.add("#" + "".join(f"{round(255 * part):02x}" for part in training_curves._MEAN_COLOR))
    for color in used:
        for background in ("#ffffff", "#353535"):
            first, second = sorted((light(color), light(background)))
            assert second / first > 2.9, (color, background)
    remedy = "Annotate some more"
    said = preflight._line(Finding("few-annotated", "Only 1 image is annotated", remedy))
    assert f"</span> Only 1 image is annotated. {remedy}." in said, "what helps is read as well as what is wrong"


def test_a_use_is_chosen_and_proposed_again(opened_trainer: Callable[..., Any], partly: Any) -> None:
    module = opened_trainer()
    module.settle()
    before = rows(module)
    for row, use in ((0, "Validation"), (1, "Training"), (2, "Left out"), (3, "Unlabelled"), (5, "Left out")):
        choose(module, row, use)
    uses = [use for *_, use in rows(module)]
    assert uses[:4] == ["Validation", "Training", "Left out", "Unlabelled"]
    assert uses[5] == "Left out"
    by_name = {case.name: case for case in module.panel.training_set.cases}
    assert module.panel.split.side(by_name["Volume 0"].id) == "validation"
    assert by_name["Volume 2"].use == by_name["Volume 5"].use == "left out"
    assert by_name["Volume 3"].use == "unlabelled"
    application.click(module.ui.proposeButton)
    module.settle()
    assert rows(module) == before


def test_uses_of_an_image_that_is_just_gone_keep_those_of_no_other(
    opened_trainer: Callable[..., Any], partly: Any
) -> None:
    """The table still shows it for a moment; what is asked for holds for the others."""
    import slicer

    module = opened_trainer()
    module.settle()
    for row in (0, 1):
        choose(module, row, "Left out")
    slicer.mrmlScene.RemoveNode(partly.volumes[0])
    application.click(module.ui.proposeButton)
    combo = module.ui.casesTable.cellWidget(0, USE)
    combo.activated(combo.currentIndex)
    assert application.slot_errors() == []
    module.settle()
    assert {name: use for name, _, _, use in rows(module)}["Volume 1"] != "Left out"


def test_the_wheel_changes_no_use(opened_trainer: Callable[..., Any], partly: Any) -> None:
    from PySide6 import QtCore, QtGui, QtWidgets

    module = opened_trainer()
    module.settle()
    combo = module.ui.casesTable.cellWidget(0, USE)
    before = combo.currentText
    turn = QtGui.QWheelEvent(
        QtCore.QPointF(5, 5), QtCore.QPointF(5, 5), QtCore.QPoint(0, 0), QtCore.QPoint(0, -120),
        QtCore.Qt.MouseButton.NoButton, QtCore.Qt.KeyboardModifier.NoModifier,
        QtCore.Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(combo._qt, turn)
    assert not turn.isAccepted()
    assert combo.currentText == before


def test_what_is_drawn_elsewhere_shows_when_the_module_is_entered(
    opened_trainer: Callable[..., Any], partly: Any
) -> None:
    import slicer

    module = opened_trainer()
    module.settle()
    application.leave_module("SemiSegTrainer")
    segment = partly.segmentations[3].GetSegmentation().GetNthSegment(0)
    slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(segment, slicer.vtkSlicerSegmentationsModuleLogic.Flagged)
    application.open_module("SemiSegTrainer")
    module.settle()
    assert rows(module)[3][1] == '"dark" finished on 3 of 8 slices'


def test_a_double_click_shows_the_image(opened_trainer: Callable[..., Any], partly: Any) -> None:
    from SemiSegCervicalLib.panel.views import background_volume

    module = opened_trainer()
    module.settle()
    module.ui.casesTable.cellDoubleClicked(1, NAME)
    assert background_volume() is partly.volumes[1]
    seen = [n for n, node in partly.segmentations.items() if node.GetDisplayNode().GetVisibility()]
    assert seen == [1], "the outlines of volumes in the same place would lie over it"
    module.ui.casesTable.cellDoubleClicked(6, NAME)
    assert background_volume() is partly.browser.GetProxyNode(partly.sequence)


def test_rows_follow_the_scene(opened_trainer: Callable[..., Any], partly: Any) -> None:
    import slicer

    module = opened_trainer()
    module.settle()
    module.ui.casesTable.setCurrentCell(2, NAME)
    slicer.mrmlScene.RemoveNode(partly.volumes[0])
    module.settle()
    assert [name for name, *_ in rows(module)][:3] == ["Volume 1", "Volume 2", "Volume 3"]
    assert module.panel.cases.selected.name == "Volume 2", "the selection stays with its image"


def test_which_class_a_segment_is_is_asked(opened_trainer: Callable[..., Any], partly: Any, pictures: Any) -> None:
    from SemiSegTrainerLib.panel.questions import ASK

    liver = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~SCT^{}^"
    module = opened_trainer()
    module.settle()
    assert not module.ui.questionsHost.isVisible()
    for number, code in ((0, "10200004"), (1, "78961009")):
        segment = partly.segmentations[number].GetSegmentation().GetNthSegment(0)
        segment.SetTerminology(liver.format(code) + "Organ~^^~Anatomic codes - DICOM master list~^^~^^|")
    module.panel.look_again()
    module.settle()
    ui = module.ui
    assert ui.questionsHost.isVisible()
    application.screenshot(module.widget.parent, pictures / "trainer-questions.png")
    assert ui.questionsTable.rowCount == 2, "the name under another terminology, and the name without any"
    asked = [ui.questionsTable.item(row, 0).text() for row in range(2)]
    assert "Volume 1" in asked[0]
    assert {use for *_, use in rows(module)[1:4]} == {"Left out"}
    while ui.questionsTable.rowCount:
        combo = ui.questionsTable.cellWidget(0, 1)
        assert combo.currentText == ASK
        combo.activated(0)
        assert not module.panel.reading, "nothing was chosen"
        combo.activated(2)
        module.settle()
    names = [entry.name for entry in module.panel.training_set.classes]
    assert sorted(names) == ["bright", "bright 2", "dark"]
    assert "Ask again about 1 segment" in ui.askAgainButton.text
    application.click(ui.askAgainButton)
    module.settle()
    assert ui.questionsTable.rowCount == 2
    assert not ui.askAgainButton.isVisible()


def test_two_hundred_cases(opened_trainer: Callable[..., Any]) -> None:
    """The table is there in under 2 s, and the panel can be used meanwhile."""
    import slicer
    from SlicerRig import scenes
    from TrainingRig import cases

    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    drawn = [cases.draw(z) for z in range(8)]
    image, labels = (np.stack([d[k] for d in drawn]) for k in (0, 1))
    for number in range(140):
        volume = scenes.add_volume(image.astype(np.int16), f"Volume {number}", affine)
        if number % 2:
            scenes.add_segmentation(volume, labels, scenes.BLOBS)
    scenes.add_cine([drawn[k % 8][0] for k in range(60)], "Cine", affine)
    module = opened_trainer()
    application.process_events()
    application.reset()
    used = time.process_time()
    table = module.ui.casesTable
    module.until(lambda: table.rowCount == 141 and table.cellWidget(140, USE) is not None)
    assert time.process_time() - used < 2.0 * application.STRETCH
    module.settle()
    assert application.longest_call().cpu < 0.1 * application.STRETCH, application.longest_call()
    assert len(module.panel.training_set.cases) == 200
    slicer.mrmlScene.Clear(0)
    module.settle()
    assert module.ui.casesTable.rowCount == 0
