"""One class list for many cases: segments match by terminology, then by name; ambiguity is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.classes import SegmentClass, candidates, name_key, terminology_key

from .annotation import SegmentReading

MAX_CLASSES = 30
"""As many as a model pack may have."""


@dataclass(frozen=True)
class SegmentKey:
    """What tells segments apart: the name as compared, and the terminology's code, if any."""

    name: str
    code: tuple[tuple[str, str], ...] | None

    @classmethod
    def of(cls, segment: SegmentReading | SegmentClass) -> SegmentKey:
        """Return the key of a segment or of a class."""
        return cls(name_key(segment.name), terminology_key(segment.terminology))


@dataclass(frozen=True)
class Conflict:
    """A segment whose class only the user can tell.

    Attributes:
        key: which segments are meant; an answer is given by it.
        name: the segment's name as it stands in the scene.
        cases: names of the cases that hold such a segment.
        candidates: names of the classes that it may be.
        question: the whole matter in plain words.
    """

    key: SegmentKey
    name: str
    cases: tuple[str, ...]
    candidates: tuple[str, ...]
    question: str


@dataclass
class ClassMatching:
    """The class list and who belongs to it.

    Attributes:
        classes: values 1, 2, 3, ...
        values: class value by segment key; 0 for a key that the user left out.
        conflicts: what is open.
    """

    classes: list[SegmentClass] = field(default_factory=list)
    values: dict[SegmentKey, int] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)


def match_classes(
    cases: Sequence[tuple[str, Sequence[SegmentReading]]],
    given: Sequence[SegmentClass] = (),
    answers: Mapping[SegmentKey, str] | None = None,
) -> ClassMatching:
    """Find the classes behind the segments of all cases.

    Segments of equal terminology are one class, unless one case holds several of them: then their names tell
    them apart, and such a segment whose name none of these classes has is a conflict. Segments without terminology
    (or with Slicer's default one) belong to the class of their name. One name under two different
    terminologies is a conflict, and so are two segments of one case that come out as the same class. Nothing
    is guessed.

    Args:
        cases: (name, the segments that count) of each case.
        given: classes that exist already, those of a model for instance; they keep value and name.
        answers: the user's answers to conflicts: key to the name of a class, a new one if no class has that
            name, or "" to leave the segment out.

    Returns:
        Classes, values and open conflicts.

    Raises:
        SemiSegError: more classes than a model can have.
    """
    answers = answers or {}
    found = ClassMatching(classes=list(given))
    names: dict[SegmentKey, SegmentReading] = {}
    holders: dict[SegmentKey, dict[str, None]] = {}
    for case, segments in cases:
        for segment in segments:
            key = SegmentKey.of(segment)
            names.setdefault(key, segment)
            holders.setdefault(key, {})[case] = None
    where = {key: list(found_in) for key, found_in in holders.items()}

    for key in [key for key in names if key not in answers]:
        if key.code is not None:
            _match_coded(key, names, where, cases, found)
    for key in [key for key in names if key not in answers]:
        if key.code is None:
            _match_named(key, names[key], where[key], found)
    for key, answer in answers.items():
        if key in names:
            found.values[key] = _class_named(answer, names[key], found.classes) if answer else 0
    _find_doubles(cases, where, answers, found)
    if len(found.classes) > MAX_CLASSES:
        raise SemiSegError(
            "too-many-classes",
            f"The segments make {len(found.classes)} classes; a model can have {MAX_CLASSES}",
            "Leave segments out, or give those that are the same the same name",
            "scene",
        )
    return found


