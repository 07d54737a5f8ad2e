"""What a model for volumes and an image must have in common, whether a panel or the command line asks."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import SemiSegError

OTHER_MODEL = "choose a model for single images"


def check_volume(size: Sequence[int]) -> None:
    """Make sure that an image is a volume: of a single slice a network for volumes makes something, and nothing good.

    Args:
        size: in array order, without modalities.

    Raises:
        SemiSegError: it has no third axis, or one of a single voxel.
    """
    if len(size) < 3 or min(size) == 1:
        raise SemiSegError(
            "wrong-dimensions", "This model segments volumes, and the chosen image is a single slice",
            f"Choose the whole volume, or {OTHER_MODEL}", "reading",
        )  # fmt: skip
