"""UA-MT: Mean Teacher where several passes of the teacher with different noise agree."""

from ..method import Method
from ..reliability import Certain
from ..schedules import Constant, SigmoidRamp
from ..sources import Own
from ..step import WeightedTerm
from ..terms.agreement import SquaredConsistency
from ..terms.supervised import Supervised

# A method of one network: each branch is trained for itself with its own teacher, and their mean predicts. The usual
# networks have no dropout, so that their passes differ by the noise alone.
METHOD = Method(
    name="ua_mt",
    source="Yu, Wang, Li, Fu, Heng, MICCAI 2019: eight passes, entropy below 0.75 to 1 times ln 2; the ramps end with "
    "the run.",
    student_views=("labelled", "weak"),
    teacher_views=("weak",),
    teacher_noise=0.1,
    monte_carlo=8,
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm("consistency", SquaredConsistency(Own(certain=Certain())), SigmoidRamp(0.1, end=1.0)),
    ),
)