def _match_coded(
    key: SegmentKey,
    names: Mapping[SegmentKey, SegmentReading],
    where: Mapping[SegmentKey, list[str]],
    cases: Sequence[tuple[str, Sequence[SegmentReading]]],
    found: ClassMatching,
) -> None:
    """Match a segment that has a terminology."""
    segment = names[key]
    existing = candidates(segment.terminology, segment.name, found.classes)
    together = _names_in_one_case(key, cases)
    apart = len(together) > 1
    if apart:
        # The terminology alone is too coarse here: the name decides.
        existing = [c for c in existing if name_key(c.name) == key.name]
        if not existing and key.name not in together:
            options = [c.name for c in found.classes if terminology_key(c.terminology) == key.code]
            options += [names[k].name for k in names if k.code == key.code and k.name in together]
            _ask(key, segment, where[key], _unique(options), "has the terminology of several classes", found)
            return
    if len(existing) == 1:
        found.values[key] = existing[0].value
        return
    if len(existing) > 1:
        _ask(key, segment, where[key], [c.name for c in existing], "fits several classes", found)
        return
    other = [c.name for c in found.classes if name_key(c.name) == key.name]
    if other:
        _ask(key, segment, where[key], other, "has a class's name, but another terminology", found)
        return
    found.values[key] = _add(segment, found.classes)


def _match_named(key: SegmentKey, segment: SegmentReading, cases: list[str], found: ClassMatching) -> None:
    """Match a segment that has a name only."""
    aliases = {value for k, value in found.values.items() if k.name == key.name}
    named = candidates("", segment.name, found.classes)
    existing = [c for c in found.classes if c.value in aliases or c in named]
    # A name that is asked about already under a terminology cannot be settled without one either.
    asked = [c for c in found.conflicts if c.key.name == key.name]
    if len(existing) > 1 or asked:
        options = [c.name for c in existing] + [name for c in asked for name in c.candidates]
        _ask(key, segment, cases, _unique(options), "fits several classes", found)
    elif existing:
        found.values[key] = existing[0].value
    else:
        found.values[key] = _add(segment, found.classes)


def _names_in_one_case(key: SegmentKey, cases: Sequence[tuple[str, Sequence[SegmentReading]]]) -> frozenset[str]:
    """Return the largest set of names that one case holds under the terminology of a key."""
    sets = [
        frozenset(k.name for segment in segments if (k := SegmentKey.of(segment)).code == key.code)
        for _, segments in cases
    ]
    return max(sets, key=len)


def _find_doubles(
    cases: Sequence[tuple[str, Sequence[SegmentReading]]],
    where: Mapping[SegmentKey, list[str]],
    answers: Mapping[SegmentKey, str],
    found: ClassMatching,
) -> None:
    """Turn segments of one case that came out as the same class into conflicts, unless the user said so."""
    for case, segments in cases:
        seen: dict[int, SegmentReading] = {}
        for segment in segments:
            key = SegmentKey.of(segment)
            value = found.values.get(key, 0)
            if not value:
                continue
            if value in seen:
                if key not in answers and not any(c.key == key for c in found.conflicts):
                    name = found.classes[value - 1].name
                    _ask(key, segment, where[key], [name], f'is the second "{name}" in "{case}"', found)
            else:
                seen[value] = segment


def _ask(
    key: SegmentKey,
    segment: SegmentReading,
    cases: Sequence[str],
    options: Sequence[str],
    why: str,
    found: ClassMatching,
) -> None:
    found.conflicts.append(make_conflict(key, segment.name, cases, options, why))


def make_conflict(key: SegmentKey, name: str, cases: Sequence[str], options: Sequence[str], why: str) -> Conflict:
    """Put a question to the user: which class a segment is, and why that is not clear."""
    choices = ", ".join([*options, "a class of its own"])
    return Conflict(key, name, tuple(cases), tuple(options), f'"{name}" {why}: {choices}, or to be left out?')


def _class_named(name: str, segment: SegmentReading, classes: list[SegmentClass]) -> int:
    for entry in classes:
        if name_key(entry.name) == name_key(name):
            return entry.value
    return _add(segment, classes, name)


def _add(segment: SegmentReading, classes: list[SegmentClass], name: str = "") -> int:
    terminology = segment.terminology if terminology_key(segment.terminology) is not None else ""
    value = len(classes) + 1
    classes.append(SegmentClass(value, name or segment.name, segment.color, terminology))
    return value


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
