"""The few DICOM attributes that GDCM does not hand on: sequences, and what differs from frame to frame.

Reads headers of every transfer syntax (implicit and explicit, little and big endian, deflated) and stops before the
pixels, which SimpleITK decodes. Nothing beyond the attributes named here is kept.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..formats import has_dicom_magic

SOP_CLASS = 0x00080016
MODALITY = 0x00080060
IMAGE_TYPE = 0x00080008
SERIES_DESCRIPTION = 0x0008103E
SERIES_UID = 0x0020000E
SERIES_NUMBER = 0x00200011
INSTANCE_NUMBER = 0x00200013
POSITION = 0x00200032
ORIENTATION = 0x00200037
FRAME_COUNT = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
PIXEL_SPACING = 0x00280030
SLICE_THICKNESS = 0x00180050
SLICE_SPACING = 0x00180088
INTERCEPT = 0x00281052
SLOPE = 0x00281053
REGION_FORMAT = 0x00186012
REGION_TYPE = 0x00186014
REGION_UNITS_X = 0x00186024
REGION_UNITS_Y = 0x00186026
REGION_DELTA_X = 0x0018602C
REGION_DELTA_Y = 0x0018602E

REGIONS = 0x00186011
SHARED_GROUPS = 0x52009229
FRAME_GROUPS = 0x52009230
PLANE_POSITION = 0x00209113
PLANE_ORIENTATION = 0x00209116
PIXEL_MEASURES = 0x00289110
PIXEL_TRANSFORMATION = 0x00289145

_SEQUENCES = frozenset({REGIONS, SHARED_GROUPS, FRAME_GROUPS, PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES,
                        PIXEL_TRANSFORMATION})  # fmt: skip
_WANTED = frozenset(
    {SOP_CLASS, MODALITY, IMAGE_TYPE, SERIES_DESCRIPTION, SERIES_UID, SERIES_NUMBER, INSTANCE_NUMBER, POSITION,
     ORIENTATION, FRAME_COUNT, ROWS, COLUMNS, PIXEL_SPACING, SLICE_THICKNESS, SLICE_SPACING, INTERCEPT, SLOPE,
     REGION_FORMAT, REGION_TYPE, REGION_UNITS_X, REGION_UNITS_Y, REGION_DELTA_X, REGION_DELTA_Y}
)  # fmt: skip
_TRANSFER_SYNTAX = 0x00020010
_IMPLICIT, _DEFLATED, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = 0x7FE00000
_UNDEFINED = 0xFFFFFFFF
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_DEEPEST, _LARGEST_VALUE, _LARGEST_HEADER = 30, 4096, 2**25

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Tags:
    """Attributes of a data set or of one item of a sequence; what is absent reads as empty."""

    values: dict[int, bytes] = field(default_factory=dict)
    sequences: dict[int, list[Tags]] = field(default_factory=dict)
    order: str = "<"

    def text(self, tag: int) -> str:
        """Return a text in one line of printable characters."""
        text = self.values.get(tag, b"").decode("utf-8", "replace")
        return "".join(c if c.isprintable() else " " for c in text).strip()

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Return the numbers of a decimal or integer string (DS, IS).

        Raises:
            ValueError: something else is written there.
        """
        text = self.text(tag)
        return tuple(float(part) for part in text.split("\\")) if text else ()

    def number(self, tag: int) -> float | None:
        """Return the first number of a decimal or integer string."""
        return next(iter(self.numbers(tag)), None)

    def short(self, tag: int) -> int | None:
        """Return an unsigned short (US)."""
        return self._binary("H", tag)

    def double(self, tag: int) -> float | None:
        """Return a double (FD)."""
        return self._binary("d", tag)

    def items(self, tag: int) -> list[Tags]:
        """Return the items of a sequence."""
        return self.sequences.get(tag, [])

    def _binary(self, kind: str, tag: int):  # type: ignore[no-untyped-def]
        value = self.values.get(tag, b"")
        return struct.unpack_from(self.order + kind, value)[0] if len(value) >= struct.calcsize(kind) else None


