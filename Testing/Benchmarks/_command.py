"""What the benchmarks' command lines share: where the expanded data sets are, and how a call can be repeated."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_data(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option ``--data``."""
    parser.add_argument("--data", type=Path, default=os.environ.get("SEMISEG_DATA"), help="folder of expanded data")


def data_folder(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Path:
    """Return the folder that was given; without one the command ends and says what to give."""
    if given.data is None:
        parser.error("say where the expanded data sets are: --data DIR, or SEMISEG_DATA")
    return Path(given.data)


def said() -> str:
    """Return the command that was given, as anybody may repeat it: without the folders of this computer."""
    name, words = Path(sys.argv[0]).stem, iter(sys.argv[1:])
    data, kept = "SEMISEG_DATA" in os.environ, []
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--data", "--out"):
            kept.append(word)
        elif not equals:
            next(words, None)
        data = data or option == "--data"
    return " ".join(["python3 Testing/run.py bench", name, *["--data DIR"] * data, *kept])
