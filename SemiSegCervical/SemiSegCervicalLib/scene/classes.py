"""Class lists: what a label value is called, how it looks, and which segment it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SemiSegError
from .marks import segments_of

# Slicer gives every new segment this type; it therefore says nothing about what was segmented.
_UNSET_TYPE = ("SCT", "85756007")


@dataclass(frozen=True)
class SegmentClass:
    """One foreground class.

    Attributes:
        value: label value, 1 or more; 0 is background.
        name: what people read.
        color: red, green, blue, each 0 to 1.
        terminology: Slicer's serialised terminology entry; empty for none.
    """

    value: int
    name: str
    color: tuple[float, float, float]
    terminology: str = ""


def terminology_key(entry: str) -> tuple[tuple[str, str], ...] | None:
    """Return what identifies a terminology entry, whatever context or language its texts are in.

    Args:
        entry: the serialised entry, seven parts joined by ``~``; the coded ones are ``scheme^value^meaning``.

    Returns:
        (scheme, value) of type, type modifier, region and region modifier; None where the entry is empty or
        Slicer's default ("Tissue" without a region), which means that nobody chose one.
    """
    parts = (entry or "").split("~")
    parts += [""] * (7 - len(parts))
    codes = []
    for part in (parts[2], parts[3], parts[5], parts[6]):
        scheme, _, rest = part.partition("^")
        codes.append((scheme, rest.partition("^")[0]))
    kind, _modifier, region, _region_modifier = codes
    if not kind[1] or (kind == _UNSET_TYPE and not region[1]):
        return None
    return tuple(codes)


def name_key(name: str) -> str:
    """Return a name as it is compared: without case and outer or doubled blanks."""
    return " ".join(name.split()).casefold()


def candidates(terminology: str, name: str, classes: Iterable[SegmentClass]) -> list[SegmentClass]:
    """Return the classes that a segment may belong to: by terminology, then by name.

    Equal terminology finds the class; where several classes share it the name decides among them. A segment
    (or a class) without terminology is matched by name alone. Equal names under two different terminologies
    do not match.

    Returns:
        One class where the answer is clear, none where nothing fits, several where only the user can tell.
    """
    classes = list(classes)
    key = terminology_key(terminology)
    same_code = [c for c in classes if key is not None and terminology_key(c.terminology) == key]
    if len(same_code) == 1:
        return same_code
    same_name = [c for c in same_code or classes if name_key(c.name) == name_key(name)]
    if same_code:
        return same_name or same_code
    return [c for c in same_name if key is None or terminology_key(c.terminology) is None]


def segment_values(segmentation: Any, classes: Sequence[SegmentClass]) -> dict[str, int]:
    """Give each segment of a node its label value in a class list.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        classes: the class list.

    Returns:
        Segment id to label value, in the node's order. Segments that fit no class are left out.

    Raises:
        SemiSegError: a segment fits several classes, or two segments fit one.
    """
    values: dict[str, int] = {}
    for segment_id, segment in segments_of(segmentation):
        found = candidates(segment.GetTerminology(), segment.GetName(), classes)
        if len(found) > 1:
            names = ", ".join(c.name for c in found)
            raise SemiSegError(
                "ambiguous-classes",
                f'Segment "{segment.GetName()}" may be any of {names}',
                "Give it the name or the terminology of the one that it is",
                "scene",
            )
        if found and found[0].value in values.values():
            raise SemiSegError(
                "ambiguous-classes",
                f'Two segments of "{segmentation.GetName()}" are both "{found[0].name}"',
                "Rename one of them, or join them in the Segment Editor",
                "scene",
            )
        if found:
            values[segment_id] = found[0].value
    return values


def names_without_class(segmentation: Any, classes: Sequence[SegmentClass]) -> list[str]:
    """Return the names of the segments that `segment_values` leaves out, in the node's order."""
    return [
        segment.GetName()
        for _, segment in segments_of(segmentation)
        if not candidates(segment.GetTerminology(), segment.GetName(), classes)
    ]
