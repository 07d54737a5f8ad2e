"""Pseudo-labels and teachers: who teaches whom, what is ignored, and what an average holds."""

from __future__ import annotations

import copy

import pytest
import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from SemiSegTrainerLib.learning.averages import WeightAverage
from SemiSegTrainerLib.learning.sources import Peer
from SemiSegTrainerLib.learning.step import Mixing, Step, View
from SemiSegTrainerLib.learning.targets import every_class, project
from SemiSegTrainerLib.learning.terms.agreement import CrossSupervision, soft_cross_entropy, soft_dice
from SemiSegTrainerLib.learning.terms.contrast import ImageContrast, info_nce
from torch import nn

NOTHING = every_class(3)
SHAPE = (4, 6, 8)


def make_step(branches=2, mixing=None):
    generator = torch.Generator().manual_seed(0)

    def logits():
        return 4 * torch.randn(SHAPE[0], 3, *SHAPE[1:], generator=generator)

    possible = torch.full(SHAPE, NOTHING, dtype=torch.int32)
    possible[:, 0] = 2  # decided
    possible[:, 1] = 0b101  # one class is ruled out
    inside = torch.ones(SHAPE, dtype=torch.bool)
    inside[:, :, 0] = False
    weak = View(torch.zeros(SHAPE[0], 1, *SHAPE[1:]), possible, inside, torch.arange(SHAPE[0]))
    strong = View(weak.images, possible, inside, weak.cases, mixing)
    students = [
        {v: BranchOutput(logits().requires_grad_(), {}, None) for v in ("weak", "strong")} for _ in range(branches)
    ]
    teachers = [{"weak": logits().softmax(dim=1)} for _ in range(branches)]
    return Step(0.5, 3, {"weak": weak, "strong": strong}, students, teachers)


def test_the_other_branch_teaches():
    step = make_step()
    possible = step.views["weak"].possible
    for student in (0, 1):
        other = step.students[1 - student]["weak"].logits.softmax(dim=1)
        assert torch.allclose(Peer()(step, student, "strong").probabilities, project(other, possible), atol=1e-6)
        averaged = Peer(averaged=True)(step, student, "strong").probabilities
        assert torch.allclose(averaged, project(step.teachers[1 - student]["weak"], possible), atol=1e-6)
    both = Peer(averaged=True, own=True)(step, 0, "strong").probabilities
    mean = (step.teachers[0]["weak"] + step.teachers[1]["weak"]) / 2
    assert torch.allclose(both, project(mean, possible), atol=1e-6)
    alone = make_step(branches=1)
    own = Peer(averaged=True)(alone, 0, "strong").probabilities
    assert torch.allclose(own, project(alone.teachers[0]["weak"], possible), atol=1e-6)


@pytest.mark.parametrize("averaged", [False, True])
def test_targets_are_detached_and_never_contradict_annotations(averaged):
    step = make_step()
    target = Peer(averaged=averaged)(step, 0, "strong")
    assert not target.probabilities.requires_grad
    assert float(target.probabilities[:, 1, 1].max()) == 0.0
    assert not target.weight[:, 0].any(), "what is annotated needs no pseudo-label"
    assert not target.weight[:, :, 0].any(), "outside the image there is nothing to learn"
    assert bool((target.weight[:, 1:, 1:] == 1).all())


def test_rejected_voxels_are_ignored_and_never_background():
    step = make_step()
    accepted = Peer(threshold=0.9)(step, 0, "weak")
    everything = Peer()(step, 0, "weak")
    confident = everything.probabilities.amax(dim=1) >= 0.9
    assert torch.equal(accepted.weight > 0, confident & (everything.weight > 0)), "mask polarity"
    assert 0 < int((accepted.weight > 0).sum()) < int((everything.weight > 0).sum())
    term = CrossSupervision(Peer(threshold=0.9), "weak", cross_entropy=1.0)
    logits = step.students[0]["weak"].logits
    (gradient,) = torch.autograd.grad(term(step).loss, logits)
    assert not gradient.movedim(1, -1)[accepted.weight == 0].any()
    assert gradient.movedim(1, -1)[accepted.weight > 0].any()


def test_targets_are_mixed_as_the_images_are():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[:, 2:4, 2:6] = True
    mixing = Mixing(torch.tensor([1, 2, 3, 0]), mask)
    mixed, plain = (Peer()(make_step(mixing=m), 0, "strong") for m in (mixing, None))
    assert torch.equal(mixed.probabilities[0][:, 2:4, 2:6], plain.probabilities[1][:, 2:4, 2:6])
    assert torch.equal(mixed.probabilities[0][:, 4:], plain.probabilities[0][:, 4:])
    assert torch.equal(mixed.weight[3, 2:4, 2:6], plain.weight[0, 2:4, 2:6])


