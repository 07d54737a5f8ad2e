"""What the README quotes, names and shows is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from house.trees import MODULES, ROOT, python_files
from SemiSegCervicalLib.packages import NEEDED, OPENVINO

README = (ROOT / "README.md").read_text(encoding="utf-8")


def sources() -> str:
    """Return all texts of the modules, with string literals that run over several lines joined."""
    text = "\n".join(path.read_text(encoding="utf-8") for module in MODULES for path in python_files(module))
    pages = (path for module in MODULES for path in sorted((ROOT / module).rglob("*.ui")))
    text += "\n".join(path.read_text(encoding="utf-8") for path in pages)
    return re.sub(r'"\s*\n\s*f?"', "", text)


SOURCES = sources()


def section(title: str) -> str:
    return README.split(f"{title}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]


def test_messages_of_the_troubleshooting_table_are_those_of_the_program():
    messages = re.findall(r'^\| "([^"]+)"', section("### When something does not work"), re.MULTILINE)
    assert len(messages) >= 8
    assert [message for message in messages if message not in SOURCES] == []


def test_buttons_and_choices_are_called_as_in_the_panel():
    text = "".join(map(section, ("## Use it in Slicer", "### Train from the open scene", "### Without internet")))
    named = set(re.findall(r"\*([A-Z][^*>]+)\*", text))
    outside = {"PyTorch", "Additional module paths", "Completed", "In progress", "Flagged"}  # Slicer's own names
    title = "Cervix, transvaginal ultrasound"
    missing = [name for name in (re.sub(r"\s+", " ", n) for n in named - outside - {title}) if f"{name}" not in SOURCES]
    assert "Apply" in named
    assert missing == []


def test_the_offline_command_names_what_is_needed():
    command = next(line for line in README.splitlines() if line.startswith("PythonSlicer -m pip download"))
    wanted = [package for package in (*NEEDED, OPENVINO) if not package.with_slicer]
    assert re.findall(r'"([^"]+)"', command) == [package.requirement for package in wanted]
    removal = re.search(r"pip uninstall ([\w ]+)`", README)
    assert removal is not None
    assert removal.group(1).split() == [package.name for package in wanted]


def parts_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_to_files_and_their_parts():
    pages = [ROOT / "README.md", *(ROOT / "Resources").rglob("README.md"), *(ROOT / "Testing").rglob("README.md")]
    assert len(pages) >= 6
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            name, _, part = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page} links to {name}"
            assert not part or part in parts_of(target), f"{page} links to {link}"


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "Resources" / "screenshots").iterdir()))
def test_screenshots_are_shown_and_small(name):
    assert f"Resources/screenshots/{name}" in README
    assert (ROOT / "Resources" / "screenshots" / name).stat().st_size < 600_000


def test_tables_are_those_of_the_stored_results(monkeypatch):
    folder = ROOT / "Testing" / "Benchmarks"
    monkeypatch.syspath_prepend(folder)
    tables = importlib.import_module("tables")
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert tables.written(page) == page, "python3 Testing/run.py bench tables"
    names = re.findall(r"<!-- table (\w+) -->", page)
    assert sorted(names) == sorted(tables.TABLES)
    assert len(re.findall(r"^\|---", page, re.MULTILINE)) == len(names), "no table is typed"
