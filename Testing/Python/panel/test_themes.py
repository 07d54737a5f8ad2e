"""What has a colour of its own can be read whatever theme Slicer has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from SlicerRig import application


@pytest.fixture
def dark() -> Iterator[None]:
    """Slicer's dark theme, as far as text goes."""
    from PySide6.QtGui import QPalette
    from PySide6.QtWidgets import QApplication

    before = QApplication.palette()
    palette = QPalette(before)
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(role, "#f0f0f0")
    QApplication.setPalette(palette)
    yield
    QApplication.setPalette(before)


@pytest.fixture
def large() -> Iterator[None]:
    """A font as somebody chooses it in Slicer's settings who sees little."""
    from PySide6.QtWidgets import QApplication

    before = QApplication.font()
    font = QApplication.font()
    font.setPointSize(24)
    QApplication.setFont(font)
    yield
    QApplication.setFont(before)


def text_of(widget: Any) -> str:
    """Return the colour in which a label or a button writes."""
    widget._qt.ensurePolished()
    return str(widget._qt.palette().color(widget._qt.foregroundRole()).name())


def test_a_message_and_what_closes_it_have_the_messages_colour(dark: None, panel: Any) -> None:
    panel.messages.note("Saved.")
    application.settle()
    assert text_of(panel.ui.replaceWarningLabel) == text_of(panel.ui.deviceBanner) == "#533f03"
    assert text_of(panel.ui.messageLabel) == text_of(panel.ui.closeMessageButton) == "#1d3b1d"


def test_banners_of_the_trainer_have_their_own_colour(dark: None, opened_trainer: Callable[..., Any]) -> None:
    ui = opened_trainer("good").panel.run.ui
    assert text_of(ui.unfinishedLabel) == text_of(ui.plateauLabel) == "#533f03"


def check_rows(widget: Any) -> None:
    tables = widget.findChildren("QTableWidget")
    assert tables
    for table in tables:
        lines = {"casesTable": 2, "questionsTable": 2}.get(table.name, 1)
        text = lines * table.fontMetrics().height()
        assert text > 24
        assert table.verticalHeader().defaultSectionSize >= text, table.name


def test_rows_of_tables_are_as_high_as_their_text(large: None, panel: Any) -> None:
    check_rows(panel.widget)


def test_rows_of_the_trainers_tables_are_as_high_as_their_text(large: None, opened_trainer: Callable[..., Any]) -> None:
    check_rows(opened_trainer("good").panel.widget)
