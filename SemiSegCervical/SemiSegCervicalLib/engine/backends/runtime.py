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


def settings(precision: str, threads: int) -> dict[str, Any]:
    """Return the settings of a model: one image at a time, all threads on it.

    A frame should be there as soon as it can, and a second image at once would hold a second image's features. Batches
    of two and four took as long per image as single ones, within what a measurement scatters.
    """
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }


class Network:
    """All branches compiled as one model of a fixed input size, one image at a time."""

    def __init__(self, blob: bytes, precision: str, threads: int) -> None:
        """Load what `convert` exported; the precision is chosen here, for a blob serves every one."""
        self._request = core().import_model(blob, "CPU", settings(precision, threads)).create_infer_request()
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
