"""The backend that a predictor holds: it chooses what runs the networks, and steps down when that fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...errors import SemiSegError, first_line
from ..device import cannot_run, resolve_device
from ..pack import Pack
from ..selftest import examine_devices
from .agreement import Agreement
from .base import Backend, BackendError
from .ladder import Ladder, is_out_of_memory, release
from .openvino_backend import OpenVINOBackend
from .runtime import installed_version
from .torch_backend import TorchBackend

Lane = Callable[[Tensor], list[Tensor]]
BACKENDS = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# Compiling costs about ten seconds, once for a model on a computer. Two branches take as long for this many voxels in
# PyTorch on two cores, in 2D and 3D alike: whoever compiles then has never paid more than twice of what was best.
VOXELS_BEFORE_COMPILING = 4_000_000
# Loading the lanes takes 0.1 to 0.3 s: on a busy computer they save that on some ten frames, on an idle one on a
# hundred.
_IMAGES_FOR_LANES = 32
# Python itself is done by one thread at a time.
_LANES_MOST = 8
# Of all lanes' features, which take 160 bytes for a voxel with the networks that are proposed.
_LANES_BYTES, _BYTES_PER_VOXEL = 2**30, 1000
_ADVICE = "With the Python package openvino installed, the processor would compute two to three times as fast."


class AdaptiveBackend:
    """Runs a pack on the best of what is there; see `base.Backend`.

    With backend ``auto`` on a CPU that is OpenVINO once the model is compiled, and PyTorch until compiling pays. The
    choice is made before a case, by what was computed and is to be computed, never by the clock: equal calls give equal
    results. What fails is replaced by PyTorch; what does not fit into memory is cut smaller (`Ladder`). Both are said
    in `notes`.
    """

    def __init__(
        self,
        pack: Pack,
        device: str = "auto",
        backend: str = "auto",
        precision: str = "auto",
        cache: Path | None = None,
    ) -> None:
        """Choose, and load what is compiled already; see `open_backend`."""
        self.pack = pack
        self._spec = pack.manifest.input
        self._asked, self._asked_precision, self._cache = backend, precision, cache
        self._computed = 0
        self._compiled: OpenVINOBackend | None = None
        self._notes: list[str] = []
        self._active: Backend
        self._open(device)
        if device == "auto":
            self._notes += [
                f"The graphics card ({report.label}) is not used: {report.reason}"
                for report in examine_devices()
                if not report.works
            ]

    @property
    def name(self) -> str:
        """What runs the networks at the moment: ``torch`` or ``openvino``."""
        return self._active.name

    @property
    def precision(self) -> str:
        """What the networks multiply in."""
        return self._active.precision

    @property
    def device(self) -> torch.device:
        """Where the logits are."""
        return self._active.device

    @property
    def notes(self) -> list[str]:
        """What a user should be told."""
        return [*self._notes, *self._active.notes, *self._ladder.notes()]

    @property
    def agreement(self) -> Agreement | None:
        """How reduced precision agreed with float32 on real cases; None where nothing was compared."""
        return self._compiled.agreement if self._compiled else None

    def prepare(self, windows: int, sample: Callable[[], Tensor]) -> None:
        """Say what a case will take, before it begins: this is where a model is compiled and a precision settled.

        Args:
            windows: network passes to come, for each branch.
            sample: gives network input ``(N, M, *size)`` of the case that shows something; called only if needed.
        """
        much = self._computed + windows * math.prod(self._spec.size) >= VOXELS_BEFORE_COMPILING
        if self._compiled is None:
            # Missing, it is worth a sentence only where it would have saved time.
            if much and self._on_cpu_by_choice() and installed_version() is None and _ADVICE not in self._notes:
                self._notes.append(_ADVICE)
            return
        if much or self._asked == "openvino" or self._compiled.ready:
            try:
                self._compiled.prepare(sample)
            except BackendError as fault:
                self._do_without(fault)
            else:
                self._active = self._compiled

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return float32 logits ``(N, C, *size)`` per branch, on `device`; see `base.Backend`.

        Raises:
            MemoryError: the device is out of memory; `leave_device` goes on elsewhere.
            SemiSegError: what the networks give are no numbers.
        """
        if self._compiled is not None and self._active is self._compiled and not self._compiled.ready:
            self.prepare(len(batch), lambda: batch)
        try:
            logits = self._ladder.run(self._active, batch)
        except (BackendError, MemoryError) as error:
            if self._active is not self._compiled:
                raise
            self._do_without(error)
            logits = self._ladder.run(self._active, batch)
        if not _are_numbers(logits):
            logits = self._in_float32(batch)
        self._computed += len(batch) * math.prod(self._spec.size)
        return logits

    def lanes(self, images: int) -> list[Lane]:
        """Return what runs the networks on several images at once; nothing where that does not pay.

        So it is where OpenVINO computes, there is more than one thread, and more images than loading takes time for.
        A lane raises `BackendError` where calling this backend itself finds a remedy.

        Args:
            images: how many are to come, after `prepare`.
        """
        room = _LANES_BYTES // (_BYTES_PER_VOXEL * math.prod(self._spec.size))
        count = min(torch.get_num_threads(), _LANES_MOST, room)
        if count < 2 or images < _IMAGES_FOR_LANES or self._compiled is None or self._active is not self._compiled:
            return []
        try:
            return [partial(_in_lane, network) for network in self._compiled.lanes(count)]
        except BackendError:
            return []

    def leave_device(self) -> None:
        """Go on with the CPU after the device's memory ran out.

        Raises:
            SemiSegError: it was the CPU.
        """
        if self.device.type == "cpu":
            raise SemiSegError(
                "out-of-memory", "The memory of this computer does not suffice for this image",
                "Close other programs, or give less working memory (--memory)", "predicting",
            )  # fmt: skip
        self._go_on_with_cpu("The memory of the graphics card did not suffice")

    def _in_float32(self, batch: Tensor) -> list[Tensor]:
        """Compute again what reduced precision could not hold: such voxels would be labelled background, and surely."""
        if self._active.precision != "float32":
            self._notes.append(
                f"Values grew too large for {self._active.precision}: float32 was used instead. Slower, with no other "
                "difference."
            )
            self._asked_precision = "float32"
            self._open(self.device.type)
            logits = self._ladder.run(self._active, batch)
            if _are_numbers(logits):
                return logits
        raise SemiSegError(
            "no-numbers", "What the networks compute for this image are no numbers",
            "Train the model anew, or choose another", "predicting",
        )  # fmt: skip

    def _go_on_with_cpu(self, why: str) -> None:
        device = self.device
        if self._asked_precision == "float16":
            self._asked_precision = "auto"
        self._open("cpu")
        release(device)
        self._notes.append(f"{why}: the processor computed instead. Slower, with the same result.")

    def _open(self, device: str) -> None:
        chosen = resolve_device("cpu" if self._asked == "openvino" and device == "auto" else device)
        if self._asked == "openvino" and chosen.type != "cpu":
            raise SemiSegError(
                "wrong-device", f"OpenVINO runs on the processor here, not on {chosen.type}",
                "Use --device cpu, or another backend", "settings",
            )  # fmt: skip
        if self._asked == "openvino" and installed_version() is None:
            raise SemiSegError(
                "missing-package", "The Python package openvino is not installed",
                "Install it (pip install openvino), or use --backend auto", "settings",
            )  # fmt: skip
        wanted = self._asked_precision
        if chosen.type == "cpu" and wanted == "float16":
            raise SemiSegError(
                "bad-precision", "The processor does not run these networks in float16",
                "Use the precision auto or float32", "settings",
            )  # fmt: skip
        self._ladder = self._new_ladder()
        self._active = active = TorchBackend(self.pack, chosen.type, wanted)
        if chosen.type != "cpu" and (reason := active.refusal()):
            if device != "auto":
                raise cannot_run(chosen, reason)
            self._go_on_with_cpu(f"The graphics card cannot run this model ({reason})")
            return
        if not self._on_cpu_by_choice() or installed_version() is None:
            return
        try:
            self._compiled = OpenVINOBackend(self.pack, wanted, self._cache)
        except BackendError as fault:
            self._do_without(fault)
            return
        if self._compiled.ready or self._asked == "openvino":
            self._active = self._compiled

    def _on_cpu_by_choice(self) -> bool:
        return self._active.device.type == "cpu" and self._asked != "torch"

    def _do_without(self, error: Exception) -> None:
        self._compiled = None
        self._ladder = self._new_ladder()
        self._active = TorchBackend(self.pack, "cpu", self._asked_precision)
        why = "it ran out of memory" if is_out_of_memory(error) else str(error)
        self._notes.append(f"PyTorch computed instead of OpenVINO: {why}. Slower, with the same result.")

    def _new_ladder(self) -> Ladder:
        branches = self.pack.branches

        def takes(size: Sequence[int]) -> bool:
            # One pass over a scaled image cannot be cut; a compiled model has one size.
            cut = self._spec.sampling == "windows" and self._active is not self._compiled
            return cut and all(branch.takes(size) for branch in branches)

        return Ladder(self._spec.size, takes, math.lcm(*(branch.divisor for branch in branches)))


