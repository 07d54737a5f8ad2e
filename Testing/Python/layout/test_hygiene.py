"""The repository stays small, portable and free of one machine's places."""

from __future__ import annotations

from pathlib import Path

import pytest
from house.hygiene import TOTAL_LIMIT, check_content, check_size, repository_files
from house.trees import ROOT

FILES = repository_files()


def test_files_are_small_text_without_foreign_places():
    assert Path("Testing/run.py") in FILES
    wrong = []
    for name in FILES:
        content = (ROOT / name).read_bytes()
        wrong += check_size(name, len(content)) + check_content(name, content)
    assert not wrong, "\n".join(wrong)


def test_repository_is_small():
    assert sum((ROOT / name).stat().st_size for name in FILES) < TOTAL_LIMIT


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a\r\nb\n", "line ends"),
        (b"a", "no end"),
        (b"path = '/" + b"home/someone/data'\n", "outside the repository"),
        (b"open('/" + b"tmp/x')\n", "outside the repository"),
        (b"path = 'C:\\" + b"Users\\someone'\n", "outside the repository"),
        (b"--index-url https://" + b"pypi" + b".org/simple\n", "package index"),
        (b"\xff\xfe\n", "neither UTF-8"),
    ],
)
def test_bad_content_is_found(content, complaint):
    found = check_content(Path("a.txt"), content)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    "content", [b"#!/usr/bin/env bash\n", b"https://example.com/home/page\n", b"Resources/tmp/a\n", b""]
)
def test_good_content_passes(content):
    assert check_content(Path("a.txt"), content) == []


def test_big_files_belong_among_models_and_samples():
    assert check_size(Path("Testing/a.png"), 2_000_000)
    assert not check_size(Path("Resources/models/a.semiseg"), 2_000_000)
