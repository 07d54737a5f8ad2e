"""Segments of different cases become one class list: by terminology, then by name, and never by a guess."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.classes import SegmentClass, terminology_key
from SemiSegTrainerLib.scene import choices
from SemiSegTrainerLib.scene.annotation import SegmentReading
from SemiSegTrainerLib.scene.classes import ClassMatching, SegmentKey, match_classes
from SemiSegTrainerLib.scene.collect import collect_training_set
from SlicerRig import scenes


def entry(code: str, meaning: str, region: str = "^^") -> str:
    return f"Any list~SCT^123037004^Anatomical Structure~SCT^{code}^{meaning}~^^~Anatomic~{region}~^^"


CERVIX, UTERUS = entry("71252005", "Cervix uteri"), entry("35039007", "Uterus")
DEFAULT = slicer.vtkSegment().GetTerminology()


def segment(name: str, terminology: str = "") -> SegmentReading:
    return SegmentReading(name, name, terminology, (1, 0, 0), False, "all", True, None)


def key(name: str, terminology: str = "") -> SegmentKey:
    return SegmentKey.of(segment(name, terminology))


def match(*cases: list[SegmentReading], **options: object) -> ClassMatching:
    return match_classes([(f"case {i}", case) for i, case in enumerate(cases)], **options)


def names(found: ClassMatching) -> list[str]:
    assert [c.value for c in found.classes] == list(range(1, len(found.classes) + 1))
    return [c.name for c in found.classes]


def test_the_default_terminology_says_nothing():
    assert terminology_key("") is None
    assert terminology_key(DEFAULT) is None
    assert terminology_key(DEFAULT.replace("~^^~^^", "~SCT^71252005^Cervix~^^")) is not None
    assert terminology_key(CERVIX) == terminology_key(CERVIX.replace("Any", "Other").replace("uteri", ""))
    assert terminology_key(CERVIX) != terminology_key(UTERUS)


def test_equal_terminology_is_one_class_whatever_the_name():
    found = match([segment("cervix", CERVIX)], [segment("Gebärmutterhals", CERVIX)])
    assert (names(found), found.conflicts) == (["cervix"], [])
    assert found.values == {key("cervix", CERVIX): 1, key("Gebärmutterhals", CERVIX): 1}


def test_without_terminology_the_name_decides():
    found = match([segment("Anterior  lip"), segment("canal", DEFAULT)], [segment("anterior lip", DEFAULT)])
    assert (names(found), found.conflicts) == (["Anterior  lip", "canal"], [])


def test_a_name_without_terminology_joins_the_class_of_that_name():
    for cases in ([segment("lip")], [segment("LIP", CERVIX)]), ([segment("LIP", CERVIX)], [segment("lip")]):
        found = match(*cases)
        assert (len(found.classes), found.conflicts) == (1, [])
        assert set(found.values.values()) == {1}
        assert found.classes[0].terminology == CERVIX


def test_a_terminology_too_coarse_for_one_case_is_refined_by_names():
    both = [segment("anterior", CERVIX), segment("posterior", CERVIX)]
    found = match([segment("Posterior", CERVIX)], both, both)
    assert (sorted(names(found)), found.conflicts) == (["Posterior", "anterior"], [])
    assert found.values[key("posterior", CERVIX)] != found.values[key("anterior", CERVIX)]


def test_a_name_outside_the_refined_classes_is_asked_about():
    found = match([segment("lip", CERVIX)], [segment("anterior", CERVIX), segment("posterior", CERVIX)])
    (conflict,) = found.conflicts
    assert (conflict.key, conflict.cases) == (key("lip", CERVIX), ("case 0",))
    assert set(conflict.candidates) == {"anterior", "posterior"}
    assert key("lip", CERVIX) not in found.values


def test_one_name_under_two_terminologies_is_asked_about():
    found = match([segment("lip", CERVIX)], [segment("lip", UTERUS)], [segment("lip")])
    assert {c.key for c in found.conflicts} == {key("lip", UTERUS), key("lip")}
    assert names(found) == ["lip"]


def test_two_segments_of_one_case_are_not_merged_unasked():
    found = match([segment("lip"), segment("Lip")])
    assert "second" in found.conflicts[0].question
    found = match([segment("lip"), segment("mass", CERVIX)], [segment("lip", CERVIX)])
    assert found.conflicts


def test_answers_settle_conflicts():
    cases = ([segment("lip", CERVIX)], [segment("anterior", CERVIX), segment("posterior", CERVIX)])
    asked = key("lip", CERVIX)
    joined = match(*cases, answers={asked: "posterior"})
    assert not joined.conflicts
    assert joined.classes[joined.values[asked] - 1].name == "posterior"
    apart = match(*cases, answers={asked: "whole lip"})
    assert (len(apart.classes), apart.classes[apart.values[asked] - 1].name) == (3, "whole lip")
    assert match(*cases, answers={asked: ""}).values[asked] == 0
    merged = match([segment("lip"), segment("Lip")], answers={key("lip"): "lip"})
    assert (merged.conflicts, len(merged.classes)) == ([], 1)


def test_the_classes_of_a_model_keep_their_values():
    given = [SegmentClass(1, "cervix", (0, 1, 0), CERVIX), SegmentClass(2, "canal", (0, 0, 1))]
    found = match([segment("mass"), segment("canal"), segment("neck", CERVIX)], given=given)
    assert (names(found), found.conflicts) == (["cervix", "canal", "mass"], [])
    assert [found.values[key("mass")], found.values[key("canal")]] == [3, 2]
    assert found.values[key("neck", CERVIX)] == 1


def test_too_many_classes_are_refused():
    with pytest.raises(SemiSegError) as error:
        match([segment(f"s{i}") for i in range(31)])
    assert error.value.code == "too-many-classes"


def test_a_conflict_leaves_its_cases_out_until_it_is_answered(scene):
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3], labels[4:6] = 1, 2
    pairs = [
        [SegmentClass(1, "anterior", (1, 0, 0), CERVIX), SegmentClass(2, "posterior", (0, 0, 1), CERVIX)],
        [SegmentClass(1, "lip", (1, 0, 0), CERVIX)],
    ]
    for classes in pairs:
        volume = scenes.add_volume(np.zeros((6, 8), np.uint8), classes[0].name)
        scenes.add_segmentation(volume, np.where(labels <= len(classes), labels, 0), classes)
    found = collect_training_set()
    assert [c.use for c in found.cases] == ["labelled", "left out"]
    assert '"lip"' in found.cases[1].reason
    choices.save_answers({found.conflicts[0].key: "posterior"})
    answered = collect_training_set()
    assert [(c.use, c.finished) for c in answered.cases] == [("labelled", (1, 2)), ("partly", (2,))]
    np.testing.assert_array_equal(np.unique(answered.cases[1].labels), [0, 2])
    choices.save_answers({found.conflicts[0].key: ""})
    left_out = collect_training_set()
    assert [c.use for c in left_out.cases] == ["labelled", "unlabelled"]
