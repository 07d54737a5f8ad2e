"""Mean Teacher: a network agrees with its own weight average, which sees the same image with noise."""

from ..method import Method
from ..schedules import Constant, SigmoidRamp
from ..sources import Own
from ..step import WeightedTerm
from ..terms.agreement import SquaredConsistency
from ..terms.supervised import Supervised

# A method of one network. Here each branch is trained for itself with its own teacher, and their mean predicts, as that
# of `supervised` does: what two networks are worth together is in both figures.
METHOD = Method(
    name="mean_teacher",
    source="Tarvainen, Valpola, NeurIPS 2017; weight, ramp and noise as in HiLab's SSL4MIS, where the ramp ends with "
    "the run. The teacher is in evaluation mode.",
    student_views=("labelled", "weak"),
    teacher_views=("weak",),
    teacher_noise=0.1,
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm("consistency", SquaredConsistency(Own()), SigmoidRamp(0.1, end=1.0)),
    ),
)
