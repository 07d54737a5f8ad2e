"""The samples that Slicer's Sample Data module offers: files that come along, so that no network is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .packs import resource_folder

CATEGORY = "SemiSeg"


@dataclass(frozen=True)
class Sample:
    """One sample: its title, its file below the samples' folder, what Slicer reads it as, and its thumbnail."""

    title: str
    file: str
    kind: str
    thumbnail: str


SAMPLES = (
    Sample("Cervix, ultrasound image", "cervix/fugc_l0024.jpg", "VolumeFile", "SemiSegCervicalSampleCervix.png"),
    Sample(
        "Carotid, ultrasound frames", "carotid/carotid_v08.seq.nrrd", "SequenceFile", "SemiSegCervicalSampleCarotid.png"
    ),
    Sample("Fetal head, ultrasound image", "fetal_head/hc18_270.nrrd", "VolumeFile", "SemiSegCervicalSampleHead.png"),
)


def sources(icons: Path) -> list[dict[str, Any]]:
    """Return what Slicer's `SampleDataLogic.registerCustomSampleDataSource` is told; empty where no samples lie.

    Args:
        icons: folder of the thumbnails.
    """
    folder = resource_folder("samples")
    if folder is None:
        return []
    return [
        {
            "category": CATEGORY,
            "sampleName": sample.title,
            "uris": (folder / sample.file).resolve().as_uri(),
            "fileNames": Path(sample.file).name,
            "nodeNames": Path(sample.file).name.partition(".")[0],
            "thumbnailFileName": str(icons / sample.thumbnail),
            "loadFileType": sample.kind,
            # A number in a picture's name must not bring its neighbours along as further slices.
            "loadFileProperties": {"singleFile": True} if sample.kind == "VolumeFile" else {},
        }
        for sample in SAMPLES
        if (folder / sample.file).is_file()
    ]
