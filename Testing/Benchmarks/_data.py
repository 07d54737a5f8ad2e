"""Where the benchmarks find the expanded data sets."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_data(parser: argparse.ArgumentParser) -> None:
    """Give a command line the option ``--data``."""
    parser.add_argument("--data", type=Path, default=os.environ.get("SEMISEG_DATA"), help="folder of expanded data")


def data_folder(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Path:
    """Return the folder that was given; without one the command ends and says what to give."""
    if given.data is None:
        parser.error("say where the expanded data sets are: --data DIR, or SEMISEG_DATA")
    return Path(given.data)
