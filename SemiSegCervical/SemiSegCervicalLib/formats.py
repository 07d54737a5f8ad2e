"""Kinds of files by the ending of their names, and DICOM, whose names say nothing, by how it begins."""

from __future__ import annotations

from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VOLUMES = (".nii.gz", ".nii", ".seg.nrrd", ".seq.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")


def ending(path: Path) -> str:
    """Return the known ending of a file name in lower case (``.nii.gz``, ``.png``), or the plain suffix.

    What follows the last point of a UID (``1.2.840.7``) is no ending.
    """
    name = path.name.lower()
    plain = "" if path.suffix[1:].isdigit() else path.suffix.lower()
    return next((e for e in (*VOLUMES, *PICTURES) if name.endswith(e)), plain)


def stem(path: Path) -> str:
    """Return the file name without its ending; of a folder its whole name, of ``FILE/2`` with the number."""
    path, volume = volume_of(path)
    if volume is not None:
        return f"{stem(path)}_{volume}"
    if path.is_dir():
        return path.resolve().name
    return path.name[: len(path.name) - len(ending(path))]


def files_in(folder: Path) -> list[Path]:
    """Return what lies in a folder, by name; hidden files are its file system's own.

    Beside every file on a disk of another system macOS lays one more, ``._a.nii.gz`` beside ``a.nii.gz``.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def volume_of(path: Path) -> tuple[Path, int | None]:
    """Return a file, and which of its volumes is meant: ``FILE/2`` is the third of a NIfTI file that holds several."""
    inside = path.name.isdecimal() and ending(path.parent) in (".nii", ".nii.gz") and path.parent.is_file()
    return (path.parent, int(path.name)) if inside else (path, None)


def has_dicom_magic(path: Path) -> bool:
    """Say whether a file begins as DICOM files do: a preamble of 128 bytes, then ``DICM``."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
