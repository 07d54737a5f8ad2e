"""OpenVINO on the CPU: compiled once, kept on disk, and never used unchecked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import first_line
from ..pack import Pack
from .agreement import Agreement, compare, pool, window_weights
from .base import BackendError
from .cache import BLOB, Cache, Entry
from .convert import convert
from .runtime import Network, has_bfloat16, installed_version, load, processor

FORMAT = 1
# Every case may be the first on which rounding shows, so several are looked at before reduced precision is trusted for
# good; until then each new one is run in both.
CASES = 4


class OpenVINOBackend:
    """Runs all branches as one compiled model; see `base.Backend`.

    With precision ``auto`` the first case decides: bfloat16 where it gives what float32 gives (`Agreement.enough`),
    else float32. The next cases are compared too until `CASES` were, and one that differs ends bfloat16 for good. A
    case is decided before it begins, so that it is never in two precisions, and the verdict is stored with the compiled
    form: what comes later depends on nothing else.
    """

    name = "openvino"

    def __init__(self, pack: Pack, precision: str = "auto", cache: Path | None = None) -> None:
        """Look for the compiled form on disk; nothing is compiled yet.

        Args:
            pack: the model.
            precision: ``auto``, ``float32`` or ``bfloat16``.
            cache: folder for compiled models; None for the user's own.

        Raises:
            BackendError: OpenVINO is missing or does not start.
        """
        self._version = installed_version()
        if self._version is None:
            raise BackendError("OpenVINO is not installed")
        self.pack = pack
        self.device = torch.device("cpu")
        self.notes: list[str] = []
        self._asked = precision
        self._cache = Cache(cache)
        try:
            self._key = self._describe()
        except (ImportError, OSError, RuntimeError) as error:
            raise BackendError(f"OpenVINO does not start ({first_line(error)})") from error
        self._entry: Entry | None = self._usable(self._cache.find(self._key))
        self._networks: dict[tuple[str, int], Network] = {}
        self._lanes: tuple[tuple[str, int, int], list[Network]] | None = None

    @property
    def ready(self) -> bool:
        """Whether the compiled form is there already."""
        return self._entry is not None

    @property
    def evidence(self) -> list[Agreement]:
        """How bfloat16 agreed with float32, case by case."""
        return [Agreement(**figures) for figures in self._entry.facts["evidence"]] if self._entry else []

    @property
    def agreement(self) -> Agreement | None:
        """How bfloat16 agrees with float32 in all cases looked at; None where none was."""
        return pool(self.evidence) if self.evidence else None

    @property
    def precision(self) -> str:
        """What the networks multiply in."""
        if self._asked != "auto":
            return self._asked
        told = [a for a in self.evidence if a.telling]
        return "bfloat16" if told and all(a.enough for a in self.evidence) else "float32"

    def prepare(self, sample: Callable[[], Tensor]) -> None:
        """Make everything ready for a case: compile unless that was done, and settle the precision.

        Args:
            sample: gives network input ``(N, M, *size)`` of the case; called only if needed.

        Raises:
            BackendError: the model cannot be compiled, or does not give what PyTorch gives.
        """
        if self._entry is None:
            self._entry = self._compile(sample())
        elif self._asked == "auto" and self._undecided():
            batch = sample()
            mark = hashlib.sha256(batch.numpy().tobytes()).hexdigest()[:16]
            if mark not in self._entry.facts["seen"]:
                manifest = self.pack.manifest
                found = compare(
                    self._network("float32")(batch),
                    self._network("bfloat16")(batch),
                    manifest.calibration.temperatures,
                    window_weights(manifest.input),
                )
                self._learn(found, mark)

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return float32 logits ``(N, C, *size)`` per branch; see `base.Backend`.

        Raises:
            BackendError: the compiled model cannot be loaded or run.
        """
        batch = batch.float().cpu()
        if self._entry is None:
            self.prepare(lambda: batch)
        network = self._network(self.precision)
        # One that only served a comparison holds as much memory as the one in use.
        self._networks = {key: kept for key, kept in self._networks.items() if kept is network}
        return network(batch)

    def lanes(self, count: int) -> list[Network]:
        """Return networks for several images at once, in the precision that was settled, a thread for each.

        Args:
            count: how many there should be; no more than PyTorch has threads.

        Raises:
            BackendError: the compiled model cannot be loaded so often.
        """
        wanted = (self.precision, torch.get_num_threads(), count)
        if self._lanes is None or self._lanes[0] != wanted:
            self._lanes = None  # so that there are never twice as many
            self._lanes = wanted, self._load(self.precision, count, count)
        return self._lanes[1]

    @staticmethod
    def _usable(entry: Entry | None) -> Entry | None:
        """Drop an entry whose facts are not what this version writes; it is then made anew."""
        try:
            if entry is not None:
                [Agreement(**figures) for figures in entry.facts["evidence"]]
                list(entry.facts["seen"])
        except (KeyError, TypeError):
            return None
        return entry

    def _undecided(self) -> bool:
        assert self._entry is not None
        found = self.evidence
        few = sum(a.telling for a in found) < CASES and len(self._entry.facts["seen"]) < 4 * CASES
        return few and all(a.enough for a in found) and has_bfloat16()

    def _learn(self, found: Agreement, mark: str) -> None:
        assert self._entry is not None
        facts = self._entry.facts
        self._entry.remember(evidence=[*facts["evidence"], found.as_dict()], seen=[*facts["seen"], mark])

    def _compile(self, batch: Tensor) -> Entry:
        with self._cache.workspace() as folder:
            agreements = convert(self.pack, batch, folder, torch.get_num_threads())
            if not agreements["float32"].equal:
                raise BackendError(
                    "OpenVINO does not give what PyTorch gives "
                    f"({agreements['float32'].labels_alike:.3%} of the voxels alike)"
                )
            reduced = agreements.get("bfloat16")
            facts = {
                "about": self._about,
                "float32": agreements["float32"].as_dict(),
                "evidence": [reduced.as_dict()] if reduced else [],
                "seen": [hashlib.sha256(batch.numpy().tobytes()).hexdigest()[:16]],
            }
            return self._cache.keep(self._key, (folder / BLOB).read_bytes(), facts)

    def _network(self, precision: str) -> Network:
        wanted = (precision, torch.get_num_threads())
        if wanted not in self._networks:
            (self._networks[wanted],) = self._load(*wanted)
        return self._networks[wanted]

    def _load(self, precision: str, threads: int, lanes: int = 1) -> list[Network]:
        assert self._entry is not None
        try:
            return load(self._entry.blob, precision, threads, lanes)
        except RuntimeError as error:
            raise BackendError(f"the compiled model cannot be loaded ({str(error)[:200]})") from error

    def _describe(self) -> str:
        """Name the compiled form by everything that it depends on."""
        manifest = self.pack.manifest
        weights = hashlib.sha256()
        for branch in self.pack.branches:
            for name, tensor in sorted(branch.network.state_dict().items()):
                weights.update(name.encode())
                weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        self._about: dict[str, Any] = {
            "format": FORMAT,
            "weights": weights.hexdigest(),
            "branches": [[b.architecture, b.arguments, list(b.modalities)] for b in manifest.branches],
            # What uncertainty agrees on depends on them.
            "temperatures": list(manifest.calibration.temperatures),
            "modalities": len(manifest.input.modalities),
            "size": [manifest.input.sampling, *manifest.input.size],
            "openvino": self._version,
            "torch": torch.__version__,
            "processor": processor(),
        }
        return hashlib.sha256(json.dumps(self._about, sort_keys=True).encode()).hexdigest()[:32]
