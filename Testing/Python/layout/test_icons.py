"""The modules' icons are what Slicer asks for, and what their script draws."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from house.trees import MODULES, ROOT
from PIL import Image


@pytest.mark.parametrize("module", MODULES)
def test_icon_has_slicers_size_and_a_clear_corner(module):
    with Image.open(ROOT / module / "Resources" / "Icons" / f"{module}.png") as icon:
        assert (icon.size, icon.mode) == ((128, 128), "RGBA")
        assert icon.getpixel((0, 0))[3] == 0


def script():
    spec = importlib.util.spec_from_file_location("draw_icons", ROOT / "Resources" / "draw_icons.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_icons_are_what_the_script_draws(tmp_path):
    drawn_here = script()
    for module, icon in (("SemiSegCervical", drawn_here.cervical()), ("SemiSegTrainer", drawn_here.trainer())):
        icon.save(tmp_path / "icon.png")
        drawn, kept = (
            np.asarray(Image.open(path), dtype=np.int16)
            for path in (tmp_path / "icon.png", ROOT / module / "Resources" / "Icons" / f"{module}.png")
        )
        # Another version of the drawing library may round a few edge pixels differently.
        assert np.abs(drawn - kept).mean() < 0.5


def test_thumbnails_are_what_the_script_draws():
    for name, picture in script().sample_thumbnails().items():
        kept = np.asarray(Image.open(ROOT / "SemiSegCervical" / "Resources" / "Icons" / name), dtype=np.int16)
        assert np.abs(np.asarray(picture, dtype=np.int16) - kept).mean() < 0.5
