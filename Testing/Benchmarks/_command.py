"""What the benchmarks' command lines share: where the expanded data sets are, how a call can be repeated, progress."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any


def add_data(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option ``--data``."""
    parser.add_argument("--data", type=Path, default=os.environ.get("SEMISEG_DATA"), help="folder of expanded data")


def data_folder(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Path:
    """Return the folder that was given; without one the command ends and says what to give."""
    if given.data is None:
        parser.error("say where the expanded data sets are: --data DIR, or SEMISEG_DATA")
    return Path(given.data)


def expanded_set(data: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder of an expanded set and its manifest; the command ends where `data` neither holds nor is it."""
    source = data / name if (data / name).is_dir() else data
    if not (source / "manifest.json").is_file():
        sys.exit(f"{data} holds no expanded set {name}: give its folder with --data")
    return source, json.loads((source / "manifest.json").read_text(encoding="utf-8"))


def said(reads_data: bool = False) -> str:
    """Return the command that was given, as anybody may repeat it: without the folders of this computer.

    Args:
        reads_data: whether it reads the expanded data sets where it is told of them.
    """
    name, words = Path(sys.argv[0]).stem, iter(sys.argv[1:])
    data, kept = reads_data and "SEMISEG_DATA" in os.environ, []
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--data", "--out"):
            kept.append(word)
        elif not equals:
            next(words, None)
        data = data or option == "--data"
    return " ".join(["python3 Testing/run.py bench", name, *["--data DIR"] * data, *kept])


class Line:
    """Progress on one line of standard error; in a log, a line now and then."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, stage: str, done: int, total: int, left: float) -> None:
        """Say how far."""
        if sys.stderr.isatty():
            print(f"\r{self.name}: {stage} {done}/{total}, {left:.0f} s left   ", end="", file=sys.stderr, flush=True)
        elif done % 100 == 0:
            print(f"{self.name}: {stage} {done}/{total}, {left:.0f} s left", file=sys.stderr, flush=True)
