"""NIfTI results that carry their source's geometry bit for bit.

NIfTI stores a place in float32, twice (quaternion and matrix). Taken apart into spacing and direction and put together
again it comes out a rounding beside its source, so the header's own bytes are kept.
"""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_SIZE = 348
_LEVEL = 4
_CODES = {"uint8": (2, 8), "float32": (16, 32)}


def read_header(path: Path) -> bytes | None:
    """Return the header of a single-file NIfTI-1 image, or None where it is of another kind."""
    with gzip.open(path) if _is_packed(path) else path.open("rb") as stream:
        header = stream.read(_SIZE)
    whole = len(header) == _SIZE and header[344:348] == b"n+1\0"
    return header if whole and _order(header) else None


def write(path: Path, array: np.ndarray, header: bytes) -> None:
    """Write a result under its source's header; what that says of intensities and of the source itself is cleared.

    Args:
        path: file to write, ``.nii`` or ``.nii.gz``.
        array: uint8 or float32, as many voxels as the header says.
        header: from `read_header`.

    Raises:
        OSError: the disk is full.
    """
    order = _order(header)
    made = np.frombuffer(bytearray(header), dtype=np.uint8)
    dims = np.frombuffer(header, dtype=f"{order}i2", count=8, offset=40)
    if int(np.prod(dims[1 : 1 + dims[0]], dtype=np.int64)) != array.size:
        raise ValueError(f"an array of {array.shape} does not fit the dimensions {dims[1:]}")

    def put(offset: int, kind: str, *values: float) -> None:
        data = np.array(values, dtype=f"{order}{kind}").tobytes()
        made[offset : offset + len(data)] = np.frombuffer(data, dtype=np.uint8)

    # data_type, db_name, intent (parameters, code, name), description and auxiliary file speak of the source.
    for first, last in ((4, 32), (56, 70), (148, 252), (328, 344)):
        made[first:last] = 0
    put(70, "i2", *_CODES[array.dtype.name])
    put(108, "f4", _SIZE + 4, 1.0, 0.0)
    put(124, "f4", 0.0, 0.0)
    voxels = np.ascontiguousarray(array.astype(f"{order}{array.dtype.str[1:]}", copy=False))
    with path.open("wb") as stream, _packing(stream, path) as packed:
        packed.write(made.tobytes() + bytes(4))
        packed.write(voxels.data)


def _order(header: bytes) -> str:
    return next((o for o in "<>" if np.frombuffer(header, dtype=f"{o}i4", count=1)[0] == _SIZE), "")


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _packing(stream: BinaryIO, path: Path) -> AbstractContextManager[Any]:
    if not _is_packed(path):
        return nullcontext(stream)
    # Neither name nor time inside, so that equal results are equal files.
    return gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=_LEVEL, mtime=0)
