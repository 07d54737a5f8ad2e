"""Each branch trained alone on what is annotated; their mean predicts. The baseline of every comparison."""

from ..method import Method
from ..schedules import Constant
from ..step import WeightedTerm
from ..terms.supervised import Supervised

METHOD = Method(
    name="supervised",
    source="Set-valued cross-entropy and Dice; the branches' mean, so that an ensemble is not mistaken for learning.",
    terms=(WeightedTerm("supervised", Supervised(), Constant(1.0)),),
)
