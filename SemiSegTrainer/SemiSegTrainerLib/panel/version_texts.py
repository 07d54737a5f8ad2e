"""What people read of the versions of a model."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

from SemiSegCervicalLib.panel.segments_table import UNKNOWN
from SemiSegCervicalLib.panel.speed import in_words

from ..catalogue import METHODS
from ..versions import Version

_CARD, _LIMIT = "card.md", 2**20
_ORIGINS = {"trained": "Trained", "added": "Added from a file", "shipped": "Came with SemiSeg"}


def title_of(version: Version) -> str:
    """Return what a version is called in a table."""
    return "Shipped" if version.origin == "shipped" else f"Version {version.number}"


def when(version: Version) -> str:
    """Say where a version comes from, and when."""
    said = _ORIGINS[version.origin]
    return said if version.origin == "shipped" else f"{said} {_moment(version.seconds)}"


def describe_version(version: Version) -> str:
    """Say in two sentences what made a version, as rich text."""
    use = "in use" if version.current else "kept, not in use"
    text = f"<b>{title_of(version)} of {escape(version.name)}</b>, {use}."
    run = version.summary
    if not run:
        return text
    method = next((m.title for m in METHODS if m.name == run.get("method")), str(run.get("method", "")))
    labelled, unlabelled = run.get("labelled", UNKNOWN), run.get("unlabelled", UNKNOWN)
    others = f" and {unlabelled} other" if unlabelled else ""
    text += f" {escape(method)}, from {labelled} annotated{others} image{'' if (labelled, others) == (1, '') else 's'}"
    if isinstance(seconds := run.get("seconds"), (int, float)):
        text += f", in {in_words(seconds)}"
    text += f", starting from {escape(str(run.get('started_from') or 'random weights'))}."
    return text + (" The training was ended early." if run.get("ended_early") else "")


def read_card_text(pack: Path) -> str:
    """Return the card that travels in a pack, Markdown; empty where there is none."""
    try:
        if pack.is_dir():
            with (pack / _CARD).open("rb") as stream:
                return stream.read(_LIMIT).decode("utf-8", "replace")
        with zipfile.ZipFile(pack) as archive, archive.open(_CARD) as member:
            return member.read(_LIMIT).decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ""


def newest_first(found: Sequence[Version]) -> list[Version]:
    """Return versions as they are listed."""
    return sorted(found, key=lambda version: -version.number)


def _moment(seconds: float) -> str:
    moment = time.localtime(seconds)
    return f"{moment.tm_mday} {time.strftime('%b %Y, %H:%M', moment)}"
