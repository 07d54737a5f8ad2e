"""NIfTI results that carry their source's geometry bit for bit.

NIfTI stores a place in float32, twice (quaternion and matrix). Taken apart into spacing and direction and put together
again it comes out a rounding beside its source, so the header's own bytes are kept.
"""

from __future__ import annotations

import gzip
import os
import zlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_SIZE = 348
_ONE_FILE = b"n+1\0"
_GZIP = b"\x1f\x8b"
_COLOUR_PARTS = (3, 4)
_LEVEL = 4
_PART = 2**22
_CODES = {"uint8": (2, 8), "float32": (16, 32)}


def read_header(path: Path) -> bytes | None:
    """Return the header of a NIfTI-1 image, or None where it is of another kind.

    Args:
        path: the file; of an image in two files (``.hdr`` and ``.img``) the former.
    """
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP  # whatever its name says
        stream.seek(0)
        with gzip.open(stream) if packed else nullcontext(stream) as plain:
            header = plain.read(_SIZE)
    whole = len(header) == _SIZE and header[344:348] in (_ONE_FILE, b"ni1\0")
    return header if whole and _order(header) else None


def is_cut_short(path: Path) -> bool:
    """Say whether the end of a NIfTI-1 image in one file is missing, as of a download that broke off.

    ITK warns, and fills the rest with zeros.
    """
    header = read_header(path)
    if header is None or header[344:348] != _ONE_FILE:
        return False
    order = _order(header)
    dims = np.frombuffer(header, dtype=f"{order}i2", count=8, offset=40).astype(np.int64)
    bits = int(np.frombuffer(header, dtype=f"{order}i2", count=1, offset=72)[0])
    first = int(np.frombuffer(header, dtype=f"{order}f4", count=1, offset=108)[0])
    needed = first + int(np.prod(dims[1 : 1 + dims[0]].clip(min=1))) * bits // 8
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
        length = stream.seek(0, os.SEEK_END)
        if not packed:
            return length < needed
        # A gzip stream ends with the number of its bytes; of one in several parts all have to be looked at.
        stream.seek(-4, os.SEEK_END)
        if int.from_bytes(stream.read(4), "little") == needed % 2**32:
            return False
        stream.seek(0)
        found = 0
        try:
            with gzip.open(stream) as plain:
                while found < needed and (part := plain.read(_PART)):
                    found += len(part)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return found < needed
    return found < needed


def write(path: Path, array: np.ndarray, header: bytes) -> None:
    """Write a result under its source's header; what that says of intensities and of the source itself is cleared.

    Args:
        path: file to write, ``.nii`` or ``.nii.gz``.
        array: uint8 or float32, as many voxels as the header says, or as one of its volumes has.
        header: from `read_header`.

    Raises:
        OSError: the disk is full.
    """
    order = _order(header)
    made = np.frombuffer(bytearray(header), dtype=np.uint8)
    dims = np.frombuffer(header, dtype=f"{order}i2", count=8, offset=40).copy()
    dims[1:][dims[1:] < 1] = 1  # as readers take what some writers put for an axis that is not there
    if dims[0] == 5 and dims[5] in _COLOUR_PARTS:  # the parts of a colour, which a result has not
        dims[5] = 1
        dims[0] = max(axis for axis in (2, 3, 4) if axis == 2 or dims[axis] > 1)  # as readers count them
    if dims[0] == 4 and int(np.prod(dims[1:4], dtype=np.int64)) == array.size:  # of one of its volumes
        dims[0], dims[4] = 3, 1
    if int(np.prod(dims[1 : 1 + dims[0]], dtype=np.int64)) != array.size:
        raise ValueError(f"an array of {array.shape} does not fit the dimensions {dims[1:]}")

    def put(offset: int, kind: str, *values: float) -> None:
        data = np.array(values, dtype=f"{order}{kind}").tobytes()
        made[offset : offset + len(data)] = np.frombuffer(data, dtype=np.uint8)

    # data_type, db_name, intent (parameters, code, name), description and auxiliary file speak of the source.
    for first, last in ((4, 32), (56, 70), (148, 252), (328, 344)):
        made[first:last] = 0
    put(40, "i2", *dims)
    put(70, "i2", *_CODES[array.dtype.name])
    put(108, "f4", _SIZE + 4, 1.0, 0.0)
    put(124, "f4", 0.0, 0.0)
    made[344:348] = np.frombuffer(_ONE_FILE, dtype=np.uint8)
    voxels = np.ascontiguousarray(array.astype(f"{order}{array.dtype.str[1:]}", copy=False))
    with path.open("wb") as stream, _packing(stream, path) as packed:
        packed.write(made.tobytes() + bytes(4))
        packed.write(voxels.data)


def _order(header: bytes) -> str:
    return next((o for o in "<>" if np.frombuffer(header, dtype=f"{o}i4", count=1)[0] == _SIZE), "")


def _packing(stream: BinaryIO, path: Path) -> AbstractContextManager[Any]:
    if not path.name.lower().endswith(".gz"):
        return nullcontext(stream)
    # Neither name nor time inside, so that equal results are equal files.
    return gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=_LEVEL, mtime=0)
