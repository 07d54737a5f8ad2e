"""DICOM SEG, written by the worker: for a large volume it takes longer than the application may stand still."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..dicom_seg import DicomSegment, encode_dicom_seg
from .arrays import read_array
from .protocol import EncodeDicomSeg, Written
from .server_jobs import ServerJob


def encode(job: ServerJob, message: EncodeDicomSeg) -> Written:
    """Write a segmentation into the folder of the job.

    Raises:
        SemiSegError: no segment has a voxel, or these files cannot have a segmentation.
    """
    job.progress("encoding", 0, 0)
    content = encode_dicom_seg(
        read_array(message.labels),
        np.array(message.affine),
        [Path(source) for source in message.sources],
        [DicomSegment(**asdict(segment)) for segment in message.segments],
        message.model,
        message.version,
        message.name,
    )
    path = job.folder / "segmentation.dcm"
    path.write_bytes(content)
    return Written(str(path))
