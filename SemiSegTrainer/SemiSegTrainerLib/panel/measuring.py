"""What a training will take on this computer: a few real steps of it, done and forgotten."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.panel.request import CPU
from SemiSegCervicalLib.panel.speed import in_words
from SemiSegCervicalLib.words import many
from SemiSegCervicalLib.worker.protocol import Welcome

from ..worker.protocol import Measure, Measured
from .asking import Asking
from .recipe import Recipe


class Measuring(Asking):
    """Has the worker measure a recipe."""

    doing = "Measuring a few steps"
    to_learn = True
    answer: Measured | None

    def __init__(self, recipe: Recipe, *args: Any, **options: Any) -> None:
        """Begin with the next turn of the event loop.

        Args:
            recipe: what is to be trained.
            args, options: of `Asking`.
        """
        self._recipe, self._device = recipe, recipe.device
        super().__init__(*args, **options)

    def work(self) -> Iterator[Any]:
        """Do it, on the device that is meant."""
        self._device = yield from self.device(self._recipe.device)
        yield from super().work()

    def message(self, datalist: Path) -> Measure:
        """Return the question."""
        recipe = self._recipe
        return Measure(
            str(datalist), recipe.method, self._device, None if recipe.start is None else str(recipe.start),
            recipe.size, recipe.spacing, seed=recipe.seed, calibrate=recipe.calibrate,
        )  # fmt: skip

    def take(self, answer: Measured) -> Generator[Any, None, None]:
        """Nothing is in files."""
        yield from ()


def measured_part(recipe: Recipe) -> Recipe:
    """Return what of a recipe a measurement rests on: neither its length nor its name."""
    return replace(recipe, name="", minutes=None, iterations=None, offer_stop=False)


def measured_text(measured: Measured, recipe: Recipe, welcome: Welcome | None) -> str:
    """Say what was measured, as HTML."""
    devices = welcome.devices if welcome is not None else ()
    label = next((device.label for device in devices if device.name == measured.device), measured.device)
    where = f"the processor, {many(measured.threads, 'thread')}" if measured.device == CPU else label
    if recipe.iterations is not None:
        length = f"{recipe.iterations} steps take about {in_words(measured.seconds_of(recipe.iterations))}"
    else:
        minutes = recipe.minutes or 0.0
        length = f"about {measured.iterations_in(minutes)} steps fit into {in_words(60 * minutes)}"
    lines = [f"<b>On {escape(where)}:</b> {measured.seconds_per_iteration:.2g} s a step, so {length}."]
    if measured.memory_gib is not None:
        lines.append(f"Memory: {measured.memory_gib:.1f} GiB.")
    lines += [escape(part if part.endswith(".") else f"{part}.") for part in measured.parts]
    return "<br>".join(lines)
