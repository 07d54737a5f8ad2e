"""System B's pieces: reliable sets, roles, and what each term draws where."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from SemiSegCervicalLib.engine.uncertainty import entropy
from SemiSegTrainerLib.learning.averages import SmoothedLosses
from SemiSegTrainerLib.learning.grids import at_centres
from SemiSegTrainerLib.learning.reliability import ClassWise, class_quantiles
from SemiSegTrainerLib.learning.sources import Consensus, Winner, class_prototypes, one_hot
from SemiSegTrainerLib.learning.step import Step, View
from SemiSegTrainerLib.learning.targets import every_class, membership
from SemiSegTrainerLib.learning.terms.agreement import CosineAgreement, CrossSupervision, RectifiedSupervision
from SemiSegTrainerLib.learning.terms.contrast import PrototypeContrast
from SemiSegTrainerLib.learning.terms.supervised import Mistakes, Supervised
from torch.nn import functional
from TrainingRig import cases, parts

SHAPES = {"2D": (12, 16), "3D": (8, 8, 12)}
ALWAYS = ClassWise(first=1.0, last=1.0, cap=10.0)
NEVER = ClassWise(first=0.0, last=0.0, cap=-1.0)


@pytest.fixture(params=list(SHAPES))
def shape(request):
    return SHAPES[request.param]


def make_step(shape, classes=3, branches=2, losses=(0.2, 0.1), sureness=4.0):
    """Two images a view; the first row of the unlabelled view is decided, in the second row one class is ruled out."""
    generator = torch.Generator().manual_seed(0)

    def logits():
        return (sureness * torch.randn(2, classes, *shape, generator=generator)).requires_grad_()

    def voxels():
        drawn = torch.randn(2, 6, *(n // 2 for n in shape), generator=generator)
        return functional.normalize(drawn, dim=1).requires_grad_()

    labels = torch.randint(0, classes, (2, *shape), generator=generator)
    inside = torch.ones(2, *shape, dtype=torch.bool)
    inside[:, :, 0] = False
    known = torch.where(inside, 1 << labels, every_class(classes)).to(torch.int32)
    known[:, -1] = every_class(classes)
    undecided = torch.full((2, *shape), every_class(classes), dtype=torch.int32)
    undecided[:, 0] = 2
    undecided[:, 1] = every_class(classes) - 2
    undecided[~inside] = every_class(classes)
    images = torch.zeros(2, 1, *shape)
    views = {
        "labelled": View(images, known, inside, torch.arange(2)),
        "weak": View(images, undecided, inside, torch.arange(2, 4)),
    }
    students = [{v: BranchOutput(logits(), {}, None, voxels()) for v in views} for _ in range(branches)]
    return Step(0.5, classes, views, students, labelled_losses=losses)


def leaves(step, view, what="logits"):
    return [getattr(s[view], what) for s in step.students]


def gradients(loss, tensors):
    return torch.autograd.grad(loss, tensors, allow_unused=True)


# -- roles --


def test_roles_follow_the_smoothed_loss():
    """A branch that is better on the whole stays the winner through steps that it loses."""
    losses = SmoothedLosses(2)
    assert losses.values == (0.0, 0.0)
    generator = torch.Generator().manual_seed(0)
    single, smoothed = [], []
    for _ in range(300):
        drawn = (torch.tensor([0.50, 0.45]) + 0.1 * torch.randn(2, generator=generator)).tolist()
        losses.update(drawn)
        single.append(drawn.index(min(drawn)))
        smoothed.append(losses.values.index(min(losses.values)))
    assert 100 < single.count(1) < 250, "the winner of one step is a matter of chance"
    assert smoothed[50:].count(1) > 240
    assert losses.values == pytest.approx((0.50, 0.45), abs=0.06)
    assert sum(a != b for a, b in itertools.pairwise(smoothed[50:])) < 6
    for _ in range(120):
        losses.update([0.1, 0.4])
    assert losses.values[0] < losses.values[1], "roles change hands when the better branch changes"


def test_smoothing_has_no_bias_and_a_time_constant_of_fifty_steps():
    losses = SmoothedLosses(1)
    losses.update([3.0])
    assert losses.values == (3.0,)
    for _ in range(999):
        losses.update([3.0])
    assert losses.values[0] == pytest.approx(3.0)
    for _ in range(50):
        losses.update([1.0])
    assert losses.values[0] == pytest.approx(1 + 2 * 0.98**50, abs=1e-6)
    again = SmoothedLosses(1)
    again.load(losses.state())
    for kept in (again, losses):
        kept.update([0.123])
    assert again.state() == losses.state()


def test_the_winner_is_the_branch_with_the_lowest_labelled_loss(shape):
    assert make_step(shape, losses=(0.2, 0.1)).winner == 1
    assert make_step(shape, losses=(0.1, 0.2)).winner == 0
    assert make_step(shape, branches=3, losses=(0.3, 0.2, 0.1)).winner == 2
    assert make_step(shape, losses=()).winner == 0


def test_a_run_smooths_what_its_supervised_term_says(tmp_path):
    data = parts.load(cases.write_dataset(tmp_path))
    run = parts.training("dual_uncertainty", data)
    expected = SmoothedLosses(2)
    for iteration in range(3):
        seen = run.look(iteration, iteration / 6)
        assert seen.labelled_losses == expected.values
        value = Supervised()(seen)
        assert float(value.per_branch.sum()) == pytest.approx(float(value.loss.detach()))
        assert not value.per_branch.requires_grad
        run.step(iteration)
        expected.update(value.per_branch.tolist())
    assert run.losses.values == pytest.approx(expected.values, rel=1e-6)
    nothing = dataclasses.replace(
        data, possible=tuple(torch.full_like(sets, every_class(parts.CLASSES)) for sets in data.possible)
    )
    blind = parts.training("supervised", nothing)
    blind.step(0)
    assert blind.losses.weights == [0.0, 0.0], "a step without any annotation ranks nobody"


# -- reliable sets --


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_by_counting_are_those_of_sorting(share):
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(40_000, generator=generator).pow(6)  # most are nearly sure
    values[:100] = 0.0
    values[100:200] = 1.0
    labels = torch.randint(0, 3, (40_000,), generator=generator)
    counted = torch.rand(40_000, generator=generator) < 0.8
    found = class_quantiles(values, labels, counted, 4, share)
    assert found.shape == (4,)
    assert found[3] == 0.0
    for c in range(3):
        mine = values[counted & (labels == c)]
        exact = float(mine.sort().values[max(0, math.ceil(share * len(mine)) - 1)])
        assert exact <= float(found[c]) <= exact * 1.002 + 1e-30
        assert (mine <= found[c]).float().mean() >= share


def test_quantiles_of_more_voxels_than_torch_sorts_for_them():
    """torch.quantile refuses more than 16 million values."""
    values = torch.rand(17_000_000)
    found = class_quantiles(values, torch.zeros(17_000_000, dtype=torch.int64), torch.ones_like(values) > 0, 2, 0.25)
    assert found.tolist() == pytest.approx([0.25, 0.0], rel=0.01)


def test_every_class_has_reliable_voxels_however_unsure_it_is():
    generator = torch.Generator().manual_seed(0)
    shape = (2, 40, 40)
    labels = (torch.rand(shape, generator=generator) < 0.05).long()  # a small organ
    confidence = torch.where(labels == 1, 0.80, 0.99) + 0.009 * torch.rand(shape, generator=generator)
    p = torch.where(one_hot(labels, 2) > 0, confidence.unsqueeze(1), 1 - confidence.unsqueeze(1))
    counted = torch.ones(shape, dtype=torch.bool)
    reliable = ClassWise()(p, labels, counted, 0.0)
    for c in (0, 1):
        assert float(reliable[labels == c].float().mean()) == pytest.approx(0.5, abs=0.05)
    later = ClassWise()(p, labels, counted, 1.0)
    assert bool((later >= reliable).all())
    assert float(later.float().mean()) == pytest.approx(0.9, abs=0.05)
    u = entropy(p)
    assert float(u[reliable & (labels == 1)].max()) < float(u[~reliable & (labels == 1)].min())
    capped = ClassWise(cap=0.5)(p, labels, counted, 1.0)
    assert not capped[labels == 1].any(), "the surest of the unsure is still unsure"
    assert capped[labels == 0].any()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_an_even_choice_between_two_classes_never_teaches(classes):
    p = torch.zeros(1, classes, 4, 4)
    p[:, :2] = 0.5
    p[:, 0, 0], p[:, 1, 0] = 0.95, 0.05
    reliable = ClassWise(first=1.0, last=1.0)(p, torch.zeros(1, 4, 4, dtype=torch.int64), p[:, 0] >= 0, 1.0)
    assert reliable[:, 0].all()
    assert not reliable[:, 1:].any()


def test_logits_are_refused_as_probabilities():
    logits = torch.randn(1, 3, 4, 4)
    with pytest.raises(ValueError, match="probabilities"):
        ClassWise()(logits, logits.argmax(dim=1), logits[:, 0] > -9, 0.5)


def test_consensus_is_the_mean_where_it_is_sure_and_undecided(shape):
    step = make_step(shape)
    seen = step.views["weak"]
    target = Consensus()(step, 0, "weak")
    assert not target.probabilities.requires_grad
    mean = torch.stack([o.detach().softmax(dim=1) for o in leaves(step, "weak")]).mean(dim=0)
    allowed = membership(seen.possible, 3)
    assert torch.equal(target.probabilities.argmax(dim=1), (mean * allowed).argmax(dim=1))
    assert not target.probabilities[~allowed].any(), "no pseudo-label contradicts an annotation"
    assert torch.equal(target.probabilities.sum(dim=1), torch.ones(2, *shape))
    assert not target.weight[:, 0].any(), "what is annotated needs no pseudo-label"
    assert not target.weight[:, :, 0].any(), "outside the image there is nothing to learn"
    assert target.weight[:, 1:].any()
    assert Consensus()(step, 1, "weak") is target, "computed once a step"


def test_unreliable_voxels_are_ignored_and_never_background(shape):
    step = make_step(shape)
    term = CrossSupervision(Consensus(), "weak", cross_entropy=1.0)
    value = term(step)
    weight = Consensus()(step, 0, "weak").weight
    assert 0 < value.support == int(weight.sum()) < weight.numel()
    for gradient in gradients(value.loss, leaves(step, "weak")):
        moved = gradient.movedim(1, -1)
        assert not moved[weight == 0].any()
        assert moved[weight > 0].any(dim=-1).all()
    for classwise in (NEVER, ALWAYS):
        silent = CrossSupervision(Consensus(classwise), "weak", cross_entropy=1.0)(step)
        assert (silent.support == 0) == (classwise is NEVER)
    assert CrossSupervision(Consensus(NEVER), "weak")(step).loss.item() == 0.0


# -- mistakes --


def test_mistakes_of_two_classes_are_the_xor_of_confident_masks(shape):
    step = make_step(shape, classes=2, sureness=1.0)
    value = Mistakes()(step)
    seen = step.views["labelled"]
    y = (seen.possible == 2).float()
    decided = (seen.possible == 1) | (seen.possible == 2)
    p = [o.detach().softmax(dim=1)[:, 1] for o in leaves(step, "labelled")]
    differ = ((p[0] >= 0.6) ^ (p[1] >= 0.6)) & decided
    expected = sum((((q - y) ** 2) * differ).sum() / differ.sum() for q in p)
    assert float(value.loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert value.support == int(differ.sum()) > 0
    for gradient in gradients(value.loss, leaves(step, "labelled")):
        assert not gradient.movedim(1, -1)[~differ].any()


def test_mistakes_of_several_classes_are_the_union_over_segments(shape):
    step = make_step(shape, classes=4, sureness=2.0)
    decided = (step.views["labelled"].possible & (step.views["labelled"].possible - 1)) == 0
    p = [o.detach().softmax(dim=1) for o in leaves(step, "labelled")]
    masks = [torch.stack([(q.argmax(dim=1) == c) & (q[:, c] >= 0.6) for c in (1, 2, 3)]) for q in p]
    differ = (masks[0] ^ masks[1]).any(dim=0) & decided
    assert Mistakes()(step).support == int(differ.sum()) > 0


def test_branches_that_are_wrong_alike_make_no_mistake_to_review(shape):
    step = make_step(shape)
    step.students[1] = step.students[0]
    value = Mistakes()(step)
    assert value.support == 0
    assert value.loss.item() == 0.0
    assert value.loss.requires_grad
    assert Mistakes(confidence=1.1)(make_step(shape)).support == 0


# -- the winner teaches --


@pytest.mark.parametrize(("losses", "winner"), [((0.1, 0.2), 0), ((0.2, 0.1), 1)])
def test_only_the_loser_follows(shape, losses, winner):
    step = make_step(shape, losses=losses)
    value = RectifiedSupervision(Winner())(step)
    found = gradients(value.loss, leaves(step, "weak"))
    assert found[winner] is None
    assert found[1 - winner].any()
    undecided = step.views["weak"].inside & ((step.views["weak"].possible & (step.views["weak"].possible - 1)) != 0)
    assert value.support == int(undecided.sum())
    assert not found[1 - winner].movedim(1, -1)[~undecided].any(), "annotated voxels and padding get no pseudo target"


def test_all_losers_follow_and_a_single_branch_has_nobody(shape):
    step = make_step(shape, branches=3, losses=(0.3, 0.1, 0.2))
    found = gradients(RectifiedSupervision(Winner())(step).loss, leaves(step, "weak"))
    assert [g is None for g in found] == [False, True, False]
    alone = RectifiedSupervision(Winner())(make_step(shape, branches=1, losses=(0.1,)))
    assert alone.support == 0
    assert alone.loss.item() == 0.0
    assert alone.loss.requires_grad


def test_rectified_supervision_is_its_formula(shape):
    step = make_step(shape, sureness=1.0)
    seen = step.views["weak"]
    teacher, student = leaves(step, "weak")[1].detach(), leaves(step, "weak")[0]
    allowed = membership(seen.possible, 3)
    log_p = student.log_softmax(dim=1)
    q = teacher.masked_fill(~allowed, -torch.inf).softmax(dim=1)
    sharp = (teacher / 0.5).masked_fill(~allowed, -torch.inf).softmax(dim=1)
    divergence = (torch.xlogy(q, q) - q * log_p).sum(dim=1)
    loss = (-divergence).exp().detach() * -(sharp * log_p).sum(dim=1) + divergence
    expected = loss[seen.inside & ((seen.possible & (seen.possible - 1)) != 0)].mean()
    value = RectifiedSupervision(Winner())(step)
    assert float(value.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    mine, theirs = gradients(value.loss, [student])[0], gradients(expected, [student])[0]
    assert torch.allclose(mine, theirs, atol=1e-7)
    for other in (RectifiedSupervision(Winner(), temperature=1.0), RectifiedSupervision(Winner(), beta=0.0)):
        assert abs(float(other(step).loss.detach()) - float(value.loss.detach())) > 0.01, "temperature and beta matter"


def test_targets_of_the_winner_never_contradict_annotations(shape):
    step = make_step(shape)
    target = Winner()(step, 0, "weak")
    assert not target.probabilities[~membership(step.views["weak"].possible, 3)].any()
    assert torch.allclose(target.probabilities.sum(dim=1), torch.ones(()), atol=1e-5)
    assert not target.probabilities.requires_grad


# -- agreement --


def test_agreement_moves_both_and_is_lowest_when_equal(shape):
    step = make_step(shape)
    value = CosineAgreement()(step)
    undecided = step.views["weak"].inside & ((step.views["weak"].possible & (step.views["weak"].possible - 1)) != 0)
    p = [o.detach().softmax(dim=1) for o in leaves(step, "weak")]
    expected = (1 - functional.cosine_similarity(*p, dim=1))[undecided].mean()
    assert float(value.loss.detach()) == pytest.approx(float(expected), abs=1e-5)
    assert value.support == int(undecided.sum())
    for gradient in gradients(value.loss, leaves(step, "weak")):
        assert gradient.any()
        assert not gradient.movedim(1, -1)[~undecided].any()
    step.students[1] = step.students[0]
    step._kept.clear()
    assert float(CosineAgreement()(step).loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert CosineAgreement()(make_step(shape, branches=1, losses=(0.1,))).support == 0


# -- prototypes --


def test_centres_of_cells():
    fine = torch.arange(32).view(1, 4, 8)
    assert at_centres(fine, (2, 4)).tolist() == [[[9, 11, 13, 15], [25, 27, 29, 31]]]
    assert at_centres(fine, (1, 2)).tolist() == [[[18, 22]]]
    assert at_centres(fine, (4, 8)) is not fine
    assert torch.equal(at_centres(fine, (4, 8)), fine)
    assert at_centres(torch.zeros(2, 3, 4, 8, 8), (2, 4, 4)).shape == (2, 3, 2, 4, 4)


def test_prototypes_are_the_mean_directions_of_their_members():
    generator = torch.Generator().manual_seed(0)
    parts_, everything, classes = [], [], []
    for rows in (1, 2):
        v = functional.normalize(torch.randn(rows, 5, 4, 4, generator=generator), dim=1).requires_grad_()
        labels = torch.randint(0, 2, (rows, 4, 4), generator=generator)
        parts_.append((v, one_hot(labels, 3)))
        everything.append(v.detach().movedim(1, -1).reshape(-1, 5))
        classes.append(labels.flatten())
    found, there = class_prototypes(parts_)
    assert there.tolist() == [True, True, False]
    assert not found.requires_grad
    for c in (0, 1):
        mean = torch.cat(everything)[torch.cat(classes) == c].mean(dim=0)
        assert torch.allclose(found[c], functional.normalize(mean, dim=0), atol=1e-6)
    assert not found[2].any()


def test_unreliable_voxels_alone_move_to_their_prototype_and_from_the_others(shape):
    step = make_step(shape)
    source = Consensus()
    term = PrototypeContrast(source)
    value = term(step)
    target = source(step, 0, "weak")
    grid = tuple(n // 2 for n in shape)
    labels = at_centres(target.probabilities, grid).argmax(dim=1)
    seen = step.views["weak"]
    undecided = at_centres(seen.inside & ((seen.possible & (seen.possible - 1)) != 0), grid)
    drawn = undecided & (at_centres(target.weight, grid) == 0)
    assert value.support == int(drawn.sum()) > 0
    assert all(g is None for g in gradients(value.loss, leaves(step, "labelled", "voxels")))
    for student, gradient in enumerate(gradients(value.loss, leaves(step, "weak", "voxels"))):
        flat = gradient.movedim(1, -1)
        assert flat[drawn].any(dim=-1).all()
        assert not flat[~drawn].any(), "reliable and annotated voxels stay where they are"
        voxels, known = step.students[student]["weak"].voxels, step.students[student]["labelled"].voxels
        annotated = at_centres(step.views["labelled"].possible, grid)
        members = membership(annotated, 3) & ((annotated & (annotated - 1)) == 0).unsqueeze(1)
        reliable = one_hot(labels, 3) * at_centres(target.weight, grid).unsqueeze(1)
        mu, _ = class_prototypes([(voxels, reliable), (known, members.float())])

        def similarities(v, mu=mu):
            s = functional.normalize(v, dim=1).movedim(1, -1)[drawn] @ mu.T
            own = s.gather(1, labels[drawn].unsqueeze(1))
            return own.mean().item(), ((s.sum(dim=1, keepdim=True) - own) / 2).mean().item()

        own, others = similarities(voxels.detach())
        after = similarities((voxels - 0.5 * drawn.sum() / 3 * gradient).detach())
        assert after[0] > own
        assert after[1] < others


def test_every_class_counts_equally_against_prototypes():
    """Drawing as many voxels of every class is what the mean of the classes' means does without chance."""
    step = make_step((8, 8), classes=2, branches=1, losses=(0.1,))
    source = Consensus(NEVER)
    step.views["weak"].possible[:] = 3
    step.views["weak"].inside[:] = True
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    labels[0, :2, :2] = 1  # one voxel of the coarse grid
    output = step.students[0]["weak"]
    output.logits = (5.0 * one_hot(labels, 2)).requires_grad_()
    value = PrototypeContrast(source)(step)
    known, annotated = step.students[0]["labelled"].voxels, step.views["labelled"].possible[..., 1::2, 1::2]
    mu, _ = class_prototypes([(known, torch.stack([annotated == 1, annotated == 2], dim=1).float())])
    loss = -(torch.einsum("neyx,ce->ncyx", output.voxels, mu) / 0.1).log_softmax(dim=1)
    coarse = labels[:, 1::2, 1::2]
    expected = (loss[:, 0][coarse == 0].mean() + loss[:, 1][coarse == 1].mean()) / 2
    assert int((coarse == 1).sum()) == 1
    assert float(value.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    warmer = PrototypeContrast(source, temperature=0.5)(step)
    assert abs(float(warmer.loss.detach()) - float(value.loss.detach())) > 0.01


def test_fewer_than_two_prototypes_are_an_exact_zero(shape):
    step = make_step(shape)
    step.views["labelled"].possible[:] = torch.where(step.views["labelled"].inside, 2, every_class(3)).to(torch.int32)
    value = PrototypeContrast(Consensus(NEVER))(step)
    assert value.support == 0
    assert value.loss.item() == 0.0
    assert all(not g.any() for g in gradients(value.loss, leaves(step, "weak", "voxels")))
    step.views["labelled"].possible[:, 3] = 1
    two = PrototypeContrast(Consensus(NEVER))(step)
    assert two.support > 0
    assert math.isfinite(two.loss.item())
    labels = at_centres(Consensus(NEVER)(step, 0, "weak").probabilities, tuple(n // 2 for n in shape)).argmax(dim=1)
    (gradient, _) = gradients(two.loss, leaves(step, "weak", "voxels"))
    assert not gradient.movedim(1, -1)[labels == 2].any(), "a class without a prototype has nowhere to go"


# -- cost --


def test_branches_are_normalised_once_a_step(shape, monkeypatch):
    step = make_step(shape)
    calls = []
    original = torch.Tensor.log_softmax

    def counting(self, *args, **kwargs):
        calls.append(self.shape)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "log_softmax", counting)
    for term in (CrossSupervision(Consensus(), cross_entropy=1.0), RectifiedSupervision(Winner()), CosineAgreement()):
        term(step)
    assert len(calls) == 2
