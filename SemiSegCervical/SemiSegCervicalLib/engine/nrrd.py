"""NRRD headers: what SimpleITK does not hand on of a file's axes, and results with the source's own geometry.

The geometry of a result is copied as text. Through an image object it would be taken apart into spacing and direction
and multiplied again, and end up a rounding beside its source. Slicer's sequences (``.seq.nrrd``) are written as Slicer
writes them: the frames are the last axis, of the kind ``list``; in older files they are the first.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

ENDINGS = (".seg.nrrd", ".seq.nrrd", ".nrrd", ".nhdr")
_LONGEST_HEADER = 2**24
_LEVEL = 4
_TYPES = {"uint8": "unsigned char", "float32": "float"}
# Fields that say where the image lies, as a whole and per axis: spelled as written, found without spaces.
_WHOLE = ("space", "space dimension", "space units", "space origin", "measurement frame")
_PER_AXIS = ("space directions", "spacings", "thicknesses", "axis mins", "axis maxs", "centers", "units", "labels")
_OTHER_SPELLINGS = {"axismins": "axis mins", "axismaxs": "axis maxs", "centerings": "centers"}
_TOKEN = re.compile(r'"[^"]*"|\([^)]*\)|\S+')
_SPATIAL = {"domain", "space"}

Role = Literal["space", "frames", "time", "pixel"]


@dataclass(frozen=True)
class Header:
    """The text part of a NRRD file.

    Attributes:
        fields: ``field: value`` lines, names in lower case.
        keys: ``key:=value`` lines.
    """

    fields: Mapping[str, str]
    keys: Mapping[str, str]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of every axis, the fastest first."""
        return tuple(int(n) for n in self.fields["sizes"].split())

    def per_axis(self, name: str) -> list[str]:
        """Return a field's part for each axis; empty where it is absent or does not fit the axes."""
        tokens = _TOKEN.findall(self.fields.get(name, ""))
        return tokens if len(tokens) == len(self.sizes) else []

    def roles(self) -> tuple[Role, ...]:
        """Return what each axis is: of space, frames of a sequence, another time axis, or the parts of a pixel."""
        count = len(self.sizes)
        kinds = [kind.lower() for kind in self.per_axis("kinds")] or ["???"] * count
        directions = self.per_axis("space directions") or [""] * count
        roles: list[Role] = []
        for kind, direction in zip(kinds, directions, strict=True):
            if kind == "list":
                roles.append("frames")
            elif kind == "time" or (kind in _SPATIAL and direction == "none"):
                roles.append("time")
            elif kind in _SPATIAL or (kind in ("???", "none") and direction != "none"):
                roles.append("space")
            else:
                roles.append("pixel")
        return tuple(roles)


def read_header(path: Path) -> Header:
    """Read the header of a ``.nrrd`` or ``.nhdr`` file.

    Raises:
        ValueError: it is none.
    """
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    with path.open("rb") as stream:
        if not stream.readline(80).startswith(b"NRRD"):
            raise ValueError("it is not a NRRD file")
        while (line := stream.readline(_LONGEST_HEADER)) not in (b"", b"\n", b"\r\n"):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            key, is_key, value = text.partition(":=")
            if text.startswith("#"):
                continue
            if is_key:
                keys[key] = value
            else:
                name, _, value = text.partition(":")
                name = name.strip().lower()
                fields[_OTHER_SPELLINGS.get(name, name)] = value.strip()
    header = Header(fields, keys)
    try:
        if not header.sizes or min(header.sizes) < 1:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise ValueError("its NRRD header says nothing usable about its sizes") from error
    return header


def placed(affine: np.ndarray, size: tuple[int, int, int]) -> Header:
    """Make the header of a volume from its place in space.

    Args:
        affine: 4x4, voxel indices (i, j, k) to LPS in mm.
        size: voxels along i, j, k.
    """

    def vector(numbers: np.ndarray) -> str:
        return "(" + ",".join(repr(float(n)) for n in numbers) + ")"

    fields = {
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, size)),
        "kinds": "domain domain domain",
        "space directions": " ".join(vector(affine[:3, axis]) for axis in range(3)),
        "space origin": vector(affine[:3, 3]),
    }
    return Header(fields, {})


def write(path: Path, array: np.ndarray, like: Header, frames: bool = False, labels: bool = False) -> None:
    """Write a result with the geometry of its source.

    Args:
        path: file to write.
        array: uint8 or float32 ``(Z, Y, X)``, ``(Y, X)`` or ``(frames, Y, X)``, on the source's spatial axes.
        like: the source's header.
        frames: write a sequence whose frames are the first axis of `array`.
        labels: a sequence of label maps rather than of images.

    Raises:
        OSError: the disk is full.
    """
    roles = like.roles()
    space = [axis for axis, role in enumerate(roles) if role == "space"]
    listed = [axis for axis, role in enumerate(roles) if role == "frames"]
    sizes = [like.sizes[axis] for axis in space]
    if frames:
        sizes.append(array.size // int(np.prod(sizes)))
    if int(np.prod(sizes)) != array.size:
        raise ValueError(f"an array of {array.shape} does not fit the axes {sizes}")
    kinds = like.per_axis("kinds")
    kinds = [kinds[axis] if kinds and kinds[axis].lower() in _SPATIAL else "domain" for axis in space]
    lines = ["NRRD0005", f"type: {_TYPES[array.dtype.name]}", f"dimension: {len(sizes)}"]
    lines += [f"{name}: {like.fields[name]}" for name in _WHOLE if name in like.fields]
    lines += [f"sizes: {' '.join(map(str, sizes))}", f"kinds: {' '.join([*kinds, *['list'] * frames])}"]
    for name in _PER_AXIS:
        parts = like.per_axis(name)
        if parts:
            blank = {"space directions": "none", "units": '""', "labels": '"frame"', "centers": "???"}.get(name, "nan")
            of_frames = parts[listed[0]] if listed else blank
            lines.append(f"{name}: {' '.join([*(parts[axis] for axis in space), *[of_frames] * frames])}")
    lines += ["endian: little", "encoding: gzip"]
    if frames:
        # Slicer numbers the axis of the frames in these keys; here it is always the last.
        lines.append(f"DataNodeClassName:=vtkMRML{'LabelMap' if labels else 'Scalar'}VolumeNode")
        for key, value in like.keys.items():
            if (match := re.fullmatch(r"axis \d+ (index (?:type|values))", key)) is not None:
                lines.append(f"axis {len(space)} {match[1]}:={value}")
    with path.open("wb") as stream:
        stream.write(("\n".join(lines) + "\n\n").encode())
        with gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
            packed.write(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data)