def test_sharpening_changes_the_target():
    step = make_step()
    soft, sharp, hard = (Peer(sharpen=t)(step, 0, "weak").probabilities for t in (1.0, 0.5, 0.0))
    assert torch.allclose(sharp.sum(dim=1), torch.ones(SHAPE), atol=1e-5)
    assert float(sharp.amax(dim=1).mean()) > float(soft.amax(dim=1).mean()) + 1e-3
    assert torch.equal(hard.argmax(dim=1), soft.argmax(dim=1))
    assert set(hard.unique().tolist()) == {0.0, 1.0}


def test_agreement_is_lowest_at_the_soft_target():
    target = Peer()(make_step(), 0, "weak")
    q = target.probabilities
    at_target = soft_dice(q, target)
    assert float(at_target) == pytest.approx(0, abs=1e-4)
    hard = torch.nn.functional.one_hot(q.argmax(dim=1), 3).movedim(-1, 1).float()
    assert float(soft_dice(hard, target)) > float(at_target) + 1e-3
    best = soft_cross_entropy(q.clamp_min(1e-9).log(), target)
    assert float(soft_cross_entropy(torch.zeros_like(q).log_softmax(dim=1), target)) > float(best)


def test_contrast_draws_equal_images_together_and_others_apart():
    a, b = (torch.randn(5, 8, generator=torch.Generator().manual_seed(s)).requires_grad_() for s in (0, 1))
    same = torch.eye(5, dtype=torch.bool)

    def loss():
        return info_nce(nn.functional.normalize(a, dim=1), nn.functional.normalize(b, dim=1), same, 0.1)

    def similarities():
        s = nn.functional.normalize(a, dim=1) @ nn.functional.normalize(b, dim=1).T
        return s.diagonal().mean().item(), s[~same].mean().item()

    before, (own, others) = loss(), similarities()
    for tensor, gradient in zip((a, b), torch.autograd.grad(before, (a, b)), strict=True):
        assert gradient.any(), "both sides learn"
        tensor.data -= 0.1 * gradient
    assert loss().item() < before.item()
    assert similarities()[0] > own
    assert similarities()[1] < others


def test_contrast_temperature_and_equal_cases():
    torch.manual_seed(0)
    a, b = (nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    same = torch.eye(4, dtype=torch.bool)
    assert abs(float(info_nce(a, b, same, 0.07)) - float(info_nce(a, b, same, 0.5))) > 0.05
    pairs = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
    expected = []
    for i, others in enumerate(([2, 3], [2, 3], [0, 1], [0, 1])):
        s = torch.exp(a[i] @ b.T / 0.5)
        expected.append(-torch.log(s[i] / (s[i] + s[others].sum())))
    assert float(info_nce(a, b, pairs, 0.5)) == pytest.approx(float(torch.stack(expected).mean()), abs=1e-5)


def test_contrast_of_one_branch_is_an_exact_zero():
    step = make_step(branches=1)
    step.students[0]["weak"].embedding = nn.functional.normalize(torch.randn(4, 8), dim=1).requires_grad_()
    value = ImageContrast(views=("weak",))(step)
    assert value.support == 0
    assert value.loss.item() == 0.0
    assert value.loss.requires_grad


class Normalised(nn.Module):
    """A network with batch norm: the kind of buffers that an average must not leave behind."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1))

    def forward(self, x):
        return self.layers(x)


def test_average_includes_buffers():
    torch.manual_seed(0)
    student = Normalised()
    average = WeightAverage(student, 0.9)
    for iteration in range(200):
        student(3 * torch.randn(4, 1, 8, 8) + 5)
        if iteration == 100:
            nn.init.normal_(student.layers[0].weight)
        average.update(student, iteration)
    mine, theirs = average.model.layers[1], student.layers[1]
    assert int(mine.num_batches_tracked) == int(theirs.num_batches_tracked) == 200
    assert not torch.equal(mine.running_mean, torch.zeros(4))
    assert torch.allclose(mine.running_mean, theirs.running_mean, rtol=0.3, atol=0.3)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_full_copy_equals_the_student_in_evaluation_mode():
    torch.manual_seed(0)
    student = Normalised()
    average = WeightAverage(student, 0.0)
    for _ in range(3):
        student(torch.randn(4, 1, 8, 8) + 2)
    nn.init.normal_(student.layers[0].weight)
    average.update(student, 50)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(average.model(x), copy.deepcopy(student).eval()(x))


def test_decay_starts_low_and_is_bounded():
    student = nn.Linear(1, 1, bias=False)
    student.weight.data.fill_(0.0)
    average = WeightAverage(student, 0.5)
    student.weight.data.fill_(1.0)
    average.update(student, 0)
    assert float(average.model.weight) == pytest.approx(0.9)  # (1 + 0) / (10 + 0) stays of the random start
    average.update(student, 10_000)
    assert float(average.model.weight) == pytest.approx(0.95)
