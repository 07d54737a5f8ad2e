"""From cases to views: what the students and teachers of one step look at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from .augment import STRONG, Draw, Geometry, Intensity, change_intensity, copy_paste, cut_mix, warp, warp_grid
from .data import TrainingData, draw_cases
from .method import Method
from .patches import cut, cut_sizes, draw_block
from .seeds import mix_seed
from .step import View
from .targets import every_class


@dataclass(frozen=True)
class ViewPlan:
    """How many cases a step draws, and how its views are augmented.

    ``labelled`` shows cases with annotated voxels, ``weak``, ``strong`` and ``strong-2`` the same cases with undecided
    voxels in the same geometry. Labelled and weak views differ from the image by geometry and moderate intensities,
    strong ones by more, each in its own way. ``mixed`` shows labelled and weak images with a box of each other, its
    annotations are those of both. ``features`` is the weak view again, for students whose features are disturbed.

    Attributes:
        labelled: cases per step with annotations.
        unlabelled: cases per step with undecided voxels.
    """

    labelled: int = 4
    unlabelled: int = 4
    geometry: Geometry = field(default_factory=Geometry)
    intensity: Intensity = field(default_factory=Intensity)
    weak: Intensity = field(default_factory=lambda: Intensity(chance=0.0))
    strong: Intensity = STRONG

    @staticmethod
    def usual(dims: int) -> ViewPlan:
        """Return the plan for images of 2 or 3 dimensions."""
        if dims == 2:
            return ViewPlan()
        # Two volumes' patches fill a step's time; the body lies in a scanner any way round only within limits.
        return ViewPlan(labelled=2, unlabelled=2, geometry=Geometry(rotation=10.0, scale=1.15, shear=0.05))

    def build(self, data: TrainingData, classes: int, method: Method, iteration: int, seed: int) -> dict[str, View]:
        """Build the views of an iteration: a function of (seed, iteration) and the data alone."""
        cases = draw_cases(data.annotated, self.labelled, iteration, seed, "labelled")
        known = self._warped(data, cases, classes, iteration, seed, "labelled")
        draw = self._draw("labelled-intensity", known, iteration, seed)
        views = {"labelled": replace(known, images=change_intensity(known.images, draw, self.intensity))}
        if not method.uses_unlabelled or not data.open:
            return views
        cases = draw_cases(data.open, self.unlabelled, iteration, seed, "unlabelled")
        base = self._warped(data, cases, classes, iteration, seed, "unlabelled")
        draw = self._draw("weak", base, iteration, seed)
        views["weak"] = replace(base, images=change_intensity(base.images, draw, self.weak))
        wanted = {*method.student_views, *method.teacher_views}
        if "features" in wanted:
            views["features"] = views["weak"]
        for name in ("strong", "strong-2"):
            if name in wanted:
                views[name] = self._strong(base, method.cut_mix, self._draw(name, base, iteration, seed))
        if "mixed" in wanted:
            views["mixed"] = self._pasted(known, base, self._draw("mixed", base, iteration, seed))
        return views

    def _strong(self, base: View, chance: float, draw: Draw) -> View:
        images = change_intensity(base.images, draw, self.strong)
        mixing = None
        if len(images) > 1 and float(torch.rand((), generator=draw.generator)) < chance:
            mixing = cut_mix(draw, tuple(images.shape[2:]))
        strong = View(images, base.possible, base.inside, base.cases, mixing)
        strong.images, strong.possible, strong.inside = map(strong.mixed, (images, base.possible, base.inside))
        return strong

    def _pasted(self, known: View, base: View, draw: Draw) -> View:
        pasting = copy_paste(len(known.images), draw, tuple(base.images.shape[2:]))
        images, possible, inside = (
            pasting.paste(getattr(known, field), getattr(base, field)) for field in ("images", "possible", "inside")
        )
        # After pasting: a box of another brightness would tell what was pasted.
        images = change_intensity(images, Draw(draw.generator, len(images), draw.device), self.intensity)
        half = len(images) // 2
        cases = torch.cat([known.cases[pasting.labelled[:half]], base.cases[pasting.unlabelled[half:]]])
        return View(images, possible, inside, cases, pasting)

    def _warped(
        self, data: TrainingData, cases: list[int], classes: int, iteration: int, seed: int, stream: str
    ) -> View:
        rows = torch.tensor(cases, device=data.device)
        draw = Draw(torch.Generator().manual_seed(mix_seed(seed, iteration, stream)), len(cases), data.device)
        grid = warp_grid(draw, data.size, self.geometry, data.spacing)
        if data.patch is None:
            drawn = (torch.stack([maps[c] for c in cases]) for maps in (data.images, data.possible))
        else:
            generator = torch.Generator().manual_seed(mix_seed(seed, iteration, stream, "patches"))
            sides = cut_sizes(data.patch, self.geometry.rotation, data.spacing)
            blocks = [
                draw_block(data.places[c], data.possible[c].shape, data.patch, sides, stream, generator) for c in cases
            ]
            drawn = (
                torch.stack([cut(maps[c], block) for c, block in zip(cases, blocks, strict=True)])
                for maps in (data.images, data.possible)
            )
            # The grid is in units of the patch, and the cut is larger.
            share = [n / m for n, m in zip(data.patch, sides, strict=True)]
            grid = grid * torch.tensor(share[::-1], device=grid.device)
        images, possible = (maps.to(data.device) for maps in drawn)
        return View(*warp(images, possible, grid, every_class(classes)), rows)

    def _draw(self, stream: str, view: View, iteration: int, seed: int) -> Draw:
        generator = torch.Generator().manual_seed(mix_seed(seed, iteration, stream))
        return Draw(generator, len(view.images), view.images.device)
