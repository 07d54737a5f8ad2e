"""The history of a run: rows of means over a few iterations, and the CSV file made of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """Collects the values of iterations.

    Attributes:
        terms: names of the terms, in order.
        rows: finished rows, by column.
    """

    terms: Sequence[str]
    rows: list[dict[str, float]] = field(default_factory=list)
    _open: list[dict[str, float]] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Column names of the CSV file."""
        parts = [c for t in self.terms for c in (t, f"{t}_support")]
        return ["iteration", "seconds", "learning_rate", *parts, "gradient_norm"]

    def add(self, iteration: int, seconds: float, values: dict[str, float], every: int, last: bool = False) -> None:
        """Add an iteration; every `every` iterations, and with the last one, a row is finished."""
        self._open.append(values)
        if iteration % every == 0 or last:
            means = {k: sum(v[k] for v in self._open) / len(self._open) for k in values}
            self.rows.append({"iteration": iteration, "seconds": round(seconds, 3), **means})
            self._open = []

    def as_csv(self) -> str:
        """Return the whole history as CSV text."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: str(v) if k == "iteration" else f"{v:.6g}" for k, v in row.items()})
        return text.getvalue()

    def state(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {"terms": list(self.terms), "rows": self.rows, "open": self._open}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> History:
        """Rebuild from `state`."""
        return cls(state["terms"], list(state["rows"]), list(state["open"]))
