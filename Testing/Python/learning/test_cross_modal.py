"""System D's pieces: areas and what is no negative, agreement over modalities, soft labels of the strongest."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from SemiSegCervicalLib.engine.uncertainty import entropy
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.sources import Strongest
from SemiSegTrainerLib.learning.step import PseudoLabel, Step, View
from SemiSegTrainerLib.learning.targets import every_class
from SemiSegTrainerLib.learning.terms.agreement import soft_cross_entropy, soft_dice
from SemiSegTrainerLib.learning.terms.cross_modal import (
    AreaContrast,
    CrossModalAgreement,
    MutualAreas,
    SoftRelearning,
    area_similarity,
    cut_cells,
)

SHAPE = (8, 12)
ORIGINAL = AreaContrast(temperature=1.0, alike=None, cells=1)


def squares(*corners, shape=SHAPE, sureness=20.0):
    """Probabilities ``(N, 2, *shape)`` of a square of side 3 at each of `corners`; None: empty."""
    logits = torch.zeros(len(corners), 2, *shape)
    logits[:, 0] = sureness
    for row, corner in enumerate(corners):
        if corner is not None:
            where = (row, slice(None), *(slice(c, c + 3) for c in corner))
            logits[where] = logits[where].flip(0)
    return logits.softmax(dim=1)


def everywhere(p):
    return torch.ones(p.shape[0], *p.shape[2:], dtype=torch.bool)


def value(contrast, first, second, groups=None, inside=None):
    groups = torch.arange(len(first)) if groups is None else torch.tensor(groups)
    return contrast(first, second, groups, everywhere(first) if inside is None else inside)


# -- areas --


def test_area_similarity_is_the_soft_dice_of_whole_maps():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 5, 6, generator=generator)
    s = area_similarity(torch.stack([a, b]))
    expected = (2 * (a * b).sum() + 1e-6) / (a.square().sum() + b.square().sum() + 1e-6)
    assert float(s[0, 1]) == pytest.approx(float(expected), rel=1e-6)
    assert s.diagonal().tolist() == pytest.approx([1.0, 1.0])
    assert torch.equal(s, s.T)
    assert float(area_similarity(torch.zeros(2, 1, 3, 3)).min()) == 1.0, "nothing is like nothing"


@pytest.mark.parametrize(("count", "best", "alike"), [(4, 1.165, 1.946), (26, 2.965, 3.932)])
def test_the_original_has_its_published_range(count, best, alike):
    """With T = 1 the loss hardly moves between 'all maps equal' and 'all images apart'."""
    shape = (3, 3 * count)
    apart = squares(*((0, 3 * k) for k in range(count)), shape=shape)
    equal = squares(*[(0, 0)] * count, shape=shape)
    for maps, expected in ((apart, best), (equal, alike)):
        loss, support = value(ORIGINAL, maps, maps)
        assert float(loss) == pytest.approx(expected, abs=2e-3)
        assert support == 2 * count


def test_original_is_its_formula():
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(3, 2, *SHAPE, generator=generator).softmax(dim=1) for _ in range(2))
    z = torch.cat([first[:, 1], second[:, 1]])
    s = area_similarity(z)
    each = []
    for a in range(6):
        plus = (a + 3) % 6
        others = sum(s[a, b].exp() for b in range(6) if b not in (a, plus))
        each.append(-(s[a, plus].exp() / (s[a, plus].exp() + others)).log())
    assert float(value(ORIGINAL, first, second)[0]) == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)


def test_temperature_changes_the_value():
    apart = squares((0, 0), (0, 4), (0, 8), (5, 0))
    values = [float(value(AreaContrast(temperature=t), apart, apart)[0]) for t in (1.0, 0.5, 0.1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(6 * math.exp(-10), rel=0.05), "the optimum, 0.0003, instead of 1.165"


def test_what_is_no_negative():
    corners = [(0, 0), (0, 1), (5, 8), None, None]
    maps = squares(*corners)
    contrast = AreaContrast()
    excluded, silent = contrast._excluded(
        [maps[:, 1:]] * 2, torch.tensor([0, 1, 2, 3, 4]), everywhere(maps).unsqueeze(1)
    )
    image = excluded[:5, :5]
    assert image[0, 1], "two thirds of the square are the same"
    assert not image[0, 2]
    assert image[3, 4], "two empty maps"
    assert not image[0, 3], "an empty map is another than a square"
    assert silent.tolist() == [False, False, False, True, True] * 2
    loss, support = value(contrast, maps, maps)
    assert support == 6
    same, fewer = value(contrast, maps, maps, [0, 1, 0, 3, 4])
    assert fewer == 6
    assert not torch.equal(loss, same), "images of one patient are no negatives"
    assert value(contrast, maps, maps, [7] * 5)[1] == 0


def test_both_networks_move_to_the_same_area():
    logits = [torch.zeros(3, 2, *SHAPE) for _ in range(2)]
    for network, corners in enumerate((((0, 0), (5, 8), (0, 8)), ((1, 1), (4, 7), (1, 7)))):
        for row, (y, x) in enumerate(corners):
            logits[network][row, 1, y : y + 3, x : x + 3] = 6.0
        logits[network][:, 0] = 4.0
        logits[network].requires_grad_()
    contrast = AreaContrast()

    def loss():
        return value(contrast, *(s.softmax(dim=1) for s in logits))[0]

    def overlap():
        p, q = (s.softmax(dim=1)[:, 1:] for s in logits)
        return area_similarity(torch.cat([p, q]))[:3, 3:].diagonal().mean()

    before, start = loss(), overlap()
    found = torch.autograd.grad(before, logits)
    assert all(g.abs().sum() > 0 for g in found)
    with torch.no_grad():
        for s, g in zip(logits, found, strict=True):
            s -= 3 * g
    assert loss().item() < before.item()
    assert overlap().item() > start.item()


@pytest.mark.parametrize(
    ("corners", "groups"), [([None, None, None], None), ([(0, 0)], None), ([(0, 0), (5, 8)], [1, 1])]
)
def test_nothing_to_compare_is_a_connected_zero(corners, groups):
    logits = squares(*corners).log().requires_grad_()
    loss, support = value(AreaContrast(), logits.softmax(dim=1), logits.softmax(dim=1), groups)
    assert support == 0
    assert loss.item() == 0.0
    (found,) = torch.autograd.grad(loss, logits)
    assert not found.any()


def test_beyond_the_image_there_is_no_area():
    maps = squares((0, 0), (5, 8))
    inside = everywhere(maps)
    inside[0, :4, :4] = False
    assert value(AreaContrast(), maps, maps)[1] == 4
    assert value(AreaContrast(), maps, maps, inside=inside)[1] == 2
    assert value(ORIGINAL, maps, maps, inside=torch.zeros_like(inside))[1] == 0


def test_volumes_are_cut_into_cells():
    maps = torch.arange(2.0 * 4 * 5 * 6).view(2, 1, 4, 5, 6)
    cells = cut_cells(maps, 2)
    assert cells.shape == (16, 1, 2, 2, 3)
    assert torch.equal(cells[0, 0], maps[0, 0, :2, :2, :3])
    assert torch.equal(cells[7, 0], maps[0, 0, 2:4, 2:4, 3:6])
    assert torch.equal(cells[8, 0], maps[1, 0, :2, :2, :3])
    volumes = squares((0, 0, 0), (4, 4, 4), shape=(8, 8, 8))
    loss, support = value(AreaContrast(), volumes, volumes)
    assert support == 4, "two cells hold something; all the others are empty in both networks"
    assert value(AreaContrast(cells=1), volumes, volumes)[1] == 4
    assert value(AreaContrast(), volumes, volumes, [3, 3])[1] == 0, "cells of one patient"
    assert float(loss) < 0.01


# -- a step of three modalities, of which some cases lack one --

PRESENT = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)


def make_step(present=PRESENT, losses=(0.3, 0.1, 0.2), branches=3, passes=False):
    generator = torch.Generator().manual_seed(0)
    rows = 4

    def logits():
        return 2 * torch.randn(rows, 3, *SHAPE, generator=generator)

    possible = torch.full((rows, *SHAPE), every_class(3), dtype=torch.int32)
    possible[:, 0] = 2
    possible[:, 1] = 0b101
    inside = torch.ones(rows, *SHAPE, dtype=torch.bool)
    inside[:, :, 0] = False
    weak = View(torch.zeros(rows, branches, *SHAPE), possible, inside, torch.arange(rows))
    step = Step(
        0.5, 3, {"weak": weak}, labelled_losses=losses, reads=tuple((k,) for k in range(branches)), present=present
    )
    for k in range(branches):
        lacking = torch.zeros(rows, dtype=torch.bool) if present is None else ~present[:, k]
        said, mine, mean = (logits().masked_fill(lacking.view(-1, 1, 1, 1), torch.nan) for _ in range(3))
        step.students.append({"weak": BranchOutput(mine.requires_grad_())})
        step.teachers.append({"weak": said.softmax(dim=1)})
        if passes:
            step.passes.append({"weak": mean.softmax(dim=1)})
    return step


def students(step):
    return [s["weak"].logits for s in step.students]


def gradients(loss, step):
    return torch.autograd.grad(loss, students(step), allow_unused=True, retain_graph=True)


TERMS = [MutualAreas(ORIGINAL), CrossModalAgreement(), SoftRelearning(Strongest()), SoftRelearning(Strongest("itself"))]


@pytest.mark.parametrize("term", TERMS)
def test_a_missing_modality_drops_its_terms_and_no_more(term):
    step = make_step()
    found = term(step)
    assert found.support > 0
    assert found.loss.isfinite()
    for k, gradient in enumerate(gradients(found.loss, step)):
        if gradient is not None:
            assert gradient[PRESENT[:, k]].isfinite().all()
    whole = term(make_step(present=None))
    by_itself = isinstance(term, SoftRelearning) and term.source.learners == "itself"
    assert whole.support > found.support - by_itself, "only who teaches itself misses nobody"
    alone = make_step(present=torch.eye(3, dtype=torch.bool)[[0, 1, 2, 0]])
    nothing = term(alone)
    if not by_itself:
        assert nothing.support == 0, "every case has another modality: nobody can learn from anybody"
        assert float(nothing.loss) == 0.0
        assert all(not g[g.isfinite()].any() for g in gradients(nothing.loss, alone) if g is not None)


def test_agreement_is_the_mean_over_pairs_of_modalities():
    step = make_step()
    p = [s.softmax(dim=1) for s in students(step)]
    counted = step.views["weak"].inside & (torch.arange(SHAPE[0]) > 0)[None, :, None]
    pairs = []
    for i, j, rows in ((0, 1, [0, 1]), (0, 2, [0]), (1, 2, [0, 2])):
        squared = (p[i][rows] - p[j][rows]).square().sum(dim=1) / 2
        pairs.append(squared[counted[rows]].mean())
    assert float(CrossModalAgreement()(step).loss) == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-5)
    found = gradients(CrossModalAgreement()(step).loss, step)
    assert all(g[torch.nonzero(PRESENT[:, k])[0]].any() for k, g in enumerate(found)), "both sides of a pair move"


def test_two_classes_give_the_squared_difference_of_the_foreground():
    maps = [squares((0, 0), (5, 8), sureness=1.0), squares((1, 1), (5, 8), sureness=2.0)]
    view = View(torch.zeros(2, 2, *SHAPE), torch.full((2, *SHAPE), 3), everywhere(maps[0]), torch.arange(2))
    step = Step(0.5, 2, {"weak": view}, [{"weak": BranchOutput(p.log())} for p in maps])
    expected = (maps[0][:, 1] - maps[1][:, 1]).square().mean()
    assert float(CrossModalAgreement()(step).loss) == pytest.approx(float(expected), rel=1e-5)


# -- the strongest teaches --


def test_the_strongest_that_can_read_a_row_teaches_it():
    step = make_step(losses=(0.3, 0.1, 0.2))
    taught_by = Strongest()._strongest(step)[1]
    assert taught_by.tolist() == [1, 1, 1, 0], "the last row has the first modality alone"
    for student in range(3):
        target = Strongest()(step, student, "weak")
        assert not target.probabilities.requires_grad
        assert target.probabilities.isfinite().all()
        taught = target.weight.flatten(1).any(dim=1)
        assert taught.tolist() == [k != student for k in taught_by.tolist()]
        own = Strongest("itself")(step, student, "weak").weight.flatten(1).any(dim=1)
        assert own.tolist() == [k == student for k in taught_by.tolist()]
        free = target.probabilities[:, :, 2:]
        for row, k in enumerate(taught_by.tolist()):
            assert torch.allclose(free[row], step.teachers[k]["weak"][row, :, 2:], atol=1e-6)
        assert float(target.probabilities[:, 1, 1].max()) == 0.0, "what is ruled out is not taught"
        assert not target.weight[:, 0].any(), "what is annotated needs no teacher"
        assert not target.weight[:, :, 0].any()
    assert Strongest()._strongest(make_step(losses=(0.1, 0.2, 0.3)))[1].tolist() == [0, 0, 1, 0]
    assert Strongest()._strongest(make_step(losses=(math.inf, 0.2, math.inf)))[1].tolist() == [1, 1, 1, 0]
    assert Strongest(teacher=-1)._strongest(step)[1].tolist() == [2, -1, 2, -1], "named beforehand: no other teaches"
    assert not Strongest(teacher=-1)(step, 0, "weak").weight[[1, 3]].any()


def test_a_certain_voxel_counts_more():
    step = make_step(present=None)
    target = Strongest(certain=True)(step, 0, "weak")
    plain = Strongest()(step, 0, "weak")
    expected = plain.weight * (1 - entropy(plain.probabilities))
    assert torch.allclose(target.weight, expected, atol=1e-6)
    assert float(target.weight.max()) <= 1.0
    assert len(target.weight.unique()) > 10


def test_passes_are_averaged_with_the_first():
    step = make_step(present=None, passes=True)
    target = Strongest(passes=4)(step, 0, "weak").probabilities
    expected = (step.teachers[1]["weak"] + 3 * step.passes[1]["weak"]) / 4
    assert torch.allclose(target[:, :, 2:], expected[:, :, 2:], atol=1e-6)
    assert Strongest(passes=4).reads == {"teachers", "passes"}


def test_relearning_is_its_formula_and_moves_the_student_alone():
    step = make_step(present=None, losses=(0.2, 0.1), branches=2)
    source = Strongest()
    term = SoftRelearning(source, ORIGINAL, area=0.1, cross_entropy=10.0, dice=7.0)
    target = source(step, 0, "weak")
    log_p = students(step)[0].log_softmax(dim=1)
    foreground = PseudoLabel(target.probabilities[:, 1:], target.weight)
    voxels = 10 * soft_cross_entropy(log_p, target) + 7 * soft_dice(log_p.exp()[:, 1:], foreground)
    view = step.views["weak"]
    areas, _ = ORIGINAL(target.probabilities, log_p.exp(), view.cases, view.inside)
    found = term(step)
    assert float(found.loss) == pytest.approx(float(0.1 * areas + 0.9 * voxels), rel=1e-5)
    assert found.support == int((target.weight > 0).sum())
    moved = gradients(found.loss, step)
    assert moved[0].any()
    assert moved[1] is None, "the strongest teaches and is not taught"
    without = dataclasses.replace(term, area=0.0)
    assert float(without(step).loss) == pytest.approx(float(voxels), rel=1e-5)


def test_relearning_draws_the_student_to_the_soft_label():
    step = make_step(present=None, losses=(0.2, 0.1), branches=2)
    target = Strongest()(step, 0, "weak")
    distances = []
    for share in (0.0, 0.5, 1.0):
        mixed = (1 - share) * students(step)[0].softmax(dim=1) + share * target.probabilities
        other = make_step(present=None, losses=(0.2, 0.1), branches=2)
        other.students[0] = {"weak": BranchOutput(mixed.clamp_min(1e-6).log().detach().requires_grad_())}
        other.teachers = step.teachers
        distances.append(float(SoftRelearning(Strongest(), area=0.0)(other).loss))
    assert distances == sorted(distances, reverse=True), "lowest at the soft label itself"


# -- the recipes --


def test_the_stages_of_system_d():
    method = get_method("semi_cml")
    active = {p: [t.name for t in method.terms if t.active(p)] for p in (0.0, 0.49, 0.5, 0.89, 0.9, 0.999)}
    assert active[0.0] == active[0.49] == ["supervised", "areas", "agreement"]
    assert active[0.5] == active[0.89] == ["supervised", "relearning"]
    assert active[0.9] == active[0.999] == ["supervised", "relearning", "self_relearning"]


def test_the_original_and_its_oddities():
    method = get_method("semi_cml_original")
    weights = {t.name: t for t in method.terms}
    active = {epoch: [t.name for t in method.terms if t.active((epoch + 0.5) / 81)] for epoch in (0, 50, 51, 74, 75)}
    assert active[0] == active[50] == ["supervised", "areas", "agreement"]
    assert active[51] == active[74] == ["relearning"], "the labelled loss is dropped"
    assert active[75] == ["relearning", "self_relearning"]
    scale = weights["supervised"].weight(0.0) / 17
    assert weights["areas"].weight(0.3) / scale == pytest.approx(3.5)
    assert weights["agreement"].weight(0.0) / scale == pytest.approx(math.exp(-5))
    assert weights["agreement"].weight(50 / 81) / scale == pytest.approx(0.060, abs=1e-3)
    assert weights["relearning"].weight(0.7) / scale == pytest.approx(1.0)
    assert (method.best.start * 81, method.best.end * 81, method.best.pool) == pytest.approx((11, 51, 6))
    taught = weights["relearning"].term
    assert (taught.area, taught.cross_entropy, taught.dice) == (0.1, 10.0, 7.0)
    assert taught.contrast == weights["areas"].term.contrast == ORIGINAL
    assert 1 + method.monte_carlo == taught.source.passes == 4
