"""One network for each modality, each trained alone on what is annotated: what methods with several have to beat."""

from ..method import Method
from ..schedules import Constant
from ..step import WeightedTerm
from ..terms.supervised import Supervised

METHOD = Method(
    name="supervised_modalities",
    source="The supervised baseline by modality; at inference each network alone, or the mean of those with an image.",
    by_modality=True,
    terms=(WeightedTerm("supervised", Supervised(), Constant(1.0)),),
)
