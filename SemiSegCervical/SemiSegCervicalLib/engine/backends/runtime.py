"""OpenVINO itself: what is installed, and running a compiled model. The only file here that runs one."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from typing import Any

import torch
from torch import Tensor

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def installed_version() -> str | None:
    """Return the version of the OpenVINO package; None where it is missing. Imports nothing."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def module() -> Any:
    """Import OpenVINO, with its telemetry out.

    Its converter reports every use to an analytics service unless the user once refused; nothing leaves a hospital's
    computer because of us. Where the telemetry package cannot be imported, OpenVINO takes a stub of its own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def core() -> Any:
    """Return the one OpenVINO core of this process."""
    return module().Core()


def processor() -> str:
    """Name the processor and what it calculates in: a compiled model belongs to both."""
    abilities = ",".join(sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
    return f"{core().get_property('CPU', 'FULL_DEVICE_NAME')} {abilities}"


def has_bfloat16() -> bool:
    """Say whether the processor multiplies in bfloat16 itself; where it does not, there is nothing to win."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def settings(precision: str, threads: int, lanes: int = 1) -> dict[str, Any]:
    """Return the settings of a model: one image at a time, all threads on it, or several, each with its share of them.

    A single frame should be there as soon as it can. Batches of two and four took as long per image as single ones,
    within what a measurement scatters. Threads are not tied to cores, where they would wait while others work: on a
    computer that was asked for twice as much as it can do, a frame took a third less time, on an idle one as much.
    """
    how = {"PERFORMANCE_HINT": "LATENCY"} if lanes == 1 else {"NUM_STREAMS": lanes}
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "ENABLE_CPU_PINNING": False}
    return {**hints, "INFERENCE_NUM_THREADS": threads, **how}


def load(blob: bytes, precision: str, threads: int, lanes: int = 1) -> list[Network]:
    """Load what `convert` exported; the precision is chosen here, for a blob serves every one.

    Args:
        blob: the compiled model.
        precision: ``float32`` or ``bfloat16``.
        threads: of all lanes together.
        lanes: how many images may be computed at once.

    Returns:
        A network for each lane; different threads may call them at the same time.
    """
    model = core().import_model(blob, "CPU", settings(precision, threads, lanes))
    return [Network(model) for _ in range(lanes)]


class Network:
    """All branches compiled as one model of a fixed input size, one image at a time."""

    def __init__(self, model: Any) -> None:
        """Reserve what a call needs of a compiled model."""
        self._request = model.create_infer_request()
        self._outputs = [tuple(output.shape)[1:] for output in self._request.model_outputs]

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Return float32 logits ``(N, C, *size)`` per branch of a float32 batch ``(N, M, *size)`` on the CPU."""
        tensor = module().Tensor
        results = [torch.empty(len(batch), *shape) for shape in self._outputs]
        batch = batch.contiguous()
        for row in range(len(batch)):
            # Input and results are used in place: a window of a volume is many megabytes.
            self._request.set_input_tensor(tensor(batch[row : row + 1].numpy(), shared_memory=True))
            for number, result in enumerate(results):
                place = tensor(result[row : row + 1].numpy(), shared_memory=True)
                self._request.set_output_tensor(number, place)
            self._request.infer()
        return results
