"""Branches: bounded architectures, taps, and one forward pass."""

from __future__ import annotations

import itertools

import pytest
import torch
from SemiSegCervicalLib.engine.architectures import ARCHITECTURES, resolve
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.errors import SemiSegError
from torch.autograd.profiler import profile

SMALL = {
    "unet": {"channels": (4, 8, 16)},
    "residual_unet": {"channels": (4, 8, 16)},
    "basic_unet": {"channels": (4, 4, 8, 8, 16)},
    "segresnet": {"init_filters": 4, "blocks_down": (1, 1, 1, 1)},
    "swin_unetr": {"feature_size": 12},
}


every_architecture = pytest.mark.parametrize("name", sorted(ARCHITECTURES))
both_dimensions = pytest.mark.parametrize("dims", [2, 3])


@both_dimensions
@every_architecture
def test_every_architecture_gives_logits_and_taps(name, dims):
    torch.manual_seed(0)
    branch = Branch(name, SMALL[name], 1, 3, dims, embedding_size=8, voxel_embedding=6).eval()
    size = (branch.divisor, 2 * branch.divisor, branch.divisor)[:dims]
    output = branch(torch.randn(2, 1, *size), taps=branch.tap_paths)
    assert output.logits.shape == (2, 3, *size)
    assert set(output.features) == set(branch.tap_paths)
    assert {"encoder-0", "bottleneck"} <= set(output.features)
    # The bottleneck is where the image is smallest.
    sizes = [f.shape[2:].numel() for f in output.features.values()]
    assert output.features["bottleneck"].shape[2:].numel() == min(sizes)
    assert torch.allclose(output.embedding.norm(dim=1), torch.ones(2), atol=1e-5)
    for tap, stride in (("decoder-1", 2), ("decoder-2", 4)):
        assert output.features[tap].shape[2:] == tuple(n // stride for n in size)
    assert output.voxels.shape == (2, 6, *(n // 2 for n in size))
    assert torch.allclose(output.voxels.norm(dim=1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("unet", {"channels": (4, 8, 16)}), ("residual_unet", {"channels": (4, 8, 8, 16)}),
     ("segresnet", {"init_filters": 4, "blocks_down": (1, 1, 1)}),
     ("segresnet", {"init_filters": 4, "blocks_down": (1, 1, 1, 1, 1), "upsample": "deconv", "dropout": 0.1})],
)  # fmt: skip
def test_decoder_taps_at_any_depth(name, arguments):
    branch = Branch(name, arguments, 1, 2, 2).eval()
    features = branch(torch.randn(1, 1, 32, 32), taps=("decoder-1", "decoder-2")).features
    assert [f.shape[2:] for f in (features["decoder-1"], features["decoder-2"])] == [(16, 16), (8, 8)]


@both_dimensions
@every_architecture
def test_decoder_taps_lie_on_the_way_from_bottleneck_to_logits(name, dims):
    """What a tap shows is used by what comes after it: no side path, nothing overwritten in place."""
    torch.manual_seed(0)
    branch = Branch(name, SMALL[name], 1, 3, dims)
    size = (branch.divisor, 2 * branch.divisor, branch.divisor)[:dims]
    output = branch(torch.randn(1, 1, *size), taps=branch.tap_paths)
    for later, earlier in (("decoder-1", "decoder-2"), ("decoder-2", "bottleneck")):
        if branch.tap_paths[later] != branch.tap_paths[earlier]:
            (gradient,) = torch.autograd.grad(
                output.features[later].square().sum(), output.features[earlier], retain_graph=True
            )
            assert gradient.any()
    (gradient,) = torch.autograd.grad(output.logits.square().sum(), output.features["decoder-1"])
    assert gradient.any()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch was built without oneDNN")
@every_architecture
def test_single_volumes_are_convolved_by_onednn(name):
    """PyTorch's own choice for them takes several times as long; what is learned from stays with that choice."""
    torch.manual_seed(0)
    branch = Branch(name, SMALL[name], 1, 3, 3).eval()
    x = torch.randn(1, 1, *(max(16, 2 * branch.divisor),) * 3)

    def slow(forward):
        with profile() as seen:
            found = forward(x)
        return found, sum(event.count for event in seen.key_averages() if "slow_conv3d" in event.key)

    with torch.no_grad():
        plain, slow_plain = slow(branch.network)
        ours, slow_ours = slow(lambda x: branch(x).logits)
    assert torch.allclose(plain, ours, atol=1e-4)
    assert slow_plain > 0
    assert slow_ours == 0
    _, slow_learned = slow(branch)
    assert slow_learned == slow_plain
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        branch(x)


@every_architecture
def test_default_network_is_light(name):
    count = sum(p.numel() for p in Branch(name, {}, 1, 3, 2).parameters())
    assert count < 2_500_000


def test_projectors_share_the_one_pass_and_are_spared_on_request():
    torch.manual_seed(0)
    branch = Branch("unet", SMALL["unet"], 1, 3, embedding_size=8, voxel_embedding=6, voxel_tap="decoder-2").eval()
    passes, projected = [], []
    branch.network.register_forward_hook(lambda *_: passes.append(1))
    for projector in (branch.projector, branch.voxel_projector):
        projector.register_forward_hook(lambda *_: projected.append(1))
    x = torch.randn(3, 1, 16, 32)
    output = branch(x, taps=("encoder-0",))
    assert (len(passes), len(projected)) == (1, 2)
    assert set(output.features) == {"encoder-0"}
    assert output.voxels.shape == (3, 6, 4, 8)
    alone = branch(x, project=False)
    assert (len(passes), len(projected)) == (2, 2)
    assert alone.embedding is None
    assert alone.voxels is None
    assert torch.equal(alone.logits, output.logits)
    parts = output.split((1, 2))
    assert torch.equal(torch.cat([p.voxels for p in parts]), output.voxels)
    assert torch.equal(torch.cat([p.embedding for p in parts]), output.embedding)
    assert torch.equal(parts[1].features["encoder-0"], output.features["encoder-0"][1:])
    assert [p.voxels for p in alone.split((1, 2))] == [None, None]
    network = {k: v.clone() for k, v in branch.network.state_dict().items()}
    assert branch.drop_projectors() is branch
    assert {f"network.{k}" for k in network} == set(branch.state_dict())


@both_dimensions
@every_architecture
def test_perturbation_reaches_every_encoder_level_and_no_hook_stays(name, dims):
    torch.manual_seed(0)
    branch = Branch(name, SMALL[name], 1, 3, dims, embedding_size=8).eval()
    x = torch.randn(1, 1, *(branch.divisor, 2 * branch.divisor, branch.divisor)[:dims])
    seen = []

    def double(tap, features):
        seen.append(tap)
        return 2 * features

    plain = branch(x, taps=branch.tap_paths)
    perturbed = branch(x, taps=branch.tap_paths, perturb=double)
    assert not torch.equal(perturbed.logits, plain.logits)
    assert not torch.equal(perturbed.embedding, plain.embedding), "the projector sees what the decoder sees"
    assert sorted(seen) == sorted(t for t in branch.tap_paths if not t.startswith("decoder"))
    assert torch.equal(perturbed.features["encoder-0"], 2 * plain.features["encoder-0"])
    strides = [plain.features[t].shape[-1] for t in branch.tap_paths if not t.startswith("decoder")]
    assert all(a in (b, 2 * b) for a, b in itertools.pairwise(strides)), "no level is left out"
    assert torch.equal(branch(x).logits, plain.logits)
    assert not any(m._forward_hooks for m in branch.modules())


@every_architecture
def test_every_perturbed_level_matters_to_the_logits(name):
    torch.manual_seed(0)
    branch = Branch(name, SMALL[name], 1, 3).eval()
    x = torch.randn(1, 1, branch.divisor, 2 * branch.divisor)
    plain = branch(x).logits
    for level in (t for t in branch.tap_paths if not t.startswith("decoder")):
        changed = branch(x, perturb=lambda tap, f, level=level: f * (0.5 + f.sigmoid()) if tap == level else f)
        assert not torch.equal(changed.logits, plain), level


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet", {"channels": (4, 8)}),
        ("unet", {"channels": (2, 8, 16)}),
        ("unet", {"channels": (4, 8, 100_000)}),
        ("unet", {"channels": (512, 512, 512)}),
        ("unet", {"dropout": 1.0}),
        ("unet", {"act": "os.system"}),
        ("swin_unetr", {"feature_size": 480}),
        ("segresnet", {"init_filters": 64, "blocks_down": (1, 1, 1, 1, 1)}),
        ("segresnet", {"blocks_down": (1, 9, 1)}),
        ("segresnet", {"blocks_down": (1, 1)}),
        ("segresnet", {"upsample": "pixelshuffle"}),
    ],
)
def test_arguments_out_of_bounds_are_refused(name, arguments):
    with pytest.raises(SemiSegError) as caught:
        resolve(name, arguments)
    assert caught.value.code == "bad-architecture"


def test_unknown_architecture_is_refused():
    with pytest.raises(SemiSegError, match="does not know"):
        resolve("monai.networks.nets.UNet", {})


def test_size_must_fit_the_levels():
    branch = Branch("unet", SMALL["unet"], 1, 3)
    assert branch.divisor == 4
    assert branch.takes((4, 8))
    assert not branch.takes((4, 4)), "instance norm cannot work on a single voxel"
    assert not branch.takes((6, 8))
