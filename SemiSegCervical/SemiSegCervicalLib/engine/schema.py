"""What ``model.json`` of a model pack may say. Reading one validates every field and bounds every size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FORMAT_VERSION = 1
VOXEL_LIMIT = 2**24

# Packs come from strangers, and these texts reach terminals and panels: control characters would be commands there.
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Text = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """Unknown fields are errors, so that a newer format is never half understood."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SegmentClass(Strict):
    """One foreground class: label value, name, colour (RGB, 0 to 1) and terminology entry (may be empty)."""

    value: Annotated[int, Field(ge=1, le=30)]
    name: Name
    color: tuple[Unit, Unit, Unit]
    terminology: Annotated[str, Field(max_length=1000)] = ""


Share = Annotated[float, Field(ge=0, le=0.95)]


class IntensityRange(Strict):
    """How a modality is standardised whose intensities mean the same in every image, as Hounsfield units do.

    Attributes:
        low: intensities are clipped to this at least,
        high: and to this at most.
        mean: subtracted from the clipped intensities,
        deviation: by which the difference is divided.
        hounsfield: they are Hounsfield units: the images that the range rests on show air.
    """

    low: float
    high: float
    mean: float
    deviation: Annotated[float, Field(gt=0)]
    hounsfield: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> IntensityRange:
        if not self.low < self.high or not self.low <= self.mean <= self.high:
            raise ValueError("low must be less than high, and mean between them")
        return self


class InputSpec(Strict):
    """How a source image becomes network input; the network itself always sees `size` (array order).

    - ``fit``: the image keeps its aspect ratio, is scaled to fit `size` and padded at the far ends: one pass.
    - ``windows``: the image is turned so that its array axes run towards superior, posterior, left (volumes only),
      resampled to `spacing` and covered by windows of `size`, each side overlapping the next by the share `overlap`.

    Intensities are standardised per image and modality: mean 0, standard deviation 1, clipped to +-`clip`. A modality
    that has a range is clipped to it before it is resampled, and standardised by it instead of by the image.

    Attributes:
        spacing: mm in array order, of ``windows`` only; None keeps the source's own voxels.
        overlap: one share for all axes, or one for each.
        ranges: one for each modality, None where each image is standardised by itself; empty where all are.
    """

    spatial_dims: Literal[2, 3] = 2
    modalities: Annotated[tuple[Name, ...], Field(min_length=1, max_length=8)]
    sampling: Literal["fit", "windows"] = "fit"
    size: Annotated[tuple[Annotated[int, Field(ge=16, le=2048)], ...], Field(min_length=2, max_length=3)]
    spacing: (
        Annotated[tuple[Annotated[float, Field(gt=1e-4, le=1e3)], ...], Field(min_length=2, max_length=3)] | None
    ) = None
    overlap: Share | Annotated[tuple[Share, ...], Field(min_length=2, max_length=3)] = 0.5
    intensity: Literal["standardise"] = "standardise"
    clip: Annotated[float, Field(gt=0, le=100)] = 4.0
    ranges: Annotated[tuple[IntensityRange | None, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _size_matches(self) -> InputSpec:
        if len(self.size) != self.spatial_dims:
            raise ValueError("size must have one number per spatial dimension")
        if math.prod(self.size) > VOXEL_LIMIT:
            raise ValueError(f"size must not hold more than {VOXEL_LIMIT} voxels")
        if self.spacing is not None and self.sampling == "fit":
            raise ValueError("an image that is scaled to fit has no spacing of its own")
        if self.spacing is not None and len(self.spacing) != self.spatial_dims:
            raise ValueError("spacing must have one number per spatial dimension")
        if isinstance(self.overlap, tuple) and len(self.overlap) != self.spatial_dims:
            raise ValueError("overlap must be one number, or one per spatial dimension")
        if self.ranges and len(self.ranges) != len(self.modalities):
            raise ValueError("ranges must be one per modality")
        return self

    @property
    def overlaps(self) -> tuple[float, ...]:
        """Overlap along each axis."""
        return self.overlap if isinstance(self.overlap, tuple) else (self.overlap,) * self.spatial_dims

    @property
    def fixed(self) -> tuple[IntensityRange | None, ...]:
        """The range of each modality, None where each image is standardised by itself."""
        return self.ranges or (None,) * len(self.modalities)

    def of(self, present: Sequence[int]) -> InputSpec:
        """Return the input that consists of some of the modalities, by their indices."""
        return self.model_copy(
            update={
                "modalities": tuple(self.modalities[k] for k in present),
                "ranges": tuple(self.ranges[k] for k in present) if self.ranges else (),
            }
        )


class BranchSpec(Strict):
    """One network of the pack: its weights file, architecture and the modalities (indices) that it reads."""

    file: Annotated[str, Field(pattern=r"^branch-[1-9]\.safetensors$")]
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    arguments: dict[str, Any] = Field(default_factory=dict)
    modalities: Annotated[tuple[Annotated[int, Field(ge=0, le=7)], ...], Field(min_length=1, max_length=8)]


Temperatures = Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1, max_length=9)]
Sharpness = Annotated[float, Field(ge=0.1, le=10)]


