"""Images made worse in fixed ways: what `degradations.json` says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from SemiSegCervicalLib.engine.image import Image

PLAN = json.loads((Path(__file__).parent / "degradations.json").read_text())
KINDS = ("noise", "blur", "gain")


def degraded(image: Image, case: str) -> Iterator[tuple[str, int, Image]]:
    """Yield every degradation of a case: kind, number of the level from 1 on, image.

    Args:
        image: the case.
        case: its name; noise is a function of the plan's seed, the name and the level.
    """
    for kind in KINDS:
        for number, level in enumerate(PLAN[kind]["levels"][str(len(image.spatial_shape))], 1):
            yield kind, number, degrade(image, kind, level, f"{PLAN['seed']} {case} {number}")


def degrade(image: Image, kind: str, level: float, noise_of: str = "") -> Image:
    """Return a degraded copy.

    Args:
        image: ``(M, *spatial)``; every modality is degraded by its own intensities.
        kind: ``noise``, ``blur`` or ``gain``.
        level: as `degradations.json` explains it.
        noise_of: names the draw of the noise.
    """
    seed = int.from_bytes(hashlib.blake2b(noise_of.encode(), digest_size=8).digest(), "little")
    rng = np.random.default_rng(seed)
    channels = []
    for channel in image.array:
        if kind == "noise":
            grains = ndimage.gaussian_filter(rng.normal(size=channel.shape), PLAN["noise"]["grain"][str(channel.ndim)])
            worse = channel + level * float(channel.std() / grains.std()) * grains
        elif kind == "blur":
            worse = ndimage.gaussian_filter(channel, level)
        else:
            low, high = float(channel.min()), float(np.percentile(channel, 99.9))
            worse = (low + level * (channel - low)).clip(low, high)
        channels.append(worse.astype(np.float32))
    return replace(image, array=np.stack(channels))
