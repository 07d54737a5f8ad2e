"""A pack as one ONNX file, for ONNX Runtime, OpenVINO, TensorRT and other engines."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import torch

from ...atomic import write_atomically
from ...errors import SemiSegError, first_line
from ..pack import Pack
from .standalone import Answer

PACKAGES = ("onnx", "onnxscript")
OUTPUTS = ("probabilities", "uncertainty", "disagreement")
MANIFEST_KEY = "semiseg.model"


def write_onnx(path: Path, pack: Pack) -> None:
    """Write all branches and their vote; the manifest, which says how an image becomes input, is in its metadata.

    The input ``image`` is standardised float32 ``(cases, M, *size)``, the outputs are those of `Answer`.

    Args:
        path: the file; what is there is replaced.
        pack: the model.

    Raises:
        SemiSegError: the packages are missing, a network has no counterpart in ONNX, or the file cannot be written.
    """
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise SemiSegError(
            "missing-package", f"ONNX needs the packages {' and '.join(missing)}",
            'Install them: pip install "semiseg[onnx]"', "settings",
        )  # fmt: skip
    spec = pack.manifest.input
    # Two cases: of a single one the exporter would believe that there is never another number.
    example = torch.zeros(2, len(spec.modalities), *spec.size)
    outputs = 3 if len(pack.branches) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        try:
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    Answer(pack), (example,), input_names=["image"], output_names=list(OUTPUTS[:outputs]),
                    dynamic_shapes={"image": {0: torch.export.Dim("cases")}}, verbose=False,
                )  # fmt: skip
                assert program is not None
                program.model.metadata_props[MANIFEST_KEY] = pack.manifest.model_dump_json()
                program.save(str(draft), external_data=False)
        except Exception as error:  # the exporter's own, of many kinds
            raise SemiSegError(
                "no-onnx", f"This model's networks cannot be written as ONNX: {first_line(error)}",
                "Export it as a MONAI bundle", "writing",
            ) from error  # fmt: skip
        write_atomically(path, draft.read_bytes())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on packages that no model of ours needs from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