class SubsetCalibration(Strict):
    """What suits some of the branches where a case lacks what the others read; see `Calibration`.

    Attributes:
        branches: their indices, ascending.
    """

    branches: Annotated[tuple[Annotated[int, Field(ge=0, le=8)], ...], Field(min_length=1, max_length=8)]
    temperatures: Temperatures
    sharpness: Sharpness = 1.0


class Calibration(Strict):
    """Softmax temperature of each branch and where it was fitted; ``fitted_on`` empty means not calibrated.

    Attributes:
        sharpness: exponent of the mean probabilities by which Dice is predicted; see `uncertainty.sharpen`.
        subsets: the same for those branches that read what a case with missing modalities has.
    """

    temperatures: Temperatures
    sharpness: Sharpness = 1.0
    fitted_on: Text = ""
    subsets: Annotated[tuple[SubsetCalibration, ...], Field(max_length=254)] = ()

    def of(self, branches: Sequence[int]) -> Calibration:
        """Return the calibration of some of the branches, ascending: their own where there is one, else their part."""
        own = next((s for s in self.subsets if s.branches == tuple(branches)), None)
        return Calibration(
            temperatures=own.temperatures if own else tuple(self.temperatures[k] for k in branches),
            sharpness=own.sharpness if own else self.sharpness,
            fitted_on=self.fitted_on,
        )


FEATURES = 19
"""Numbers that describe how one modality of an image looks; see `typicality.appearance`."""
Features = Annotated[tuple[float, ...], Field(min_length=1, max_length=8 * FEATURES)]


class TypicalImages(Strict):
    """How the training images look, by the features of `typicality.appearance`; no image can be made of it.

    Attributes:
        images: how many it rests on.
        mean, spread: of the features.
        correlation: between the features, symmetric.
        limit: the distance beyond which an image is unlike them.
    """

    images: Annotated[int, Field(ge=1)]
    mean: Features
    spread: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=8 * FEATURES)]
    correlation: Annotated[tuple[Features, ...], Field(min_length=1, max_length=8 * FEATURES)]
    limit: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _square(self) -> TypicalImages:
        count = len(self.mean)
        if {len(self.spread), len(self.correlation), *map(len, self.correlation)} != {count}:
            raise ValueError("mean, spread and correlation must be of the same features")
        return self


class PostProcess(Strict):
    """What is done to a label map after the vote: keep each class's largest component only, fill each class's holes."""

    largest_component: bool = False
    fill_holes: bool = False


class Quality(Strict):
    """One measured figure: metric, value, on what, and on how many cases it rests."""

    metric: Name
    value: float
    data: Text
    cases: Annotated[int, Field(ge=0)]


LEARNED_MOST = 2**17
"""Digests that a manifest may hold: 3 MB of the 4 that it may have."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Provenance(Strict):
    """How the weights came to be. The data are named by a fingerprint and by digests only.

    Attributes:
        learned: digests of the annotated images and slices that the model has learned from, and those that it started
            from; no image can be made of them. Empty where that is not known.
    """

    method: Name
    seed: int
    iterations: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    labelled: Annotated[int, Field(ge=0)]
    unlabelled: Annotated[int, Field(ge=0)]
    data_fingerprint: Name
    started_from: Text = ""
    learned: Annotated[tuple[Digest, ...], Field(max_length=LEARNED_MOST)] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    threads: int | None = None
    precision: str = ""


class PackManifest(Strict):
    """The whole of ``model.json``."""

    format_version: Literal[1] = 1
    name: Name
    description: Text = ""
    input: InputSpec
    classes: Annotated[tuple[SegmentClass, ...], Field(min_length=1, max_length=30)]
    branches: Annotated[tuple[BranchSpec, ...], Field(min_length=1, max_length=9)]
    calibration: Calibration
    typical: TypicalImages | None = None
    postprocess: PostProcess = PostProcess()
    quality: tuple[Quality, ...] = ()
    provenance: Provenance
    licence: Text = ""
    attribution: Text = ""

    @field_validator("classes")
    @classmethod
    def _values_consecutive(cls, classes: tuple[SegmentClass, ...]) -> tuple[SegmentClass, ...]:
        if [c.value for c in classes] != list(range(1, len(classes) + 1)):
            raise ValueError("class values must be 1, 2, 3, ...")
        if len({c.name for c in classes}) != len(classes):
            raise ValueError("class names must differ")
        return classes

    @model_validator(mode="after")
    def _parts_agree(self) -> PackManifest:
        if len(self.calibration.temperatures) != len(self.branches):
            raise ValueError("one temperature per branch")
        for subset in self.calibration.subsets:
            if len(subset.temperatures) != len(subset.branches):
                raise ValueError("one temperature per branch of a subset")
            if list(subset.branches) != sorted(set(subset.branches)) or subset.branches[-1] >= len(self.branches):
                raise ValueError("a calibrated subset holds branches that the model does not have, or not in order")
        if self.typical and len(self.typical.mean) != FEATURES * len(self.input.modalities):
            raise ValueError("the typical images have other modalities than the input")
        if len({b.file for b in self.branches}) != len(self.branches):
            raise ValueError("branches must have files of their own")
        if any(m >= len(self.input.modalities) for b in self.branches for m in b.modalities):
            raise ValueError("a branch reads a modality that the input does not have")
        return self
