"""What the demo does with which sample, for how long, and what its files are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "Resources" / "samples" / "cervix"
DEFAULT_OUT = ROOT / "demo-output"

METHOD = "cross_supervision"
BASELINE = "supervised"
# Both runs get the same number of steps, never minutes: the figures then do not depend on the machine's speed.
# On two cores a step of the method takes about 0.35 s and one of the baseline 0.15 s.
ITERATIONS = 450
SEED = 0
NETWORK_SIZE = (96, 160)
SECONDS_PER_STEP = {METHOD: 0.35, BASELINE: 0.15}

# What a person has done to the 12 samples that have a reference; the other samples are without annotation.
OUTLINED = ("fugc_l0002", "fugc_l0018", "fugc_l0030")
HALF_OUTLINED = ("fugc_l0016", "fugc_l0046")
SCRIBBLED = ("fugc_l0011", "fugc_l0034")
UNTOUCHED = ("fugc_l0023",)
CINE = ("fugc_l0038", "fugc_l0039", "fugc_l0040", "fugc_l0041")
ACCEPTED_FRAMES = (1,)
CINE_NAME = "sequence of four"

REPORT, SUMMARY, SCENE, TRAINING_SET = "report.html", "summary.json", "scene.mrb", "training-set"
SEGMENTATIONS, LABELS, UNCERTAINTY = "segmentations", "labels", "uncertainty"


@dataclass(frozen=True)
class DemoOptions:
    """What may be chosen.

    Attributes:
        out: new or empty folder for everything that the demo writes.
        iterations: of each of the two training runs.
        seed: of everything random.
        device: ``cpu`` by default, because figures are then the same every time.
        start: model pack to fine-tune; None for random weights.
        size: the networks' grid (rows, columns) of a model that starts from random weights.
        unlabelled: how many of the unlabelled samples are used; None for all.
        samples: folder of the samples.
    """

    out: Path
    iterations: int = ITERATIONS
    seed: int = SEED
    device: str = "cpu"
    start: Path | None = None
    size: tuple[int, int] = NETWORK_SIZE
    unlabelled: int | None = None
    samples: Path = SAMPLES
