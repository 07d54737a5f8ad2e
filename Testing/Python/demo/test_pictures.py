"""What the report draws: outlines on the mask's edge, rings on what is uncertain, colours as in Slicer."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

pytest.importorskip("slicer", reason="the demo runs on slicer-core: pip install slicer-core")

import slicer
from demo.pictures import color_ramp, css_color, outline, overlay, places
from PIL import Image
from SemiSegCervicalLib.scene.overlay import DEFAULT_THRESHOLD


def points(path: str) -> np.ndarray:
    return np.array([[float(n) for n in pair.split()] for pair in re.findall(r"[\d.-]+ [\d.-]+", path)])


def test_outline_runs_along_the_edge_of_the_mask():
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 10:50] = True
    path = outline(mask)
    assert path.startswith("M")
    assert path.endswith("Z")
    drawn = points(path)
    # Pixel edges, not centres: the square reaches from 10 to 50 and from 20 to 40.
    assert np.abs(drawn.min(axis=0) - (10, 20)).max() < 0.6
    assert np.abs(drawn.max(axis=0) - (50, 40)).max() < 0.6
    assert len(drawn) < 60


def test_outline_of_a_mask_at_the_border_is_closed_there():
    mask = np.zeros((30, 30), dtype=bool)
    mask[:10, :] = True
    drawn = points(outline(mask))
    assert drawn[:, 1].min() < 0.6
    assert drawn[:, 0].max() > 29.4


def test_shared_border_is_drawn_once():
    upper, lower = np.zeros((60, 80), dtype=bool), np.zeros((60, 80), dtype=bool)
    upper[10:30, 10:70] = True
    lower[30:50, 10:70] = True
    path = outline(lower, upper)
    assert "Z" not in path
    drawn = points(path)
    # It begins at one end of the shared border and ends at the other, by way of the far side.
    assert abs(drawn[0, 0] - drawn[-1, 0]) > 55
    assert 30 < drawn[[0, -1], 1].min() <= drawn[[0, -1], 1].max() < 36
    assert drawn[:, 1].min() > 30
    assert drawn[:, 1].max() > 49


def test_rags_of_an_untrained_model_do_not_blow_the_page_up():
    rags = np.random.default_rng(0).random((336, 544)) > 0.5
    assert len(outline(rags)) < 100_000


def test_outline_of_nothing_is_empty():
    assert outline(np.zeros((10, 10), dtype=bool)) == ""


def test_places_are_the_most_uncertain_spots_apart_and_inside():
    uncertainty = np.full((336, 544), 0.05)
    uncertainty[100:130, 200:230] = 0.9
    uncertainty[250:280, 400:430] = 0.8
    uncertainty[0:20, 0:20] = 1.0
    first, second = places(uncertainty)
    assert np.hypot(first.x - 215, first.y - 115) < 3
    assert np.hypot(second.x - 415, second.y - 265) < 3
    assert first.percent > second.percent
    assert places(np.zeros((336, 544))) == []


def test_overlay_shows_certain_as_transparent_and_keeps_the_colours():
    ramp = np.zeros((101, 4), dtype=np.uint8)
    ramp[:, 0] = np.arange(101) * 2
    ramp[:, 3] = np.minimum(255, np.arange(101) * 5)
    uncertainty = np.zeros((40, 60), dtype=np.float32)
    uncertainty[:, 30:] = 0.8
    data = base64.b64decode(overlay(uncertainty, ramp, 1.0).partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert shown.shape == (40, 60, 4)
    assert tuple(shown[5, 5]) == (0, 0, 0, 0)
    assert tuple(shown[5, 50]) == (160, 0, 0, 255)


def test_colour_is_written_for_the_web():
    assert css_color((1.0, 0.5, 0.0)) == "#ff8000"


def test_colours_of_uncertainty_are_those_that_the_panel_shows():
    """Else a model that is a little unsure of everything is a page in violet."""
    ramp = color_ramp(slicer.vtkMRMLScene())
    assert not ramp[:DEFAULT_THRESHOLD, 3].any()
    assert (ramp[DEFAULT_THRESHOLD:, 3] == 255).all()
    assert len(np.unique(ramp[:, :3], axis=0)) == 101
