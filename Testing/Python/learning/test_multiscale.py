"""System C's pieces: banks, hard anchors, patches; what each compares with what, and what never takes part."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from SemiSegCervicalLib.engine.branch import BranchOutput
from SemiSegCervicalLib.engine.uncertainty import entropy
from SemiSegTrainerLib.learning.banks import VoxelBank, VoxelKeys
from SemiSegTrainerLib.learning.checkpoint import load_checkpoint
from SemiSegTrainerLib.learning.grids import at_centres, patch_numbers
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.sources import Peer
from SemiSegTrainerLib.learning.step import Mixing, PseudoLabel, Step, View
from SemiSegTrainerLib.learning.targets import decided, every_class
from SemiSegTrainerLib.learning.terms.dense_contrast import (
    PatchContrast,
    PixelContrast,
    hard_and_random,
    supervised_contrast,
)
from SemiSegTrainerLib.learning.training import CHECKPOINT, NonFiniteLossError
from torch.nn import functional
from TrainingRig import cases, parts

SHAPES = {"2D": (16, 32), "3D": (8, 16, 16)}
CLASSES = 3
NOTHING = every_class(CLASSES)
SURE = Peer(threshold=0.8, sharpen=0.0)


@pytest.fixture(params=list(SHAPES))
def shape(request):
    return SHAPES[request.param]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return parts.load(cases.write_dataset(tmp_path_factory.mktemp("data")))


def unit(generator, *shape):
    return functional.normalize(torch.randn(*shape, generator=generator), dim=1)


def make_step(shape, rows=2, branches=2, seed=0, iteration=0, memory=()):
    """Branches with an opinion that comes in blobs, of which a part is sure; features at half the resolution."""
    generator = torch.Generator().manual_seed(seed)
    coarse = tuple(n // 2 for n in shape)

    def logits():
        drawn = torch.randn(rows, CLASSES, *(n // 4 for n in shape), generator=generator)
        return (3 * functional.interpolate(drawn, size=shape)).requires_grad_()

    drawn = torch.randint(0, CLASSES, (rows, 1, *(n // 4 for n in shape)), generator=generator).float()
    labels = functional.interpolate(drawn, size=shape)[:, 0].int()
    known = (1 << labels).to(torch.int32)
    known[:, :3] = NOTHING
    inside = torch.ones(rows, *shape, dtype=torch.bool)
    outside = inside.clone()
    outside[:, -3:] = False
    undecided = torch.full((rows, *shape), NOTHING, dtype=torch.int32)
    undecided[:, :2] = 2
    images = torch.zeros(rows, 1, *shape)
    weak = View(images, undecided, outside, torch.arange(rows, 2 * rows))
    views = {"labelled": View(images, known, inside, torch.arange(rows)), "weak": weak, "strong": weak}
    students = [
        {v: BranchOutput(logits(), {}, None, unit(generator, rows, 6, *coarse).requires_grad_()) for v in views}
        for _ in range(branches)
    ]
    return Step(0.5, CLASSES, views, students, memory=dict(memory), seed=iteration)


def vectors(step, branch, view):
    return step.students[branch][view].voxels


def gradient(loss, tensor):
    (found,) = torch.autograd.grad(loss, tensor, allow_unused=True, retain_graph=True)
    return found


# -- grids --


@pytest.mark.parametrize(("shape", "patches"), [((24, 40), (4, 4)), ((10, 14, 14), (2, 4, 4)), ((3, 5), (4, 4))])
def test_patches_neither_overlap_nor_leave_anything_out(shape, patches):
    numbers = patch_numbers(shape, patches)
    assert numbers.shape == shape
    counts = numbers.flatten().bincount(minlength=math.prod(patches))
    assert int(counts.sum()) == math.prod(shape)
    if all(n >= m for n, m in zip(shape, patches, strict=True)):
        assert int(counts.min()) >= math.prod(n // m for n, m in zip(shape, patches, strict=True))
        corners = [numbers[tuple(-i for i in place)] for place in itertools.product((0, 1), repeat=len(shape))]
        assert len(set(map(int, corners))) == 2 ** len(shape)
        along = numbers[(*(0,) * (len(shape) - 1), slice(None))]
        assert bool((along.diff() >= 0).all()), "a patch is in one piece"


# -- the threshold --


@pytest.mark.parametrize(("dims", "least"), [(2, 0.95), (3, 0.75)])
def test_images_need_surer_labels_than_volumes(dims, least):
    step = make_step(SHAPES[f"{dims}D"])
    source = get_method("multiscale_contrast").terms[1].term.source
    target = source(step, 0, "strong")
    highest = step.probabilities(1, "weak").amax(dim=1)
    expected = step.views["weak"].inside & ~decided(step.views["weak"].possible) & (highest >= least)
    assert torch.equal(target.weight > 0, expected)
    assert 0.1 < float((target.weight > 0).float().mean()) < 0.95
    assert set(target.probabilities.unique().tolist()) == {0.0, 1.0}
    assert not target.probabilities.requires_grad


# -- the bank --


def test_bank_holds_reliable_and_annotated_voxels_of_the_other_branch(shape):
    step = make_step(shape)
    bank = VoxelBank(SURE, size=10_000, fresh=10_000)
    for student in (0, 1):
        keys = bank(step, student, "strong")
        other = 1 - student
        coarse = vectors(step, other, "weak").shape[2:]
        target = SURE(step, student, "weak")
        reliable = at_centres(target.weight, coarse) > 0
        labels = at_centres(target.probabilities, coarse).argmax(dim=1)
        possible = at_centres(step.views["labelled"].possible, coarse)
        assert 0.1 < float(reliable.float().mean()) < 0.9
        for c in range(CLASSES):
            expected = {
                tuple(v) for v in vectors(step, other, "weak").movedim(1, -1)[reliable & (labels == c)].tolist()
            }
            theirs = vectors(step, other, "labelled").movedim(1, -1)[possible == 1 << c]
            expected |= {tuple(v) for v in theirs.tolist()}
            assert {tuple(v) for v in keys.bank[c].tolist()} == expected
            assert len(keys.bank[c]) == len(expected) > 5
            assert not keys.bank[c].requires_grad
        assert torch.equal(keys.positives, vectors(step, other, "weak"))
        assert not keys.positives.requires_grad


def test_bank_keeps_the_newest_and_never_too_many(shape):
    bank, memory, history = VoxelBank(SURE, size=20, fresh=8), {}, []
    for iteration in range(4):
        step = make_step(shape, seed=iteration, iteration=iteration, memory=memory)
        keys = bank(step, 0, "strong").bank
        memory = {name: value.clone() for name, value in bank.remember(step).items()}
        assert len(memory) == 2 * CLASSES
        assert all(torch.equal(memory[f"voxels of class {c} for branch 0"], keys[c]) for c in range(CLASSES))
        history.append(keys)
    assert [len(h[0]) for h in history] == [8, 16, 20, 20]
    for before, after in itertools.pairwise(history):
        for old, new in zip(before, after, strict=True):
            assert torch.equal(new[8:], old[:12]), "the oldest go first"
    again = make_step(shape, seed=0, iteration=1)
    assert not torch.equal(bank(again, 0, "strong").bank[0], history[0][0]), "each step draws others"


def test_bank_of_one_branch_and_of_three(shape):
    for count in (1, 3):
        step = make_step(shape, branches=count)
        for student in range(count):
            keys = VoxelBank(SURE)(step, student, "strong")
            assert torch.equal(keys.positives, vectors(step, (student + 1) % count, "weak"))


def test_positives_follow_the_views_mixing(shape):
    step = make_step(shape)
    mask = torch.zeros(2, *shape, dtype=torch.bool)
    mask[..., : shape[-1] // 2] = True
    step.views["strong"] = dataclasses.replace(step.views["strong"], mixing=Mixing(torch.tensor([1, 0]), mask))
    positives = VoxelBank(SURE)(step, 0, "strong").positives
    plain, half = vectors(step, 1, "weak"), shape[-1] // 4
    assert torch.equal(positives[..., :half], plain.flip(0)[..., :half])
    assert torch.equal(positives[..., half:], plain[..., half:])


def test_what_a_run_remembers_carries_no_gradient_and_travels_in_the_checkpoint(tmp_path, data):
    run = parts.training("multiscale_contrast", data, tmp_path)
    run.run(should_stop=lambda: run.iteration == 3)
    assert run.memory
    assert all(not v.requires_grad and v.grad_fn is None for v in run.memory.values())
    assert all(len(v) <= 512 for v in run.memory.values())
    assert parts.same(load_checkpoint(tmp_path / CHECKPOINT)["memory"], run.memory)
    for branch in run.branches:  # untrained ones are sure of nothing
        for parameter in branch.network.get_submodule(branch.head).parameters():
            parameter.data.mul_(20)
    step = run.look(3, 0.5)
    term = get_method("multiscale_contrast").terms[2].term
    with_bank = term(step).loss
    before = {name: value.clone() for name, value in run.memory.items()}
    without = term(dataclasses.replace(step, memory={})).loss
    assert with_bank != without, "what was remembered has a say"
    assert parts.same(before, run.memory), "the term itself remembers nothing"
    assert parts.training("supervised", data).memory == {}


def test_measuring_the_pace_leaves_no_trace_in_the_memory(data):
    run = parts.training("multiscale_contrast", data, minutes=0.01, iterations=None)
    assert run.pace(warm_up=1, timed=1) > 0
    assert run.memory == {}


# -- anchors and voxels --


def test_half_of_the_anchors_are_the_hardest():
    values = torch.rand(500, generator=torch.Generator().manual_seed(0))
    chosen = hard_and_random(values, 64, torch.Generator().manual_seed(1))
    assert len(chosen) == len(set(chosen.tolist())) == 64
    hardest = set(values.topk(32).indices.tolist())
    assert hardest <= set(chosen.tolist())
    others = values[[i for i in chosen.tolist() if i not in hardest]]
    assert float(others.mean()) == pytest.approx(0.47, abs=0.12), "the other half comes from anywhere"
    other = hard_and_random(values, 64, torch.Generator().manual_seed(2))
    assert hardest <= set(other.tolist()) != set(chosen.tolist())
    assert sorted(hard_and_random(values[:5], 64, torch.Generator()).tolist()) == [0, 1, 2, 3, 4]
    assert len(hard_and_random(values[:0], 64, torch.Generator())) == 0


def pixel_reference(step, student, temperature):
    """The term voxel by voxel, for banks and anchors that are taken whole."""
    mine, other = vectors(step, student, "strong").detach(), vectors(step, 1 - student, "weak").detach()
    coarse = mine.shape[2:]
    target = SURE(step, student, "strong")
    keys = VoxelBank(SURE, size=10_000, fresh=10_000)(step, student, "strong")
    losses = []
    for row, *place in itertools.product(range(len(mine)), *map(range, coarse)):
        where = (row, slice(None), *place)
        if at_centres(target.weight, coarse)[(row, *place)] == 0:
            continue
        c = int(at_centres(target.probabilities, coarse)[where].argmax())
        positive = math.exp(float(mine[where] @ other[where]) / temperature)
        negative = sum(
            math.exp(float(mine[where] @ n) / temperature) for k in range(CLASSES) if k != c for n in keys.bank[k]
        )
        losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses), len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_pixel_contrast_is_its_formula(temperature):
    step = make_step((8, 16))
    bank = VoxelBank(SURE, size=10_000, fresh=10_000)
    value = PixelContrast(SURE, bank, anchors=10_000, negatives=10_000, temperature=temperature)(step)
    expected = [pixel_reference(step, student, temperature) for student in (0, 1)]
    assert float(value.loss.detach()) == pytest.approx(sum(loss for loss, _ in expected), rel=1e-4)
    assert value.support == max(count for _, count in expected)


def test_anchors_are_reliable_and_as_many_of_every_class(shape):
    step = make_step(shape)
    value = PixelContrast(SURE, VoxelBank(SURE), anchors=4)(step)
    assert value.support == 4 * CLASSES
    for student in (0, 1):
        found = gradient(value.loss, vectors(step, student, "strong")).abs().sum(dim=1) > 0
        coarse = found.shape[1:]
        target = SURE(step, student, "strong")
        assert not bool((found & (at_centres(target.weight, coarse) == 0)).any()), "rejected voxels are no anchors"
        labels = at_centres(target.probabilities, coarse).argmax(dim=1)
        unsure = entropy(at_centres(step.probabilities(student, "strong").detach(), coarse))
        for c in range(CLASSES):
            assert int((found & (labels == c)).sum()) == 4
            mine = unsure[(labels == c) & (at_centres(target.weight, coarse) > 0)]
            assert float(unsure[found & (labels == c)].max()) == float(mine.max())
        for view in ("weak", "labelled"):
            assert gradient(value.loss, vectors(step, student, view)) is None, "keys are detached"


class Given:
    """A source that says what it was given, for every student."""

    def __init__(self, answer):
        self.answer, self.reads = answer, frozenset()

    def __call__(self, step, student, view):
        return self.answer


def test_pixel_contrast_has_the_right_polarity(shape):
    """Close to the same place and far from other classes is good, the reverse bad; a sharper contrast says so more."""
    step = make_step(shape)
    coarse = vectors(step, 0, "strong").shape[2:]
    classes = torch.zeros(2, *coarse, dtype=torch.int64)
    classes[..., : coarse[-1] // 2] = 1
    directions = torch.eye(6)[:CLASSES]
    maps = directions[classes].movedim(-1, 1)
    fine = functional.interpolate(functional.one_hot(classes, CLASSES).movedim(-1, 1).float(), size=shape)
    source = Given(PseudoLabel(fine, torch.ones(2, *shape)))
    bank = Given(VoxelKeys(maps, tuple(d.expand(10, 6) for d in directions)))

    def loss(voxels, temperature=0.1):
        for student in step.students:
            student["strong"] = dataclasses.replace(student["strong"], voxels=voxels.requires_grad_())
        return float(PixelContrast(source, bank, temperature=temperature)(step).loss.detach())

    right, wrong = loss(maps.clone()), loss(directions[1 - classes].movedim(-1, 1).clone())
    undecided = loss(functional.normalize(torch.ones_like(maps), dim=1))
    assert right < 0.01 < undecided < wrong
    assert undecided == pytest.approx(2 * math.log(21), rel=1e-3), "20 negatives, all as near as the positive"
    assert wrong > 20 > loss(directions[1 - classes].movedim(-1, 1).clone(), 1.0)


def test_negatives_are_of_other_classes_and_bounded(shape):
    step = make_step(shape)
    bank = VoxelBank(SURE, size=10_000, fresh=10_000)
    keys = bank(step, 0, "strong")
    term = PixelContrast(SURE, bank, negatives=7)
    for c in range(CLASSES):
        drawn = {tuple(v) for v in term._negatives(step, 0, keys, c).tolist()}
        assert len(drawn) == 7
        assert not drawn & {tuple(v) for v in keys.bank[c].tolist()}
        more = dataclasses.replace(term, negatives=10_000)._negatives(step, 0, keys, c)
        assert len(more) == sum(len(b) for k, b in enumerate(keys.bank) if k != c)


def test_one_class_alone_has_no_contrast(shape):
    step = make_step(shape)
    only = PseudoLabel(
        torch.eye(CLASSES)[0].view(1, -1, *(1,) * len(shape)).expand(2, -1, *shape), torch.ones(2, *shape)
    )
    step.views["labelled"].possible = torch.ones_like(step.views["labelled"].possible)
    for term in (PixelContrast(Given(only), VoxelBank(Given(only))), PatchContrast(Given(only))):
        value = term(step)
        assert value.support == 0
        assert float(value.loss.detach()) == 0.0
        assert not gradient(value.loss, vectors(step, 0, "strong")).any()


# -- patches --


def test_supervised_contrast_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    z, classes = unit(generator, 9, 6), torch.tensor([0, 0, 0, 1, 1, 2, 1, 0, 3])
    losses = []
    for i in range(9):
        partners = [p for p in range(9) if p != i and classes[p] == classes[i]]
        if partners:
            below = sum(math.exp(float(z[i] @ z[a]) / 0.2) for a in range(9) if a != i)
            losses.append(-sum(math.log(math.exp(float(z[i] @ z[p]) / 0.2) / below) for p in partners) / len(partners))
    loss, support = supervised_contrast(z, classes, 0.2)
    assert support == len(losses) == 7
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert float(supervised_contrast(z, classes, 0.1)[0]) != pytest.approx(float(loss), rel=0.05)


def test_supervised_contrast_has_the_right_polarity_and_needs_partner_and_rival():
    classes = torch.tensor([0, 0, 1, 1])
    together = torch.eye(6)[classes].requires_grad_()
    loss, _ = supervised_contrast(together, classes, 0.1)
    assert float(loss) < 0.01 < float(supervised_contrast(torch.eye(6)[[0, 1, 0, 1]], classes, 0.1)[0])
    for alone in ([0, 0, 0, 0], [0, 1, 2, 3]):
        loss, support = supervised_contrast(together, torch.tensor(alone), 0.1)
        assert (float(loss), support) == (0.0, 0)
        assert not gradient(loss, together).any()
    loss, support = supervised_contrast(together[:0], classes[:0], 0.1)
    assert (float(loss), support) == (0.0, 0)
    assert loss.requires_grad


def test_a_patch_shows_a_class_only_where_it_is_clear(shape):
    """Per patch: share of segment 1, share of segment 2, share that is known, and the class that it should show."""
    rules = [
        (0.00, 0.00, 1.0, 0), (0.04, 0.00, 1.0, 0), (0.10, 0.00, 1.0, None), (0.45, 0.00, 1.0, None),
        (0.55, 0.00, 1.0, 1), (1.00, 0.00, 1.0, 1), (0.20, 0.70, 1.0, 2), (0.45, 0.45, 1.0, None),
        (1.00, 0.00, 0.4, None), (1.00, 0.00, 0.6, 1), (0.00, 0.00, 0.4, None), (0.00, 0.00, 0.6, 0),
        (0.00, 0.00, 0.0, None), (0.03, 0.03, 1.0, None), (0.00, 0.55, 0.6, 2), (0.00, 1.00, 1.0, 2),
    ]  # fmt: skip
    dims = len(shape)
    grid = (2,) * (dims - 2) + (40, 40)
    count = 2 if dims == 3 else 1
    numbers = patch_numbers(grid, (1,) * (dims - 2) + (4, 4))
    labels, weight = torch.zeros(1, *grid, dtype=torch.int64), torch.zeros(1, *grid)
    for number, (first, second, known, _) in enumerate(rules):
        places = (numbers == number).nonzero()
        seen = round(known * len(places))
        for i, place in enumerate(places):
            labels[(0, *place)] = 1 if i < first * seen else 2 if i < (first + second) * seen else 0
            weight[(0, *place)] = float(i < seen)
    assert len(places) == 100 * count
    term = PatchContrast(SURE, patches=((4, 4), (1, 4, 4)))
    voxels = unit(torch.Generator().manual_seed(0), 1, 6, *grid)
    found, classes = term._patches(voxels, labels, weight, CLASSES)
    assert classes.tolist() == [c for *_, c in rules if c is not None]
    expected = []
    for number, (*_, c) in enumerate(rules):
        if c is not None:
            mask = (numbers == number) & (weight[0] > 0)
            expected.append(functional.normalize(voxels[0][:, mask].mean(dim=1), dim=0))
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)


def test_patch_vectors_are_weighted_by_reliability():
    voxels = unit(torch.Generator().manual_seed(0), 1, 6, 4, 8)
    weight = torch.rand(1, 4, 8, generator=torch.Generator().manual_seed(1)) + 0.1
    term = PatchContrast(SURE, patches=((1, 2), (1, 1, 1)))
    found, _ = term._patches(voxels, torch.zeros(1, 4, 8, dtype=torch.int64), weight, CLASSES)
    left = (voxels * weight.unsqueeze(1))[0, :, :, :4].sum(dim=(1, 2)) / weight[0, :, :4].sum()
    assert torch.allclose(found[0], functional.normalize(left, dim=0), atol=1e-6)


def test_patch_contrast_takes_annotated_and_reliable_patches_of_one_branch_together(shape):
    step = make_step(shape)
    term = PatchContrast(SURE, patches=((4, 8), (2, 4, 4)), known=0.2)
    value = term(step)
    assert value.support > 10
    for student in (0, 1):
        for view in ("strong", "labelled"):
            found = gradient(value.loss, vectors(step, student, view)).abs().sum(dim=1) > 0
            coarse = found.shape[1:]
            known = at_centres(SURE(step, student, "strong").weight, coarse) > 0
            if view == "labelled":
                known = decided(at_centres(step.views["labelled"].possible, coarse))
            assert bool(found.any())
            assert not bool((found & ~known).any()), "what is not known has no say"
        assert gradient(value.loss, vectors(step, student, "weak")) is None


# -- the recipe --


def test_the_perturbation_leaves_what_teaches_alone(data):
    run = parts.training("multiscale_contrast", data)
    plain = parts.training(get_method("multiscale_contrast").without(["perturbation"]), data)
    for branch in (*run.branches, *plain.branches):
        branch.eval()
    step, undisturbed = run.look(3, 0.5), plain.look(3, 0.5)
    for mine, theirs in zip(step.students, undisturbed.students, strict=True):
        for view in ("weak", "labelled"):
            assert torch.equal(mine[view].logits, theirs[view].logits)
            assert torch.equal(mine[view].voxels, theirs[view].voxels)
        assert not torch.equal(mine["strong"].logits, theirs["strong"].logits)
        assert not torch.equal(mine["strong"].voxels, theirs["strong"].voxels)


@pytest.mark.parametrize(
    ("left_out", "named"), [(["cross"], "pixel"), (["pixel"], "cross"), (["pixel", "cross"], "patch")]
)
def test_nan_in_an_unlabelled_case_names_the_first_term_that_meets_it(data, left_out, named):
    images = torch.stack(data.images)
    images[list(data.open)] = torch.nan
    method = get_method("multiscale_contrast").without(left_out)
    run = parts.training(method, dataclasses.replace(data, images=tuple(images)), iterations=2)
    with pytest.raises(NonFiniteLossError, match=f"The term {named} "):
        run.run()


def test_students_can_see_weak_views_alone(data):
    moved = get_method("multiscale_contrast").seeing("weak")
    assert moved.student_views == ("labelled", "weak")
    assert moved.perturbation is None
    parts.training(moved, data, iterations=1).run()
