"""System C: two networks supervise each other across disturbed images and features; voxels and patches contrast."""

from ..banks import VoxelBank
from ..method import Method
from ..perturbation import FeaturePerturbation
from ..schedules import Constant, SigmoidRamp
from ..sources import Peer
from ..step import WeightedTerm
from ..terms.agreement import CrossSupervision
from ..terms.dense_contrast import PatchContrast, PixelContrast
from ..terms.supervised import Supervised

# What the other network is sure of in the undisturbed view, as hard labels: of images surer than of volumes.
PEER = Peer(threshold=(0.95, 0.75), sharpen=0.0)

# Both networks look at one strong view, since a second one would cost a third more; their features are disturbed apart.
# As in system B the ramp ends with the run, which is E = 40 of the definition at 6 000 iterations.
METHOD = Method(
    name="multiscale_contrast",
    source="After Wu, Yan, Liang, Zhang, Li, EMBC 2023 (doi 10.1109/EMBC40787.2023.10341018), of which only the "
    "abstract is public: the terms are our own definition, from CPS, CCT and CDCL.",
    student_views=("labelled", "weak", "strong"),
    voxel_embedding=64,
    voxel_tap="decoder-2",
    perturbation=FeaturePerturbation(views=("strong",)),
    terms=(
        WeightedTerm("supervised", Supervised(), Constant(1.0)),
        WeightedTerm(
            "cross", CrossSupervision(PEER, view="strong", dice=0.5, cross_entropy=0.5), SigmoidRamp(1.0, end=1.0)
        ),
        WeightedTerm("pixel", PixelContrast(PEER, VoxelBank(PEER)), SigmoidRamp(0.1, end=1.0)),
        WeightedTerm("patch", PatchContrast(PEER), SigmoidRamp(0.1, end=1.0)),
    ),
)
