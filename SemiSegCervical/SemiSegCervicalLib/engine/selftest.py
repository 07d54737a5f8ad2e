"""What devices are there, and whether they really compute: a driver that is too old, or a PyTorch that was built for
other cards, says that a device is available and fails at the first kernel.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ..errors import first_line

_TOLERANCE = 2e-2  # of float16, on sums of 72 products of numbers around 1
# Metal has given wrong results without an error, of some macOS for all convolutions of volumes (PyTorch's issue 197114,
# others before it): there every model is compared with the processor before it is used.
UNSURE_DEVICES = ("mps",)
_WRONG = 0.05  # of the largest logit; float32 differs by less than a thousandth
_WRONG_NUMBERS = "it computes wrong numbers"


@dataclass(frozen=True)
class DeviceReport:
    """One device.

    Attributes:
        name: as `resolve_device` takes it.
        label: what the hardware is called.
        works: a convolution ran on it, in the precision that predictions use, and gave what the processor gives.
        reason: why it does not work.
        memory_gib: its own memory; None where it shares the computer's.
    """

    name: str
    label: str
    works: bool
    reason: str = ""
    memory_gib: float | None = None


@cache
def examine_devices() -> tuple[DeviceReport, ...]:
    """Run a kernel on every device that PyTorch knows, once; the best come first, the CPU is always last."""
    reports = []
    if torch.cuda.is_available():
        try:
            label, memory = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory / 2**30
        except (RuntimeError, AssertionError) as error:
            reports.append(DeviceReport("cuda", "graphics card", False, first_line(error)))
        else:
            reason = _try("cuda", torch.float16)
            if "no kernel image" in reason:
                major, minor = torch.cuda.get_device_capability(0)
                reason = (
                    f"this PyTorch was not built for its compute capability {major}.{minor} "
                    f"(it was for {', '.join(torch.cuda.get_arch_list())})"
                )
            reports.append(DeviceReport("cuda", label, not reason, reason, round(memory, 1)))
    if torch.backends.mps.is_available():
        reason = _try("mps", torch.float32)
        reports.append(DeviceReport("mps", "Apple graphics", not reason, reason))
    label = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    return *reports, DeviceReport("cpu", label, True)


def thread_count() -> int:
    """Return how many threads PyTorch computes with on the CPU."""
    return torch.get_num_threads()


def _try(device: str, dtype: torch.dtype) -> str:
    """Return why a convolution does not work on a device, or an empty string."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 8, 16, 16, generator=generator)
    weights = torch.randn(4, 8, 3, 3, generator=generator) / 72**0.5
    wanted = torch.nn.functional.conv2d(image, weights)
    try:
        found = torch.nn.functional.conv2d(image.to(device, dtype), weights.to(device, dtype)).float().cpu()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    if not torch.allclose(found, wanted, atol=_TOLERANCE, rtol=_TOLERANCE):
        return _WRONG_NUMBERS
    return ""


def compare_with_processor(
    networks: Callable[[Tensor], Sequence[Tensor]],
    reference: Callable[[Tensor], Sequence[Tensor]],
    shape: Sequence[int],
) -> None:
    """Run networks on noise, and compare what they give.

    Args:
        networks: float32 ``(1, M, *size)`` on the CPU to the logits of each branch, computed by a device.
        reference: the same, computed by the processor.
        shape: ``(1, M, *size)``.

    Raises:
        RuntimeError: they differ by more than rounding explains.
    """
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    for found, wanted in zip([f.float().cpu() for f in networks(noise)], reference(noise), strict=True):
        if not torch.allclose(found, wanted, rtol=0.0, atol=_WRONG * max(1.0, float(wanted.abs().max()))):
            raise RuntimeError(_WRONG_NUMBERS)
