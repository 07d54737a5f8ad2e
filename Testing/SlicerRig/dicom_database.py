"""``slicer.dicomDatabase``: which file holds an instance, as the application knows after an import."""

from __future__ import annotations

from pathlib import Path


class DICOMDatabase:
    """The part of ``ctkDICOMDatabase`` that tells files; there is none without the module DICOM."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = {uid: str(path) for uid, path in files.items()}

    def fileForInstance(self, uid: str) -> str:
        """Return the file of an instance; an empty text where it is not known."""
        return self._files.get(uid, "")
