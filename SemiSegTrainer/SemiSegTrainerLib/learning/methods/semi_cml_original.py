"""Semi-CML as its public code trains it, for comparison; `semi_cml` is the method to use."""

from ..averages import Best
from ..method import Method
from ..schedules import Constant, SigmoidRamp, Stage
from ..sources import Strongest
from ..step import WeightedTerm
from ..terms.cross_modal import AreaContrast, CrossModalAgreement, MutualAreas, SoftRelearning
from ..terms.supervised import Supervised

# Epochs 0 to 80 are shares of a run here. As in the source: contrast without temperature and with all negatives; the
# labelled loss ends with the first stage, with epoch 50; the last modality of the datalist is the teacher and is itself
# taught from epoch 75 on only; the teacher is the average of its best states, and the mean of four noisy passes. All
# weights are divided by 17, those of the labelled loss, which Adam does not notice.
# What the framework refuses on purpose: the best states are chosen by the smoothed labelled loss, for validation cases
# must not choose what they then measure; buffers are averaged with the weights, and the teacher is in evaluation mode,
# with its dropout, if it has any; the noise has mean zero; cases, not slices, are labelled or unlabelled; what is kept
# at the end is the moving average, and optimiser, learning rate and augmentation are those of every method here, as is
# the Dice of the labelled loss, which takes the mean over all classes.
_EPOCH = 1 / 81
_SECOND = 51 * _EPOCH
_CONTRAST = AreaContrast(temperature=1.0, alike=None, cells=1)


def _taught(learners: str) -> SoftRelearning:
    source = Strongest(learners, teacher=-1, passes=4)  # type: ignore[arg-type]
    return SoftRelearning(source, _CONTRAST, area=0.1, cross_entropy=10.0, dice=7.0)


METHOD = Method(
    name="semi_cml_original",
    source="Zhang, Zhang, Tian, Lukasiewicz, Xu, Medical Image Analysis 83 (2023) 102656, by a fork of its code.",
    student_views=("labelled", "weak"),
    teacher_views=("weak",),
    teacher_noise=0.1,
    monte_carlo=3,
    by_modality=True,
    best=Best(start=11 * _EPOCH, end=_SECOND, every=_EPOCH, pool=6),
    terms=(
        WeightedTerm("supervised", Supervised(dice=0.7), Stage(Constant(1.0), end=_SECOND)),
        WeightedTerm("areas", MutualAreas(_CONTRAST), Stage(Constant(3.5 / 17), end=_SECOND)),
        WeightedTerm("agreement", CrossModalAgreement(), Stage(SigmoidRamp(1 / 17, end=200 * _EPOCH), end=_SECOND)),
        WeightedTerm("relearning", _taught("others"), Stage(Constant(1 / 17), start=_SECOND)),
        WeightedTerm("self_relearning", _taught("itself"), Stage(Constant(1 / 17), start=75 * _EPOCH)),
    ),
)
