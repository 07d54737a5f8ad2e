"""UniMatch: what a network is sure of in an image holds for two strong views of it, and for disturbed features."""

from ..method import Method
from ..perturbation import FeaturePerturbation
from ..schedules import Constant
from ..sources import Own
from ..step import WeightedTerm
from ..terms.agreement import CrossSupervision
from ..terms.supervised import Supervised

# A method of one network: each branch is trained for itself on its own live opinion, and their mean predicts.
SURE = Own(averaged=False, threshold=0.95, sharpen=0.0)

METHOD = Method(
    name="unimatch",
    source="Yang, Qi, Feng, Zhang, Shi, CVPR 2023, with the threshold, Dice and weights of its medical experiments; "
    "CutMix in half of the steps.",
    student_views=("labelled", "weak", "strong", "strong-2", "features"),
    cut_mix=0.5,
    perturbation=FeaturePerturbation(kinds=("channel_dropout",)),
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm("strong", CrossSupervision(SURE, view="strong"), Constant(0.25)),
        WeightedTerm("strong_2", CrossSupervision(SURE, view="strong-2"), Constant(0.25)),
        WeightedTerm("features", CrossSupervision(SURE, view="features"), Constant(0.5)),
    ),
)
