"""BCP: networks learn from labelled and unlabelled images with a box of each other in them."""

from ..method import Method
from ..schedules import Constant, SigmoidRamp
from ..sources import Own
from ..step import WeightedTerm
from ..terms.agreement import CrossSupervision
from ..terms.supervised import Supervised

# A method of one network: each branch is trained for itself with its own teacher, and their mean predicts. Students see
# mixed images alone. The first eighth of the run stands for the source's pre-training on labelled images: pseudo-labels
# do not count yet. What lies apart from the largest component is ignored; in the source's code it counts as background.
METHOD = Method(
    name="bcp",
    source="Bai, Chen, Li, Shen, Wang, CVPR 2023: boxes of 2/3 of each side, both ways; pseudo-labels count half.",
    student_views=("mixed",),
    teacher_views=("weak",),
    terms=(
        WeightedTerm("supervised", Supervised(views=("mixed",)), Constant(1.0)),
        WeightedTerm(
            "paste",
            CrossSupervision(Own(sharpen=0.0, largest=True), view="mixed", dice=0.5, cross_entropy=0.5),
            SigmoidRamp(0.5, start=0.12, end=0.12),
        ),
    ),
)
