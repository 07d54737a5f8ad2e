"""Whose outlines are seen with a case that is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.alone import is_behind, show_alone
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.pairs import pair
from SemiSegCervicalLib.scene.records import new_record
from SemiSegCervicalLib.scene.segmentation import new_segmentation
from SemiSegTrainerLib.scene.outlines import show_drawn, show_outlines_of
from SemiSegTrainerLib.scene.places import Place
from SlicerRig import scenes

CLASSES = [SegmentClass(1, "wall", (1.0, 0.0, 0.0)), SegmentClass(2, "lumen", (0.0, 0.0, 1.0))]
HERE, ELSEWHERE = np.diag([-0.5, -0.5, 1.0, 1.0]), np.array([[1, 0, 0, 500], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture
def drawn(scene: Any, labels: np.ndarray) -> dict[str, Any]:
    """Three pictures in one place and one far away, and a segmentation of each."""
    found = {}
    for name, affine in (("a", HERE), ("b", HERE), ("c", HERE), ("far", ELSEWHERE)):
        volume = scenes.add_volume(np.zeros((1, *labels.shape), np.uint8), name, affine.astype(float))
        found[name] = (volume, scenes.add_segmentation(volume, labels[None], CLASSES))
    return found


def visible(drawn: dict[str, Any]) -> str:
    return " ".join(name for name, (_, node) in drawn.items() if node.GetDisplayNode().GetVisibility())


def test_those_of_other_images_in_the_same_place_are_hidden_until_their_own_is_looked_at(drawn: Any) -> None:
    show_outlines_of(Place(drawn["a"][0], 0))
    assert visible(drawn) == "a far"
    show_outlines_of(Place(drawn["b"][0], 0))
    assert visible(drawn) == "b far"


def test_what_the_user_has_hidden_stays_hidden(drawn: Any) -> None:
    drawn["a"][1].GetDisplayNode().SetVisibility(False)
    show_outlines_of(Place(drawn["b"][0], 0))
    show_outlines_of(Place(drawn["a"][0], 0))
    assert visible(drawn) == "far"


def test_one_patient_keeps_all_outlines(drawn: Any) -> None:
    pair(drawn["a"][0], drawn["b"][0], ("T1", "FLAIR"))
    for name in "ab":
        show_outlines_of(Place(drawn[name][0], 0))
        assert visible(drawn) == "a b far"


def test_what_belongs_to_no_image_stays(drawn: Any) -> None:
    node = drawn["c"][1]
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), None)
    show_outlines_of(Place(drawn["a"][0], 0))
    assert visible(drawn) == "a c far"


def test_a_cine_shows_its_own(drawn: Any, labels: np.ndarray) -> None:
    frames = [np.full(labels.shape, 20 * number, np.uint8) for number in range(3)]
    sequence, browser = scenes.add_cine(frames, "cine", HERE)
    own = scenes.add_drawn_sequence(sequence, browser, "cine drawn")
    scenes.draw_frame(own, sequence, sequence.GetNthIndexValue(1), labels, CLASSES)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(own)
    show_outlines_of(Place(drawn["a"][0], 0))
    assert not shown.GetDisplayNode().GetVisibility()
    show_outlines_of(Place(sequence, 1))
    assert shown.GetDisplayNode().GetVisibility()
    assert visible(drawn) == "far"


@pytest.mark.parametrize("saves", [False, True])
def test_a_cine_shows_its_own_after_another_frame_was_gone_to_meanwhile(
    drawn: Any, labels: np.ndarray, saves: bool
) -> None:
    sequence, browser = scenes.add_cine([np.zeros(labels.shape, np.uint8)] * 3, "cine", HERE)
    own = scenes.add_drawn_sequence(sequence, browser, "cine drawn")
    for number in range(2):
        scenes.draw_frame(own, sequence, sequence.GetNthIndexValue(number), labels, CLASSES)
    browser.SetSaveChanges(own, saves)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(own)
    show_outlines_of(Place(drawn["a"][0], 0))
    browser.SetSelectedItemNumber(1)
    assert not shown.GetDisplayNode().GetVisibility()
    show_outlines_of(Place(sequence, 1))
    assert shown.GetDisplayNode().GetVisibility()
    shown.GetDisplayNode().SetVisibility(False)  # by the user
    browser.SetSelectedItemNumber(0)
    show_outlines_of(Place(sequence, 0))
    assert not shown.GetDisplayNode().GetVisibility()


def test_what_a_person_goes_on_with_is_seen(scene: Any, labels: np.ndarray) -> None:
    """A result that lies behind a newer one comes before it again; what else is seen stays."""
    volume = scenes.add_volume(np.zeros(labels.shape, np.uint8), "picture", HERE)
    own = scenes.add_segmentation(volume, labels, CLASSES)
    older, newer = (
        new_record(scene, name, volume, new_segmentation(volume, labels[None], CLASSES), None, CLASSES, {})
        for name in ("older", "newer")
    )
    nodes = [own, older.segmentation, newer.segmentation]
    show_alone(newer)
    own.GetDisplayNode().SetVisibility(False)
    for node in nodes:
        show_drawn(node)
        assert node.GetDisplayNode().GetVisibility()
        assert is_behind(newer) == (node is older.segmentation)
        assert own.GetDisplayNode().GetVisibility()
