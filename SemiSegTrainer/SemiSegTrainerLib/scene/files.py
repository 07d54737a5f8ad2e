"""Arrays to files, a slab at a time: NRRD with an exact geometry, and grey PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from SemiSegCervicalLib.affines import LPS_AND_RAS
from SemiSegCervicalLib.pieces import Pieces

_TYPES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "uint16": "unsigned short",
    "int16": "short",
    "uint32": "unsigned int",
    "int32": "int",
    "float32": "float",
}
_PNG_BYTES = 1 << 18


def stored_type(dtype: np.dtype) -> np.dtype:
    """Return the type in which voxels are stored: their own where NRRD has it, else float32."""
    return dtype if dtype.name in _TYPES else np.dtype(np.float32)


def write_nrrd_in_pieces(
    path: Path,
    slabs: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    affine: np.ndarray,
    dtype: np.dtype,
    packed: bool,
) -> Pieces[None]:
    """Write a volume as NRRD; every number of the geometry reads back as the same float64.

    Args:
        path: the file.
        slabs: the voxels, ``(planes, Y, X)`` each, in order; a piece of work writes one of them.
        shape: ``(Z, Y, X)``.
        affine: IJK-to-RAS, ``(4, 4)``, mm; the file holds it as left-posterior-superior, as ITK and Slicer
            do.
        dtype: one that `stored_type` returns.
        packed: gzip-compressed; worth its time for label maps.

    Raises:
        OSError: the file cannot be written.
    """
    lps = LPS_AND_RAS @ np.asarray(affine, dtype=np.float64)
    vectors = [",".join(repr(float(value)) for value in lps[:3, column]) for column in range(4)]
    header = "\n".join(
        [
            "NRRD0004",
            f"type: {_TYPES[dtype.name]}",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {shape[2]} {shape[1]} {shape[0]}",
            f"space directions: ({vectors[0]}) ({vectors[1]}) ({vectors[2]})",
            "kinds: domain domain domain",
            "endian: little",
            f"encoding: {'gzip' if packed else 'raw'}",
            f"space origin: ({vectors[3]})",
            "",
            "",
        ]
    )
    packer = zlib.compressobj(level=1, wbits=31)
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        for slab in slabs:
            voxels = np.ascontiguousarray(slab, dtype=dtype.newbyteorder("<")).data.cast("B")
            file.write(packer.compress(voxels) if packed else voxels)
            yield
        if packed:
            file.write(packer.flush())


def write_png_in_pieces(path: Path, picture: np.ndarray) -> Pieces[None]:
    """Write a grey picture as PNG (ISO/IEC 15948).

    Args:
        path: the file.
        picture: uint8 ``(Y, X)``, first row on top.

    Raises:
        OSError: the file cannot be written.
    """
    height, width = picture.shape
    packer = zlib.compressobj(level=1)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)))
        rows = max(1, _PNG_BYTES // width)
        for first in range(0, height, rows):
            part = picture[first : first + rows]
            # Each row begins with its filter, 1: every voxel as its difference from the one on its left.
            lines = np.empty((len(part), width + 1), dtype=np.uint8)
            lines[:, 0] = 1
            lines[:, 1] = part[:, 0]
            np.subtract(part[:, 1:], part[:, :-1], out=lines[:, 2:])
            file.write(_chunk(b"IDAT", packer.compress(lines.data.cast("B"))))
            yield
        file.write(_chunk(b"IDAT", packer.flush()))
        file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
