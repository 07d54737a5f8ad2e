"""The networks a branch may be: all from MONAI, built from bounded arguments only.

A pack names an architecture and its arguments; both are checked here before anything is built, so that a pack from a
stranger can neither run code nor ask for a network of any size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from monai.networks.nets import BasicUNet, SegResNet, SwinUNETR, UNet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from ..errors import SemiSegError

_CHANNELS_IN_SUM = 1024


def _bounded(channels: tuple[int, ...]) -> tuple[int, ...]:
    # Weights grow with products of neighbours: a sum bounds them, at about 200 MB in 3D, before anything is built.
    if sum(channels) > _CHANNELS_IN_SUM:
        raise ValueError(f"the channels of all levels add up to more than {_CHANNELS_IN_SUM}")
    return channels


Width = Annotated[int, Field(ge=4, le=512)]
Channels = Annotated[tuple[Width, ...], Field(min_length=3, max_length=6), AfterValidator(_bounded)]
FiveChannels = Annotated[tuple[Width, ...], Field(min_length=5, max_length=5), AfterValidator(_bounded)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UNetArguments(_Arguments):
    """Arguments of `unet` and `residual_unet`: channels per level, normalisation, dropout in every unit.

    Batch norm folds into the convolutions at inference; instance norm does not mix the images of a batch.
    """

    channels: Channels = (16, 32, 64, 128, 256)
    norm: Literal["instance", "batch"] = "instance"
    dropout: Dropout = 0.0


class BasicUNetArguments(_Arguments):
    """Arguments of `basic_unet`: channels of the five levels, dropout in every double convolution."""

    channels: FiveChannels = (16, 32, 64, 128, 256)
    dropout: Dropout = 0.0


class SwinUNETRArguments(_Arguments):
    """Arguments of `swin_unetr`: feature size (a multiple of 12), drop-path rate."""

    feature_size: Annotated[int, Field(ge=12, le=48, multiple_of=12)] = 12
    drop_path: Dropout = 0.1


class SegResNetArguments(_Arguments):
    """Arguments of `segresnet`: filters at full resolution (doubled per level), residual blocks per level, dropout.

    The decoder's ``nontrainable`` upsampling (1x1 convolution, linear interpolation) cannot print a checkerboard on the
    uncertainty; ``deconv`` (transposed convolution) takes a fifth less time in a forward pass, in training the same.
    """

    init_filters: Annotated[int, Field(ge=4, le=64)] = 8
    blocks_down: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=3, max_length=6)] = (
        1, 2, 2, 4,
    )  # fmt: skip
    dropout: Dropout = 0.0
    upsample: Literal["nontrainable", "deconv"] = "nontrainable"

    @model_validator(mode="after")
    def _bounded(self) -> SegResNetArguments:
        _bounded(tuple(self.init_filters * 2**level for level in range(len(self.blocks_down))))
        return self


@dataclass(frozen=True)
class Architecture:
    """How to build one kind of network and where its features are.

    Attributes:
        arguments: the bounded arguments; their defaults are the recommended network.
        build: ``(spatial_dims, in_channels, out_channels, arguments) -> network``.
        divisor: ``arguments -> D``: each side of the input must be a multiple of D.
        taps: ``arguments -> {tap: path of the submodule}`` with ``encoder-0`` (finest) ..., ``bottleneck``, and
            ``decoder-1`` and ``decoder-2``, the decoder's maps at stride 2 and 4 (the bottleneck where that is
            its stride).
        head: path of the submodule whose layers carry the class list.
        summary: one line for people.
    """

    arguments: type[_Arguments]
    build: Callable[[int, int, int, Any], nn.Module]
    divisor: Callable[[Any], int]
    taps: Callable[[Any], dict[str, str]]
    head: str
    summary: str


def _unet(
    residual_units: int, spatial_dims: int, in_channels: int, out_channels: int, arguments: UNetArguments
) -> nn.Module:
    return UNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=arguments.channels,
        strides=(2,) * (len(arguments.channels) - 1),
        num_res_units=residual_units,
        dropout=arguments.dropout,
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm=(arguments.norm, {"affine": True}),
    )


def _residual_unet(spatial_dims: int, in_channels: int, out_channels: int, arguments: UNetArguments) -> nn.Module:
    # MONAI's last residual unit normalises what it puts out. Normalised logits would show every class in every image,
    # so it puts out features, and a convolution of one voxel turns them into logits.
    features = max(8, out_channels)
    head = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(features, out_channels, kernel_size=1)
    body = _unet(2, spatial_dims, in_channels, features, arguments)
    return nn.Sequential(OrderedDict(body=body, head=head))


def _unet_taps(arguments: UNetArguments, path: str = "model") -> dict[str, str]:
    taps = {}
    for level in range(len(arguments.channels) - 1):
        taps[f"encoder-{level}"] = f"{path}.0"
        if level in (1, 2):
            taps[f"decoder-{level}"] = f"{path}.2"
        path += ".1.submodule"
    taps["bottleneck"] = path
    taps.setdefault("decoder-2", path)
    return taps


def _basic_unet(spatial_dims: int, in_channels: int, out_channels: int, arguments: BasicUNetArguments) -> nn.Module:
    return BasicUNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        features=(*arguments.channels, arguments.channels[0]),
        dropout=arguments.dropout,
    )


def _segresnet(spatial_dims: int, in_channels: int, out_channels: int, arguments: SegResNetArguments) -> nn.Module:
    return SegResNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        init_filters=arguments.init_filters,
        blocks_down=arguments.blocks_down,
        blocks_up=(1,) * (len(arguments.blocks_down) - 1),
        dropout_prob=arguments.dropout or None,
        norm=("INSTANCE", {"affine": True}),
        upsample_mode=arguments.upsample,
    )


def _segresnet_taps(arguments: SegResNetArguments) -> dict[str, str]:
    deepest = len(arguments.blocks_down) - 1
    taps = {f"encoder-{level}": f"down_layers.{level}" for level in range(deepest)}
    taps["bottleneck"] = f"down_layers.{deepest}"
    # Its decoder counts from the deepest level up.
    taps["decoder-1"] = f"up_layers.{deepest - 2}"
    taps["decoder-2"] = f"up_layers.{deepest - 3}" if deepest > 2 else taps["bottleneck"]
    return taps


def _swin_unetr(spatial_dims: int, in_channels: int, out_channels: int, arguments: SwinUNETRArguments) -> nn.Module:
    try:
        return SwinUNETR(
            in_channels=in_channels,
            out_channels=out_channels,
            feature_size=arguments.feature_size,
            dropout_path_rate=arguments.drop_path,
            spatial_dims=spatial_dims,
        )
    except ImportError as error:
        raise SemiSegError(
            "missing-package",
            "The architecture swin_unetr needs the Python package einops, which is not installed",
            "Install einops (pip install einops) or choose another architecture",
            "loading",
        ) from error


ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        UNetArguments,
        partial(_unet, 0),
        lambda a: 2 ** (len(a.channels) - 1),
        _unet_taps,
        "model.2",
        "U-Net of strided convolutions, one per level: the fastest",
    ),
    "residual_unet": Architecture(
        UNetArguments,
        _residual_unet,
        lambda a: 2 ** (len(a.channels) - 1),
        partial(_unet_taps, path="body.model"),
        "head",
        "U-Net of residual units, two convolutions each",
    ),
    "basic_unet": Architecture(
        BasicUNetArguments,
        _basic_unet,
        lambda a: 16,
        lambda a: {
            "encoder-0": "conv_0",
            **{f"encoder-{i}": f"down_{i}" for i in (1, 2, 3)},
            "bottleneck": "down_4",
            "decoder-1": "upcat_2",
            "decoder-2": "upcat_3",
        },
        "final_conv",
        "classical U-Net of double convolutions at full resolution: about five times the work of unet",
    ),
    "segresnet": Architecture(
        SegResNetArguments,
        _segresnet,
        lambda a: 2 ** (len(a.blocks_down) - 1),
        _segresnet_taps,
        "conv_final.2",
        "residual encoder with a light decoder, from full resolution on",
    ),
    "swin_unetr": Architecture(
        SwinUNETRArguments,
        _swin_unetr,
        lambda a: 32,
        lambda a: {
            "encoder-0": "encoder1",
            "encoder-1": "encoder2",
            "encoder-2": "encoder3",
            "encoder-3": "encoder4",
            "encoder-4": "swinViT.layers3.0",
            "bottleneck": "encoder10",
            "decoder-1": "decoder2",
            "decoder-2": "decoder3",
        },
        "out",
        "Swin transformer encoder with a convolutional decoder: for a GPU",
    ),
}


def resolve(name: str, arguments: dict[str, Any]) -> tuple[Architecture, _Arguments]:
    """Look up an architecture and check its arguments.

    Raises:
        SemiSegError: unknown name, unknown argument, or an argument out of bounds.
    """
    if name not in ARCHITECTURES:
        raise SemiSegError(
            "unknown-architecture",
            f"The model uses the architecture {name!r}, which this version does not know",
            f"Update SemiSeg, or use a model of {', '.join(ARCHITECTURES)}",
            "loading",
        )
    architecture = ARCHITECTURES[name]
    try:
        return architecture, architecture.arguments.model_validate(arguments)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "?"
        raise SemiSegError(
            "bad-architecture",
            f"The argument {where} of architecture {name} is not usable: {first['msg']}",
            "Use a pack that SemiSeg wrote, or correct the argument",
            "loading",
        ) from error
