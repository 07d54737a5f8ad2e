"""The training methods as panels list them; standard library only, for the recipes themselves import PyTorch.

The recipes are in `learning/methods/`; a test holds what is said here of their needs to them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodText:
    """What is said of a method.

    Attributes:
        name: of the registry, for `Train.method`.
        title: for people.
        use: one line on when to choose it.
        needs_unlabelled: it learns from what is not annotated, and refuses data in which everything is.
        needs_modalities: it trains a network for each modality, and refuses data with only one.
        dimensions: of the images that it takes.
        minutes: of a processor that its steps need before they are worth more than those of its supervised baseline,
            as far as that was measured (`bench proposal`).
    """

    name: str
    title: str
    use: str
    needs_unlabelled: bool = True
    needs_modalities: bool = False
    dimensions: tuple[int, ...] = (2, 3)
    minutes: float = 0.0

    def fits(self, dimensions: int, unlabelled: bool, modalities: int, incomplete: bool = False) -> bool:
        """Return whether it can train on such data.

        Args:
            dimensions: 2 for pictures and frames, 3 for volumes.
            unlabelled: something is not annotated.
            modalities: how many there are.
            incomplete: some cases lack one of them, which only a network for each modality can do without.
        """
        return (
            dimensions in self.dimensions
            and (unlabelled or not self.needs_unlabelled)
            and (modalities > 1 or not self.needs_modalities)
            and (self.needs_modalities or not incomplete)
        )


PROPOSED = "semiseg"
"""In place of a method's name: the one that `proposed` returns."""
# Those to try first lead, baselines follow.
METHODS = (
    MethodText(
        "cross_supervision", "Dual-network cross-supervision with contrast (A)",
        "Few annotated 2D images or frames, and many others.",
        minutes=10,
    ),
    MethodText(
        "dual_uncertainty", "Dual networks with uncertainty (B)", "Few annotated volumes, and many others.",
        minutes=10,
    ),
    MethodText(
        "multiscale_contrast", "Cross-supervision with contrast of voxels and patches (C)",
        "Few annotated images or volumes and many others, of structures that look alike.",
    ),
    MethodText(
        "semi_cml", "Contrastive mutual learning of modalities (D)",
        "Registered images of several modalities, of which one must do where the others are missing.",
        needs_modalities=True, minutes=15,
    ),
    MethodText(
        "supervised", "Supervised",
        "Learns from what is annotated alone: where everything is, or to compare others with.",
        needs_unlabelled=False,
    ),
    MethodText(
        "supervised_modalities", "Supervised, one network for each modality",
        "Cases of which some lack a modality, all annotated; or as the baseline of semi_cml.",
        needs_unlabelled=False, needs_modalities=True,
    ),
    MethodText(
        "unimatch", "UniMatch", "The strongest baseline of one network, at the price of five views in every step."
    ),
    MethodText(
        "bcp", "Bidirectional copy-paste (BCP)", "Few annotated images, and segments that are in one piece each."
    ),
    MethodText("cps", "Cross pseudo supervision (CPS)", "The plainest baseline of two networks."),
    MethodText("mean_teacher", "Mean Teacher", "The plainest baseline that learns from unlabelled images."),
    MethodText(
        "ua_mt", "Uncertainty-aware Mean Teacher (UA-MT)",
        "Mean Teacher that learns only where its teacher is certain, at the price of eight more passes.",
    ),
    MethodText(
        "semi_cml_original", "Semi-CML with the oddities of its public code",
        "Comparison with semi_cml; list the stronger modality last.",
        needs_modalities=True,
    ),
)  # fmt: skip
_BY_NAME = {method.name: method for method in METHODS}


def describe(name: str) -> MethodText:
    """Return what is said of a method.

    Raises:
        KeyError: there is none of that name.
    """
    return _BY_NAME[name]


def proposed(
    dimensions: int,
    unlabelled: bool,
    modalities: int = 1,
    minutes: float | None = None,
    incomplete: bool = False,
) -> MethodText:
    """Return the method to begin with.

    Args:
        dimensions, unlabelled, modalities, incomplete: as `MethodText.fits` takes them.
        minutes: how long the training may take; None for as long as it needs.
    """
    wished = (
        ("supervised_modalities" if incomplete else "supervised") if not unlabelled
        else "semi_cml" if modalities > 1
        else "cross_supervision" if dimensions == 2
        else "dual_uncertainty"
    )  # fmt: skip
    method = _BY_NAME[wished]
    if minutes is None or minutes >= method.minutes:
        return method
    return _BY_NAME["supervised_modalities" if method.needs_modalities else "supervised"]
