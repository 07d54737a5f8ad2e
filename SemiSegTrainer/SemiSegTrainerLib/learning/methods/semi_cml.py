"""System D: networks of different modalities teach each other, and the stronger one then teaches the others anew."""

from ..method import Method
from ..schedules import Constant, SigmoidRamp, Stage
from ..sources import Strongest
from ..step import WeightedTerm
from ..terms.cross_modal import CrossModalAgreement, MutualAreas, SoftRelearning
from ..terms.supervised import Supervised

# Of the first stage's terms the pull between the networks grows with the run; in the second the strongest network's
# moving average says the labels, the annotations keep counting, and in the last tenth the strongest learns anew itself.
METHOD = Method(
    name="semi_cml",
    source="Zhang, Zhang, Tian, Lukasiewicz, Xu, Medical Image Analysis 83 (2023) 102656; the contrast given a "
    "temperature and fair negatives, labelled loss in both stages, roles by the labelled loss, noise of mean zero.",
    student_views=("labelled", "weak"),
    teacher_views=("weak",),
    teacher_noise=0.1,
    by_modality=True,
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm("areas", MutualAreas(), Stage(SigmoidRamp(0.1, end=0.5), end=0.5)),
        WeightedTerm("agreement", CrossModalAgreement(), Stage(SigmoidRamp(1.0, end=1.0), end=0.5)),
        WeightedTerm("relearning", SoftRelearning(Strongest("others", certain=True)), Stage(Constant(1.0), start=0.5)),
        WeightedTerm(
            "self_relearning", SoftRelearning(Strongest("itself", certain=True)), Stage(Constant(1.0), start=0.9)
        ),
    ),
)
