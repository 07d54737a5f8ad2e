"""Which images are of the same patient: what the names of one pair tell of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.pairs import named_alike, pair, partners_of
from SlicerRig import scenes


def volumes(*names: str) -> list[Any]:
    return [scenes.add_volume(np.zeros((2, 3, 4), np.uint8), name) for name in names]


def found(example: tuple[str, ...], *others: str) -> list[tuple[str, ...]]:
    there = volumes(*example)
    return [tuple(n.GetName() for n in case) for case in named_alike(there, [*there, *volumes(*others)])]


@pytest.mark.parametrize(
    ("example", "others", "cases"),
    [
        (("P07_FLAIR", "P07_T1"), ("P12_T1", "P12_FLAIR"), [("P12_FLAIR", "P12_T1")]),
        (("FLAIR 7", "T1 7"), ("FLAIR 8", "T1 8", "T1 9"), [("FLAIR 8", "T1 8")]),
        (("a_0000", "a_0001"), ("b_0000", "b_0001", "b_0002"), [("b_0000", "b_0001")]),
        # The number of a patient is no modality, whatever it is.
        (("la_0007_0000", "la_0007_0001"), ("la_0000_0000", "la_0000_0001", "la_0001_0000"), [
            ("la_0000_0000", "la_0000_0001"),
        ]),
        (("la_0007_0000", "la_0007_0001"), ("la_0000_0000", "la_0001_0000"), []),
        # Whole words: T1 is no part of T1post, and 1 none of 11.
        (("7 T1", "7 T1post"), ("8 T1", "8 T1post", "8 T1postpost"), [("8 T1", "8 T1post")]),
        (("x 1", "x 2"), ("x 11", "x 12", "y 1", "y 2"), [("y 1", "y 2")]),
        (("case1", "case1 late"), ("case2", "case2 late", "case3"), [("case2", "case2 late")]),
        (("case1", "case2"), ("case3", "case4", "case11", "case12"), []),
        # Words before the name of the modality, or behind it, may be fewer or more.
        (("Ann FLAIR axial", "Ann T1 axial"), ("Bob B. FLAIR axial", "Bob B. T1 axial"), [
            ("Bob B. FLAIR axial", "Bob B. T1 axial"),
        ]),
        (("1 A", "1 B", "1 C"), ("2 A", "2 C", "3 C", "3 B", "3 A"), [("3 A", "3 B", "3 C")]),
        (("same", "same"), ("same", "same"), []),
    ],
)  # fmt: skip
def test_cases_are_found_by_the_names_of_one(scene: Any, example: Any, others: Any, cases: Any) -> None:
    assert found(example, *others) == cases


def test_an_image_that_could_belong_to_two_cases_belongs_to_none(scene: Any) -> None:
    assert found(("P1 A", "P1 B"), "P2 A", "P2 B", "P2 B", "P3 A", "P3 B") == [("P3 A", "P3 B")]
    # Both would take the same third image: the one whose words are counted from the front, and from behind.
    assert found(("A x", "B x"), "A x A x", "B x A x", "A x B x") == []


def test_a_cine_and_a_volume_are_no_case(scene: Any) -> None:
    example = volumes("1 A", "1 B")
    (alone,) = volumes("2 A")
    cine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "2 B")
    assert named_alike(example, [alone, cine]) == []


def in_studies(*studies: tuple[str, ...], patients: bool = False) -> list[list[Any]]:
    """Return volumes by study; Slicer makes names unique that are there already, as when files are read."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    made = []
    for number, names in enumerate(studies):
        above = hierarchy.GetSceneItemID()
        if patients:
            above = hierarchy.CreateSubjectItem(above, f"Patient {number}")
        item = hierarchy.CreateStudyItem(above, f"Study {number}")
        made.append(volumes(*names))
        for volume in made[-1]:
            hierarchy.CreateItem(item, volume)
    return made


@pytest.mark.parametrize("patients", [False, True])
def test_in_studies_what_slicer_adds_to_names_does_not_count(scene: Any, patients: bool) -> None:
    studies = in_studies(
        ("4: FLAIR", "7: T1"), ("3: FLAIR_1", "5: T1_1"), ("9: T1_2", "12: FLAIR_3"), ("2: T1_4",), patients=patients
    )
    cases = named_alike(studies[0], [image for study in studies for image in study])
    assert cases == [tuple(studies[1]), tuple(studies[2][::-1])]


def test_of_a_study_with_two_such_images_none_is_taken(scene: Any) -> None:
    studies = in_studies(
        ("FLAIR", "T1"), ("FLAIR_1", "T1_1", "T1_2"), ("FLAIR_3", "FLAIR_4", "T1_3"), ("FLAIR_5", "T1_6")
    )
    cases = named_alike(studies[0], [image for study in studies for image in study])
    assert cases == [tuple(studies[3])]


def test_numbers_that_somebody_gave_tell_modalities_apart_in_folders_too(scene: Any) -> None:
    studies = in_studies(("a_0000", "a_0001"), ("b_0000", "b_0001"))
    assert named_alike(studies[0], studies[1]) == [tuple(studies[1])]


def test_in_a_folder_of_many_patients_their_numbers_tell_them_apart(scene: Any) -> None:
    ((*example, first, second),) = in_studies(("FLAIR_1", "T1_1", "FLAIR_2", "T1_3"))
    assert named_alike(example, [first, second]) == []
    second.SetName("T1_2")
    assert named_alike(example, [first, second]) == [(first, second)]


def test_images_of_two_patients_are_no_case(scene: Any) -> None:
    """Studies say so where names do not."""
    example = volumes("1 A", "1 B")
    studies = in_studies(("2 A",), ("2 B",), patients=True)
    assert named_alike(example, [*studies[0], *studies[1]]) == []


def test_pairs_that_are_made_of_them_are_cases(scene: Any) -> None:
    example = volumes("1 A", "1 B")
    ((first, second),) = named_alike(example, volumes("2 A", "2 B"))
    pair(first, second, ("A", "B"))
    assert partners_of(first) == [second]
