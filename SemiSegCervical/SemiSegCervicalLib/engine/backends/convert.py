"""From a pack to a compiled OpenVINO model, checked against PyTorch, in a process of its own.

Converting and compiling are native code that has crashed on some networks. `convert` starts this file as a program,
so that a crash is a fault that can be reported and not the end of the caller.

    python -m SemiSegCervicalLib.engine.backends.convert FOLDER THREADS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import SemiSegError
from ..pack import Pack, load_pack, save_pack
from .agreement import Agreement, compare, window_weights
from .base import BackendError
from .cache import BLOB
from .runtime import core, has_bfloat16, load, module, settings
from .torch_backend import TorchBackend

PACK, SAMPLES, REPORT = "model.semiseg", "samples.npy", "report.json"
# Less than after what a job that does not proceed counts as hanging: PyTorch computes then.
TIMEOUT_SECONDS = 600.0
_BEFORE_RESULT = ("Add", "Convert", "Reshape")


def convert(
    pack: Pack, samples: Tensor, folder: Path, threads: int, timeout: float = TIMEOUT_SECONDS
) -> dict[str, Agreement]:
    """Compile a pack in a child process and compare it with PyTorch.

    Args:
        pack: the model, on any device.
        samples: float32 ``(N, M, *size)``, real network input.
        folder: an empty folder; the compiled model is left in it as `cache.BLOB`.
        threads: that the child may use.
        timeout: seconds until the child is given up.

    Returns:
        The agreement with float32 PyTorch by precision: ``float32``, and ``bfloat16`` where the processor has it.

    Raises:
        BackendError: there is no room for its files, or the child crashed, failed or took too long.
    """
    try:
        save_pack(folder / PACK, pack)
        np.save(folder / SAMPLES, samples.float().cpu().numpy())
    except (OSError, SemiSegError) as error:
        raise BackendError(f"the model could not be written for converting it ({_told(error)})") from error
    command = [sys.executable, "-m", __name__, str(folder), str(threads)]
    # The library may have been found by sys.path alone, which no child inherits.
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        child = subprocess.run(
            command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"converting the model took longer than {timeout:.0f} s") from error
    except OSError as error:
        raise BackendError(f"no process for converting the model could be started ({error.strerror})") from error
    if child.returncode:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        how = f"status {child.returncode}" if child.returncode > 0 else f"signal {-child.returncode}"
        raise BackendError(f"converting the model failed ({how}{f': {said[-1][:200]}' if said else ''})")
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        agreements = {precision: Agreement(**figures) for precision, figures in report.items()}
        if "float32" not in agreements or not (folder / BLOB).stat().st_size:
            raise ValueError
    except (OSError, ValueError, TypeError) as error:
        raise BackendError("converting the model left nothing usable") from error
    return agreements


def _told(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, SemiSegError) and error.__cause__ else error
    return str(getattr(cause, "strerror", None) or cause)


class _AllBranches(nn.Module):
    """The plain networks side by side, each with the modalities that it reads."""

    def __init__(self, networks: Sequence[nn.Module], modalities: Sequence[tuple[int, ...]], count: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.modalities = [None if m == tuple(range(count)) else list(m) for m in modalities]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            network(x if m is None else x[:, m]) for network, m in zip(self.networks, self.modalities, strict=True)
        )


def compile_pack(pack: Pack, threads: int) -> bytes:
    """Convert and compile all branches as one model for one image of the pack's size."""
    manifest = pack.manifest
    modalities = [spec.modalities for spec in manifest.branches]
    joined = _AllBranches([b.network for b in pack.branches], modalities, len(manifest.input.modalities)).eval()
    shape = [1, len(manifest.input.modalities), *manifest.input.size]
    # A trace of a fixed shape: with open shapes the converter gave wrong ones, or crashed.
    model = module().convert_model(joined, example_input=torch.zeros(shape), input=[shape])
    _end_on_convolutions(model)
    return core().compile_model(model, "CPU", settings("float32", threads)).export_model().getvalue()


def _end_on_convolutions(model: Any) -> None:
    """Append a convolution that changes nothing where a branch ends on transposed ones.

    OpenVINO leaves what follows the last convolution in float32, and a transposed one does not count: a whole decoder
    of them would not be reduced. Measured on `unet`: 5.5 instead of 11.9 ms; in float32 it costs next to nothing.
    """
    opset = module().opset13
    for result in model.get_results():
        source = result.input_value(0)
        node = source.get_node()
        while node.get_type_name() in _BEFORE_RESULT:
            node = node.input_value(0).get_node()
        if node.get_type_name() != "ConvolutionBackpropData":
            continue
        channels, dims = source.get_shape()[1], len(source.get_shape()) - 2
        identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, *(1,) * dims)
        zeros, ones = [0] * dims, [1] * dims
        plain = opset.convolution(source, opset.constant(identity), ones, zeros, zeros, ones)
        result.input(0).replace_source_output(plain.output(0))
    model.validate_nodes_and_infer_types()


def main(folder: Path, threads: int) -> None:
    """Do the child's work: compile, export, load as the parent will, compare, report."""
    torch.set_num_threads(threads)
    pack = load_pack(folder / PACK)
    samples = torch.from_numpy(np.load(folder / SAMPLES, allow_pickle=False))
    blob = compile_pack(pack, threads)
    reference = TorchBackend(pack, "cpu", "float32")(samples)
    temperatures, weights = pack.manifest.calibration.temperatures, window_weights(pack.manifest.input)
    report = {}
    for precision in ("float32", "bfloat16") if has_bfloat16() else ("float32",):
        (network,) = load(blob, precision, threads)
        found = network(samples)
        report[precision] = compare(reference, found, temperatures, weights).as_dict()
    (folder / BLOB).write_bytes(blob)
    (folder / REPORT).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
