"""Model packs on disk: a folder or a zip named ``<name>.semiseg`` with ``model.json``, weights and a card.

Loading executes nothing: the manifest is validated JSON, weights are safetensors, architectures come from a fixed list,
and every name and size is bounded.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..atomic import write_atomically
from ..errors import SemiSegError
from ..formats import files_in
from .branch import Branch
from .schema import FORMAT_VERSION, PackManifest
from .typicality import of_modalities

MANIFEST = "model.json"
CARD = "card.md"
_MANIFEST_LIMIT = 4 * 2**20
_WEIGHTS_LIMIT = 512 * 2**20
# What reading a damaged zip raises; a name that is no text any more is a ValueError.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, EOFError,
    ValueError, OverflowError,
)  # fmt: skip


class Pack:
    """A loaded model: its manifest and its branches, in evaluation mode on the CPU."""

    def __init__(self, manifest: PackManifest, branches: Sequence[Branch], card: str = "") -> None:
        self.manifest = manifest
        self.branches = list(branches)
        self.card = card

    @property
    def class_count(self) -> int:
        """Number of classes, background included."""
        return len(self.manifest.classes) + 1

    def reading(self, present: Sequence[int]) -> Pack:
        """Return the model for cases that have only some of its modalities: without the branches that need more.

        Args:
            present: indices of the modalities that a case has, ascending.

        Returns:
            A pack whose input is those modalities, with the same branch modules; this one if nothing is missing.

        Raises:
            ValueError: no branch is left.
        """
        names = self.manifest.input.modalities
        if tuple(present) == tuple(range(len(names))):
            return self
        place = {index: at for at, index in enumerate(present)}
        specs = self.manifest.branches
        kept = [k for k, spec in enumerate(specs) if set(spec.modalities) <= place.keys()]
        if not kept:
            raise ValueError(f"no branch reads {present} alone")
        typical = self.manifest.typical
        manifest = self.manifest.model_copy(
            update={
                "typical": of_modalities(typical, present) if typical else None,
                "input": self.manifest.input.of(present),
                "branches": tuple(
                    specs[k].model_copy(update={"modalities": tuple(place[m] for m in specs[k].modalities)})
                    for k in kept
                ),
                "calibration": self.manifest.calibration
                if len(kept) == len(specs)
                else self.manifest.calibration.of(kept),
            }
        )
        return Pack(manifest, [self.branches[k] for k in kept], self.card)


def read_manifest(path: Path) -> PackManifest:
    """Read and check ``model.json`` of a pack, and that the pack holds nothing but what a model consists of.

    Raises:
        SemiSegError: not there, not a pack, not valid, or with files that do not belong into one.
    """
    manifest = _parse(_read(path, MANIFEST, _MANIFEST_LIMIT), path)
    strange = sorted(_names(path) - {MANIFEST, CARD, *(spec.file for spec in manifest.branches)})
    if strange:
        raise _corrupt(path, f"it holds {strange[0]!r}, which is no part of a model")
    return manifest


def load_pack(path: Path) -> Pack:
    """Read a pack with its weights.

    Raises:
        SemiSegError: not there, not a pack, foreign, corrupt, or of an unknown architecture.
    """
    path = Path(path)
    manifest = read_manifest(path)
    branches = []
    for spec in manifest.branches:
        branch = Branch(
            spec.architecture,
            spec.arguments,
            in_channels=len(spec.modalities),
            out_channels=len(manifest.classes) + 1,
            spatial_dims=manifest.input.spatial_dims,
        )
        if not branch.takes(manifest.input.size):
            raise _corrupt(path, f"its input size {list(manifest.input.size)} does not fit {spec.architecture}")
        weights = _read(path, spec.file, _WEIGHTS_LIMIT)
        try:
            branch.network.load_state_dict(load_tensors(weights))
        except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
            raise _corrupt(path, f"{spec.file} does not fit its architecture") from error
        if not all(bool(weight.isfinite().all()) for weight in branch.network.state_dict().values()):
            raise _corrupt(path, f"{spec.file} holds NaN or infinite weights")
        branches.append(branch.eval())
    card = _read(path, CARD, _MANIFEST_LIMIT).decode("utf-8", "replace") if CARD in _names(path) else ""
    return Pack(manifest, branches, card)


def save_pack(path: Path, pack: Pack, overwrite: bool = False, half: bool = False) -> Path:
    """Write a pack as one zip file, whole or not at all.

    Args:
        path: file to write; the ending ``.semiseg`` is added if missing.
        pack: manifest and branches; their projectors are left out.
        overwrite: replace an existing pack.
        half: store float32 weights as float16, in half the space; they are read as float32 again.

    Returns:
        The path written.

    Raises:
        SemiSegError: something is already there, or the disk is full.
    """
    path = path if path.suffix == ".semiseg" else path.with_name(path.name + ".semiseg")
    if path.exists() and not overwrite:
        raise SemiSegError("exists", f"{path} already exists", "Choose another name or remove it first", "writing")
    files = {MANIFEST: pack.manifest.model_dump_json(indent=1).encode(), CARD: pack.card.encode()}
    for spec, branch in zip(pack.manifest.branches, pack.branches, strict=True):
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in branch.network.state_dict().items()}
        if half:
            state = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in state.items()}
        files[spec.file] = save_tensors(state)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            # A fixed date makes equal models equal files.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    write_atomically(path, packed.getvalue())
    return path


def _parse(data: bytes, path: Path) -> PackManifest:
    try:
        raw = json.loads(data)
        version = raw.get("format_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise SemiSegError(
                "newer-pack", f"{path} was written by a newer version of SemiSeg", "Update SemiSeg", "loading"
            )
        return PackManifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _corrupt(path, f"{MANIFEST} is not valid at {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, f"{MANIFEST} is not JSON") from error


def _names(path: Path) -> set[str]:
    """Return what a pack holds."""
    if path.is_dir():
        return {entry.name for entry in files_in(path)}
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def _read(path: Path, name: str, limit: int) -> bytes:
    """Read one bounded file of a folder or zip; `name` matched a fixed pattern, so it cannot leave the folder."""
    try:
        if path.is_dir():
            file = path / name
            if file.is_symlink() or not file.is_file():
                raise _corrupt(path, f"it has no file {name}")
            if file.stat().st_size > limit:
                raise _corrupt(path, f"{name} is larger than any model of SemiSeg")
            return file.read_bytes()
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            data = io.BytesIO()
            # Count what comes out: the size that a zip declares is its author's word.
            while chunk := member.read(2**20):
                if data.tell() + len(chunk) > limit:
                    raise _corrupt(path, f"{name} is larger than any model of SemiSeg")
                data.write(chunk)
            return data.getvalue()
    except FileNotFoundError as error:
        raise SemiSegError("missing-file", f"There is no model at {path}", "Check the path", "loading") from error
    except KeyError as error:
        raise _corrupt(path, f"it has no file {name}") from error
    except _DAMAGED as error:
        raise _corrupt(path, "it is not a .semiseg folder or zip") from error
    except OSError as error:
        raise _corrupt(path, error.strerror or "it cannot be read") from error


def _corrupt(path: Path, why: str) -> SemiSegError:
    return SemiSegError("corrupt-pack", f"{path} is not a usable model: {why}", "Copy or train it again", "loading")
