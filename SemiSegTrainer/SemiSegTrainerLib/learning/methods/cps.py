"""CPS: each network learns from the other's hard labels, wherever they are."""

from ..method import Method
from ..schedules import Constant, SigmoidRamp
from ..sources import Peer
from ..step import WeightedTerm
from ..terms.agreement import CrossSupervision
from ..terms.supervised import Supervised

METHOD = Method(
    name="cps",
    source="Chen, Yuan, Zeng, Wang, CVPR 2021; without CutMix, weight and ramp as in HiLab's SSL4MIS, where the ramp "
    "ends with the run.",
    student_views=("labelled", "weak"),
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm(
            "cross", CrossSupervision(Peer(sharpen=0.0), dice=0.0, cross_entropy=1.0), SigmoidRamp(0.1, end=1.0)
        ),
    ),
)
