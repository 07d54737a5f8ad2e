"""System A: two networks supervise each other on unlabelled images, and know each image by contrast."""

from ..method import Method
from ..schedules import Constant, SigmoidRamp
from ..sources import Peer
from ..step import WeightedTerm
from ..terms.agreement import CrossSupervision
from ..terms.contrast import ImageContrast
from ..terms.supervised import Supervised

METHOD = Method(
    name="cross_supervision",
    source="Wang, Curran, Silvestre, arXiv:2503.17057; contrast made effective, soft targets from weight averages.",
    student_views=("labelled", "strong"),
    teacher_views=("weak",),
    embedding_size=128,
    cut_mix=0.5,
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm("cross", CrossSupervision(Peer(averaged=True), view="strong"), SigmoidRamp(1.0, end=0.4)),
        WeightedTerm("contrast", ImageContrast(views=("labelled", "strong")), SigmoidRamp(0.1, end=0.4)),
    ),
)