def _in_lane(network: Callable[[Tensor], list[Tensor]], batch: Tensor) -> list[Tensor]:
    try:
        logits = network(batch)
    except RuntimeError as error:
        raise BackendError(f"the compiled model failed ({first_line(error)})") from error
    if not _are_numbers(logits):
        raise BackendError("what the networks compute are no numbers")
    return logits


def _are_numbers(logits: Sequence[Tensor]) -> bool:
    # A sum is a number only of numbers, and takes a tenth of the time of looking at each.
    return all(bool(scores.sum(dtype=torch.float32).cpu().isfinite()) for scores in logits)


def open_backend(
    pack: Pack, device: str = "auto", backend: str = "auto", precision: str = "auto", cache: Path | None = None
) -> AdaptiveBackend:
    """Open what runs a pack's networks.

    Args:
        pack: the model.
        device: ``auto`` (CUDA, then MPS, then CPU), ``cpu``, ``cuda`` or ``mps``.
        backend: ``auto``, ``torch`` or ``openvino`` (on the CPU only, compiled at once).
        precision: ``auto``, ``float32``, ``bfloat16`` or ``float16``. ``auto`` is float16 on CUDA, bfloat16 in OpenVINO
            where it was seen to give what float32 gives, else float32.
        cache: folder for compiled models; None for the user's own.

    Raises:
        SemiSegError: no such device, backend or precision, or OpenVINO was asked for and is not installed.
    """
    for kind, value, known in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise SemiSegError(
                f"unknown-{kind}", f"There is no {kind} called {value!r}", f"Use one of {', '.join(known)}", "settings"
            )
    return AdaptiveBackend(pack, device, backend, precision, cache)
