"""The section What to annotate next: asked for with the real worker, gone to, corrected, accepted."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from SemiSegCervicalLib.errors import SemiSegError
from SlicerRig import application, scenes


@pytest.fixture
def asked(opened_trainer: Callable[..., Any], film: Callable[..., Any], blobs: Path) -> Any:
    """The module with suggestions for a cine."""
    made = film()
    module = opened_trainer()
    ready(module)
    ui = module.panel.suggest.ui
    ui.suggestCountSpinBox.value = 3
    application.click(ui.askButton)
    module.until(lambda: module.panel.suggest.rows or module.ui.messageLabel.text)
    settle(module)
    assert not module.ui.messageFrame.isVisible(), module.ui.messageLabel.text
    return types.SimpleNamespace(module=module, film=made, section=module.panel.suggest, ui=ui)


def ready(module: Any) -> None:
    module.until(lambda: module.panel.training_set is not None and not module.panel._collecting.active)
    application.process_events(0.1)


def settle(module: Any) -> None:
    application.process_events(0.3)
    ready(module)


def uses(module: Any) -> list[str]:
    return [case.use for case in module.panel.training_set.cases]


def selected(asked: Any) -> int:
    return int(asked.film.browser.GetSelectedItemNumber())


def frame_of(asked: Any, row: int) -> int:
    """The frame that a row is about."""
    value = asked.section.rows[row].idea.case.partition(":")[2]
    return int(asked.film.cine.GetItemNumberFromIndexValue(value, True))


def cells(asked: Any, column: int) -> list[str]:
    table = asked.ui.suggestionsTable
    return [table.item(row, column).text() for row in range(table.rowCount)]


def test_a_volume_does_not_keep_a_model_of_pictures_from_suggesting(
    opened_trainer: Callable[..., Any], film: Callable[..., Any], blobs: Path
) -> None:
    volume = scenes.add_volume(np.zeros((6, 24, 32), np.int16), "CT")
    film()
    module = opened_trainer()
    ready(module)
    section = module.panel.suggest
    application.click(section.ui.askButton)
    module.until(lambda: section.rows or module.ui.messageLabel.text)
    assert not module.ui.messageFrame.isVisible(), module.ui.messageLabel.text
    assert all(row.idea.case != volume.GetID() for row in section.rows)


def test_what_was_asked_about_goes_with_its_scene(asked: Any) -> None:
    import slicer

    del asked.film
    kept = scenes.kept_images()
    assert kept() > 1
    slicer.mrmlScene.Clear(0)
    settle(asked.module)
    assert kept() == 0


@pytest.mark.torch
def test_reasons_are_read_whole(asked: Any) -> None:
    from SemiSegTrainerLib.learning.ranking import NEW_GROUP, UNSURE

    for row in asked.section.rows:
        row.idea = dataclasses.replace(row.idea, reasons=(UNSURE, NEW_GROUP))
    asked.section._fill()
    settle(asked.module)
    table = asked.ui.suggestionsTable
    assert all(table.sizeHintForRow(row) <= table.rowHeight(row) for row in range(table.rowCount))


def test_a_long_name_leaves_room_for_the_reasons(asked: Any) -> None:
    name = f"{9 * 'a_files_name_'}, frame 12"
    for row in asked.section.rows:
        row.name = name
    asked.section._fill()
    settle(asked.module)
    table = asked.ui.suggestionsTable
    where = cells(asked, 0)[0]
    assert table.fontMetrics().horizontalAdvance(where) <= 120, "pixels, of the 350 of a narrow panel"
    assert where.endswith("frame 12")
    assert name in table.item(0, 0).toolTip()


def test_suggestions_are_gone_to_and_count_once_accepted(asked: Any, pictures: Path) -> None:
    from SemiSegTrainerLib.scene.collect import collect_training_set

    ui, module, frames = asked.ui, asked.module, [frame_of(asked, row) for row in range(3)]
    application.screenshot(module.widget.parent, pictures / "trainer-suggestions.png")
    assert len(set(frames)) == 3
    assert not {0, 1} & set(frames), "these are annotated"
    assert cells(asked, 0) == [f"cine, frame {number + 1}" for number in frames]
    assert all(cells(asked, 2))
    gains = [ui.suggestionsTable.cellWidget(row, 1).value for row in range(3)]
    assert gains == sorted(gains, reverse=True)
    assert 0 < gains[-1] <= gains[0] <= 100
    for button in (ui.correctSuggestionButton, ui.acceptSuggestionButton):
        assert not button.enabled
        assert "Go there first" in button.toolTip
    assert not ui.suggestingHost.isVisibleTo(module.widget.parent)

    before = uses(module)
    application.click(ui.goThereButton)
    settle(module)
    assert selected(asked) == frames[0]
    assert "only a start" in module.ui.messageLabel.text
    assert uses(module) == before == ["labelled"] * 2 + ["unlabelled"] * 5
    assert cells(asked, 3) == ["to accept", "", ""]
    ui.suggestionsTable.selectRow(1)
    application.process_events(0.1)
    assert not ui.acceptSuggestionButton.enabled
    ui.suggestionsTable.selectRow(0)
    application.click(ui.acceptSuggestionButton)
    settle(module)
    application.screenshot(module.widget.parent, pictures / "trainer-accepted.png")
    assert uses(module)[frames[0]] == "labelled"
    assert uses(module).count("labelled") == 3
    assert "is accepted" in module.ui.messageLabel.text
    case = collect_training_set().cases[frames[0]]
    assert np.array_equal(case.labels, asked.section.rows[0].idea.labels)
    assert ui.suggestionsTable.currentRow() == 1
    assert cells(asked, 3) == ["accepted", "", ""]
    for row in (1, 2):
        ui.suggestionsTable.cellDoubleClicked.emit(row, 0)
        application.click(ui.acceptSuggestionButton)
        settle(module)
    assert "train again" in ui.suggestLabel.text
    assert uses(module).count("labelled") == 5
    assert not ui.acceptSuggestionButton.enabled
    assert "It is accepted" in ui.acceptSuggestionButton.toolTip


@pytest.mark.torch
def test_a_scene_in_which_nothing_is_drawn_yet_begins_with_suggestions(
    opened_trainer: Callable[..., Any], film: Callable[..., Any], blobs: Path
) -> None:
    """The next patients, and a model that was trained with the ones before."""
    film(6, 0)
    module = opened_trainer()
    ready(module)
    section, ui = module.panel.suggest, module.panel.suggest.ui
    assert ui.askButton.enabled, ui.askButton.toolTip
    ui.suggestCountSpinBox.value = 2
    application.click(ui.askButton)
    module.until(lambda: section.rows or module.ui.messageLabel.text)
    settle(module)
    assert section.rows, module.ui.messageLabel.text
    assert any(row.idea.labels.any() for row in section.rows)
    application.click(ui.goThereButton)
    settle(module)
    application.click(ui.acceptSuggestionButton)
    settle(module)
    assert not application.slot_errors()
    assert uses(module).count("labelled") == 1
    assert [entry.name for entry in module.panel.training_set.classes] == ["bright", "dark"]


def test_what_the_user_draws_removes_or_closes_is_respected(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer
    from SemiSegCervicalLib.scene.classes import SegmentClass
    from SlicerRig import scenes

    ui, module, film = asked.ui, asked.module, asked.film
    # A start is corrected in the Segment Editor, wherever the user looked meanwhile.
    given: list[Any] = []
    monkeypatch.setattr(asked.section, "_correct", lambda *nodes: given.extend(nodes))
    application.click(ui.goThereButton)
    settle(module)
    film.browser.SetSelectedItemNumber(0)
    application.click(ui.correctSuggestionButton)
    application.process_events(0.1)
    assert given == [film.browser.GetProxyNode(film.drawn), film.browser.GetProxyNode(film.cine)]
    assert selected(asked) == frame_of(asked, 0)
    assert [given[0].GetSegmentation().GetNthSegment(i).GetName() for i in range(2)] == ["bright", "dark"]
    # What is drawn there already stays.
    drawn = np.zeros(asked.section.rows[1].idea.labels.shape, np.uint8)
    drawn[3:9, 3:9] = 1
    value = film.cine.GetNthIndexValue(frame_of(asked, 1))
    scenes.draw_frame(film.drawn, film.cine, value, drawn, (SegmentClass(1, "bright", (1.0, 0.6, 0.2)),))
    settle(module)
    ui.suggestionsTable.cellDoubleClicked.emit(1, 0)
    settle(module)
    assert "stays as it is" in module.ui.messageLabel.text
    assert film.drawn.GetDataNodeAtValue(value).GetSegmentation().GetNumberOfSegments() == 1
    application.click(ui.acceptSuggestionButton)
    settle(module)
    assert np.array_equal(module.panel.training_set.cases[frame_of(asked, 1)].labels == 1, drawn == 1)
    # A script asks the same.
    ideas = module.widget.logic.suggestNext(count=2)
    assert [idea.labels.shape for idea in ideas] == [drawn.shape] * 2
    assert not {idea.case for idea in ideas} & {c.id for c in module.panel.training_set.used("labelled")}
    with pytest.raises(SemiSegError, match="no model"):
        module.widget.logic.suggestNext("nobody")
    # What is gone says so, and a closed scene takes its suggestions along.
    slicer.mrmlScene.RemoveNode(film.cine)
    settle(module)
    ui.suggestionsTable.cellDoubleClicked.emit(2, 0)
    application.process_events(0.1)
    assert "not in the scene" in module.ui.messageLabel.text
    assert not asked.section.rows[2].seen
    slicer.mrmlScene.Clear(0)
    settle(module)
    assert not asked.section.rows
    assert not ui.suggestionsTable.isVisibleTo(module.widget.parent)
    assert not ui.askButton.enabled


@pytest.mark.parametrize("how", ["cancel", "scene", "kill"])
def test_asking_ends_early_and_leaves_nothing(
    opened_trainer: Callable[..., Any], film: Callable[..., Any], blobs: Path, how: str
) -> None:
    import os
    import signal

    import slicer

    film()
    module = opened_trainer()
    ready(module)
    ui = module.panel.suggest.ui
    application.click(ui.askButton)
    module.until(lambda: module.panel.logic.jobs.client.pid)
    application.process_events(0.1)
    assert ui.suggestingHost.isVisibleTo(module.widget.parent)
    assert module.panel.state().busy
    assert not ui.askButton.enabled
    if how == "cancel":
        application.click(ui.cancelSuggestingButton)
    elif how == "scene":
        slicer.mrmlScene.Clear(0)
    else:
        os.kill(module.panel.logic.jobs.client.pid, signal.SIGKILL)
    module.until(lambda: not module.panel.suggest.busy)
    application.process_events(0.2)
    assert not ui.suggestingHost.isVisibleTo(module.widget.parent)
    assert module.ui.messageFrame.isVisible() is (how == "kill")
    assert not module.panel.suggest.rows
    assert module.panel.logic.jobs.running == []
    assert not application.slot_errors()


def test_without_a_model_or_anything_to_suggest_it_says_why(
    opened_trainer: Callable[..., Any], film: Callable[..., Any], models: Path
) -> None:
    import slicer

    module = opened_trainer()
    ready(module)
    ui = module.panel.suggest.ui
    assert "holds no image" in ui.askButton.toolTip
    film()
    ready(module)
    module.until(lambda: "No model knows" in ui.askButton.toolTip)
    assert not ui.askButton.enabled
    assert "train one first" in ui.suggestWhyLabel.text, "not for the mouse alone"
    slicer.mrmlScene.Clear(0)
    film(2, 2)
    module.until(lambda: "Everything in the scene is annotated" in ui.askButton.toolTip)
