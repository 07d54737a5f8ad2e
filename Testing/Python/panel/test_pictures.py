"""Small pictures with outlines: of the right size, in the right place, in the right colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from SlicerRig.fixtures import app, clean  # noqa: F401

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros((30, 40), np.uint8)
    made[5:15, 5:20] = 1
    made[15:25, 20:35] = 2
    return made


@pytest.mark.parametrize(
    ("shape", "aspect", "size"),
    [((30, 40), 1, (180, 240)), ((40, 30), 1, (240, 180)), ((30, 40), 2, (240, 160)), ((10, 41), 0.5, (29, 240))],
)
def test_it_fits_its_box_in_the_proportions_of_the_body(shape, aspect, size) -> None:
    from SemiSegTrainerLib.panel.pictures import draw, pixmap

    picture = draw(np.zeros(shape, np.uint8), aspect=aspect)
    assert picture.shape == (*size, 3)
    made = pixmap(picture)
    assert (made.height(), made.width()) == size


def test_grey_values_and_their_places_stay() -> None:
    from SemiSegTrainerLib.panel.pictures import draw, pixmap

    image = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[:, None], 25, axis=1)  # dark above, light below
    picture = draw(image, box=(25, 25))
    assert (picture == image[..., None]).all()
    qimage = pixmap(picture).toImage()
    assert qimage.pixelColor(3, 2).red() == 20
    assert qimage.pixelColor(3, 24).blue() == 240
    large = draw(image, box=(100, 100))[..., 0]
    assert (np.diff(large[:, 0].astype(int)) >= 0).all()
    assert (large[0, 0], large[-1, 0]) == (0, 240)


def test_outlines_lie_inside_their_segments_in_their_colours(labels: np.ndarray) -> None:
    from SemiSegTrainerLib.panel.pictures import draw

    picture = draw(np.full(labels.shape, 100, np.uint8), [(labels, (RED, GREEN))], box=(400, 300))
    large = labels.repeat(10, 0).repeat(10, 1)
    for value, color in ((1, (255, 0, 0)), (2, (0, 255, 0))):
        drawn = (picture == color).all(axis=-1)
        assert drawn.any()
        assert (large[drawn] == value).all()
        assert not drawn[100 * value : 100 * value + 20, 100 + 150 * (value - 1)].any(), "an outline, no area"
    assert (picture[labels.repeat(10, 0).repeat(10, 1) == 0] == 100).all()


def test_the_last_map_is_on_top_and_one_colour_may_serve_all(labels: np.ndarray) -> None:
    from SemiSegTrainerLib.panel.pictures import WHITE, draw

    image = np.zeros(labels.shape, np.uint8)
    both = draw(image, [(labels, WHITE), (labels, (RED, GREEN))])
    assert not (both == 255).all(axis=-1).any()
    white = draw(image, [(labels, WHITE)])
    assert ((white == 255).all(axis=-1) == (white > 0).any(axis=-1)).all()


def test_doubt_is_coloured_where_there_is_some(labels: np.ndarray) -> None:
    from SemiSegTrainerLib.panel.pictures import draw

    doubt = np.zeros(labels.shape, np.uint8)
    doubt[:, :20] = 90
    picture = draw(np.full(labels.shape, 60, np.uint8), uncertainty=doubt, box=(40, 30)).astype(int)
    assert (picture[:, 30:] == 60).all()
    assert (picture[:, :19, 0] > picture[:, :19, 1] + 60).all()


def test_an_image_of_one_pixel_and_an_empty_map(tmp_path: Path) -> None:
    from SemiSegTrainerLib.panel.pictures import draw

    assert draw(np.full((1, 1), 7, np.uint8), [(np.zeros((1, 1), np.uint8), (RED,))]).shape == (240, 240, 3)
