"""The model that the worker keeps loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.backends.ladder import release
from ..engine.pack import Pack, load_pack, read_manifest
from ..engine.predict import Predictor
from ..engine.schema import PackManifest
from ..errors import SemiSegError
from ..packs import ENDING, signature
from .protocol import MODEL_CHANGED, Failure, Model, ModelCard, QualityFigure, SegmentClass
from .server_jobs import ServerJob


@dataclass(frozen=True)
class _Key:
    model: Model
    signature: str
    present: tuple[int, ...]


class Models:
    """Loads packs, and keeps the last predictor: a second job with the same model begins at once.

    One only: predictors move a pack's networks between devices, and memory is dear.
    """

    def __init__(self) -> None:
        self._key: _Key | None = None
        self._predictor: Predictor | None = None
        self._device = ""

    def get(self, model: Model, present: Sequence[int], job: ServerJob) -> Predictor:
        """Return the predictor of a model for cases that have some of its modalities.

        Args:
            model: the pack and what it is to run on.
            present: indices of the modalities, ascending; empty means all.
            job: to say what is done.

        Raises:
            SemiSegError: no usable pack, another version than the one that is meant, no such device, or one that
                failed its test.
        """
        path = Path(model.pack)
        key = _Key(model, signature(path), tuple(present))
        if model.signature and key.signature and model.signature != key.signature:
            raise SemiSegError(
                MODEL_CHANGED, f'Another version of the model "{path.name.removesuffix(ENDING)}" is in use now',
                "Begin again: its description is renewed", "loading",
            )  # fmt: skip
        # One that had to leave its device returns to it for the next case, which may be smaller.
        if self._predictor is not None and self._key == key and str(self._predictor.device.type) == self._device:
            return self._predictor
        self.drop()
        job.progress("loading the model", 0, 1)
        pack = load_pack(path)
        if present:
            pack = self._reading(pack, tuple(present))
        predictor = Predictor(pack, model.device, model.memory_gib, model.backend)
        self._key, self._predictor, self._device = key, predictor, predictor.device.type
        job.progress("loading the model", 1, 1)
        return predictor

    def drop(self) -> None:
        """Forget the model: it is not needed any more, or a job was interrupted in the middle of using it."""
        if self._predictor is not None:
            device = self._predictor.device
            self._key = self._predictor = None
            # Its parts refer to each other: Python alone would clear them away later, after some more models.
            release(device)

    @staticmethod
    def _reading(pack: Pack, present: tuple[int, ...]) -> Pack:
        names = pack.manifest.input.modalities
        fault = None
        if list(present) != sorted(set(present)) or present[-1] >= len(names):
            fault = f"The modalities {list(present)} are not among the {len(names)} of the model"
        else:
            try:
                return pack.reading(present)
            except ValueError:
                fault = f"No part of the model works with {', '.join(names[m] for m in present)} alone"
        raise SemiSegError("wrong-modalities", fault, f"The model knows {', '.join(names)}", "reading")


def describe(path: Path) -> ModelCard:
    """Return what a pack says of itself; a pack that cannot be read is described by its failure."""
    try:
        return card_of(path, read_manifest(path))
    except SemiSegError as error:
        return ModelCard(str(path), failure=Failure(error.code, error.stage, error.cause, error.remedy))


def card_of(path: Path, manifest: PackManifest) -> ModelCard:
    """Return a manifest as the client is told."""
    spec = manifest.input
    return ModelCard(
        path=str(path),
        name=manifest.name,
        description=manifest.description,
        spatial_dims=spec.spatial_dims,
        sampling=spec.sampling,
        size=tuple(spec.size),
        spacing=spec.spacing,
        modalities=tuple(spec.modalities),
        classes=tuple(SegmentClass(c.value, c.name, tuple(c.color), c.terminology) for c in manifest.classes),
        branches=len(manifest.branches),
        reads=tuple(tuple(branch.modalities) for branch in manifest.branches),
        calibrated_on=manifest.calibration.fitted_on,
        quality=tuple(QualityFigure(q.metric, q.value, q.data, q.cases) for q in manifest.quality),
        licence=manifest.licence,
        attribution=manifest.attribution,
        signature=signature(path),
    )