def read_tags(path: Path) -> Tags:
    """Read the attributes named above from a DICOM file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            at, syntax = _meta(data)
            if syntax == _DEFLATED:
                # Pixels, or what pretends to be a header and has no end, are not unpacked here.
                plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at:], _LARGEST_HEADER)
                return _Parser(plain, "<").data_set(0, len(plain), True, 0)[0]
            order = ">" if syntax == _BIG_ENDIAN else "<"
            # Some writers declare explicit representations and leave them out.
            explicit = syntax != _IMPLICIT and data[at + 4 : at + 6].isalpha()
            return _Parser(data, order).data_set(at, len(data), explicit, 0)[0]
        except (struct.error, zlib.error) as error:
            raise ValueError("cut short or damaged") from error


def _meta(data: Buffer) -> tuple[int, str]:
    """Return where the data set begins, and its transfer syntax."""
    at, syntax = 132, _IMPLICIT
    parser = _Parser(data, "<")
    while at < len(data) and struct.unpack_from("<H", data, at)[0] == 2:
        tag, _, length, at = parser.header(at, True)
        if tag == _TRANSFER_SYNTAX:
            syntax = data[at : at + length].decode("ascii", "replace").strip(" \0")
        at += length
    if at >= len(data):
        raise ValueError("cut short or damaged")
    return at, syntax


class _Parser:
    def __init__(self, data: Buffer, order: str) -> None:
        self.data, self.order = data, order

    def header(self, at: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, value representation, length, and where the value begins."""
        group, element = struct.unpack_from(self.order + "HH", self.data, at)
        tag = group << 16 | element
        if not explicit or group == 0xFFFE:
            return tag, b"", struct.unpack_from(self.order + "L", self.data, at + 4)[0], at + 8
        kind = bytes(self.data[at + 4 : at + 6])
        if kind in _LONG:
            return tag, kind, struct.unpack_from(self.order + "L", self.data, at + 8)[0], at + 12
        return tag, kind, struct.unpack_from(self.order + "H", self.data, at + 6)[0], at + 8

    def data_set(self, at: int, end: int, explicit: bool, depth: int) -> tuple[Tags, int]:
        """Read elements until `end`, the item's end, or the pixels; return them and where they end."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        found = Tags(order=self.order)
        while at < end:
            tag, kind, length, at = self.header(at, explicit)
            if tag == _ITEM_END or (depth == 0 and tag >= _PIXELS):
                break
            nested = kind == b"SQ" or (kind in (b"UN", b"") and (length == _UNDEFINED or tag in _SEQUENCES))
            if length == _UNDEFINED or (nested and tag in _SEQUENCES):
                stop = end if length == _UNDEFINED else at + length
                # A sequence of unknown representation is written implicitly, whatever surrounds it.
                items, at = self._items(at, stop, explicit and kind != b"UN", depth, nested)
                if tag in _SEQUENCES:
                    found.sequences[tag] = items
                continue
            if at + length > end:
                raise ValueError("cut short or damaged")
            if tag in _WANTED and length <= _LARGEST_VALUE:
                found.values[tag] = bytes(self.data[at : at + length])
            at += length
        return found, at

    def _items(self, at: int, end: int, explicit: bool, depth: int, nested: bool) -> tuple[list[Tags], int]:
        """Read the items of a sequence, or pass over the fragments of an encapsulated value."""
        items = []
        while at < end:
            tag, _, length, at = self.header(at, explicit)
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM:
                raise ValueError("damaged")
            if nested:
                item, after = self.data_set(at, end if length == _UNDEFINED else at + length, explicit, depth + 1)
                items.append(item)
                at = after if length == _UNDEFINED else at + length
            else:
                at += length
        return items, at


def dicom_files(folder: Path) -> Iterator[Path]:
    """Find the DICOM files of a folder and its subfolders, in the order of their names."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and has_dicom_magic(path))
