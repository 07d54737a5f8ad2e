"""Arrays to NRRD files with an exact geometry."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

_TYPES = {"uint8": "unsigned char", "float32": "float"}


def write_nrrd(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume as gzip-compressed NRRD; every number of the geometry reads back as the same float64.

    Args:
        path: the file.
        array: ``(Z, Y, X)``, uint8 or float32.
        affine: IJK-to-RAS, ``(4, 4)``, mm; the file holds it as left-posterior-superior, as ITK and Slicer
            do.

    Raises:
        OSError: the file cannot be written.
    """
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)
    vectors = [",".join(repr(float(value)) for value in lps[:3, column]) for column in range(4)]
    header = "\n".join(
        [
            "NRRD0004",
            f"type: {_TYPES[array.dtype.name]}",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {array.shape[2]} {array.shape[1]} {array.shape[0]}",
            f"space directions: ({vectors[0]}) ({vectors[1]}) ({vectors[2]})",
            "kinds: domain domain domain",
            "endian: little",
            "encoding: gzip",
            f"space origin: ({vectors[3]})",
            "",
            "",
        ]
    )
    packer = zlib.compressobj(level=1, wbits=31)
    voxels = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(packer.compress(voxels.tobytes()))
        file.write(packer.flush())
