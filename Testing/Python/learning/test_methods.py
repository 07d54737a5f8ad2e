"""What every recipe must keep: gradients, support, silence without support, one pass per branch, resume, NaN."""

from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import torch
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.method import Method, get_method, method_names
from SemiSegTrainerLib.learning.schedules import Constant
from SemiSegTrainerLib.learning.step import Mixing, Step, TermValue, View, WeightedTerm
from SemiSegTrainerLib.learning.targets import decided, every_class, membership
from SemiSegTrainerLib.learning.terms.agreement import (
    CosineAgreement,
    CrossSupervision,
    RectifiedSupervision,
    SquaredConsistency,
)
from SemiSegTrainerLib.learning.terms.contrast import ImageContrast, PrototypeContrast
from SemiSegTrainerLib.learning.terms.cross_modal import CrossModalAgreement, MutualAreas, SoftRelearning
from SemiSegTrainerLib.learning.terms.dense_contrast import PatchContrast, PixelContrast
from SemiSegTrainerLib.learning.terms.supervised import Mistakes, Supervised
from SemiSegTrainerLib.learning.training import NonFiniteLossError
from TrainingRig import cases, parts


def term_of(name, term):
    return next(t.term for t in get_method(name).terms if t.name == term)


NOTHING = every_class(parts.CLASSES)
TERMS = [(name, term.name) for name in method_names() for term in get_method(name).terms]
every_method = pytest.mark.parametrize("name", method_names())
every_term = pytest.mark.parametrize(("name", "term"), TERMS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return parts.load(cases.write_dataset(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module", params=["2D", "3D"])
def either(request, data):
    return data if request.param == "2D" else parts.volumes()


def prepare(name, data, iteration=3):
    """Return a run whose averages differ from their branches, and one of its steps."""
    run = parts.training(name, data)
    for seed, average in enumerate(run.averages):
        torch.manual_seed(seed)
        for parameter in average.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    make_sure(run)
    return run, run.look(iteration, 0.7)


def make_sure(run):
    """Let the branches be sure of something, as trained ones are: else nothing is reliable, and nothing a mistake."""
    if run.method.by_modality:
        draw_areas(run)
        return
    for branch in run.branches:
        for parameter in branch.network.get_submodule(branch.head).parameters():
            parameter.data.mul_(20)


LEARNED = {}


def draw_areas(run):
    """Let the branches draw something of what they are shown: random ones draw the same in every image."""
    dims = len(run.data.size)
    if dims not in LEARNED:
        teacher = parts.training("supervised_modalities", run.data, iterations=60, learning_rate=1e-2)
        teacher.run()
        LEARNED[dims] = [copy.deepcopy(branch.state_dict()) for branch in teacher.branches]
    for branch, state in zip(run.branches, LEARNED[dims], strict=True):
        branch.load_state_dict(state)


def named_parameters(run):
    return [(f"{k}.{n}", p) for k, b in enumerate(run.branches) for n, p in b.named_parameters()]


def gradients(run, loss):
    """Return the gradient of every parameter by name; None where the loss does not reach it."""
    named = named_parameters(run)
    found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True, retain_graph=True)
    return dict(zip([n for n, _ in named], found, strict=True))


def network_parameters(run):
    return {n for n, _ in named_parameters(run) if "projector" not in n}


def embedding_parameters(run):
    """The projector, and what lies before the bottleneck: found by asking the bottleneck itself."""
    found = set()
    for k, branch in enumerate(run.branches):
        output = branch(torch.randn(2, 1, *run.data.size), taps=("bottleneck",))
        named = [(f"{k}.{n}", p) for n, p in branch.network.named_parameters(prefix="network")]
        reached = torch.autograd.grad(
            output.features["bottleneck"].square().sum(), [p for _, p in named], allow_unused=True
        )
        found |= {n for (n, _), g in zip(named, reached, strict=True) if g is not None}
        found |= {f"{k}.{n}" for n, _ in branch.named_parameters() if "projector" in n}
    return found


def voxel_parameters(run):
    """The voxel projector, and what lies before its tap."""
    found = set()
    for k, branch in enumerate(run.branches):
        output = branch(torch.randn(2, 1, *run.data.size))
        named = [(f"{k}.{n}", p) for n, p in branch.named_parameters()]
        reached = torch.autograd.grad(output.voxels.square().sum(), [p for _, p in named], allow_unused=True)
        found |= {n for (n, _), g in zip(named, reached, strict=True) if g is not None}
    assert found < {n for n, _ in named_parameters(run)}
    assert all(any(f"{k}.voxel_projector" in n for n in found) for k in range(len(run.branches)))
    return found


def loser_parameters(run):
    """Nothing has been learned yet: the first branch counts as the winner."""
    return {n for n in network_parameters(run) if not n.startswith("0.")}


REACHES = {
    Supervised: network_parameters,
    Mistakes: network_parameters,
    CrossSupervision: network_parameters,
    SquaredConsistency: network_parameters,
    RectifiedSupervision: loser_parameters,
    CosineAgreement: network_parameters,
    ImageContrast: embedding_parameters,
    PrototypeContrast: voxel_parameters,
    MutualAreas: network_parameters,
    CrossModalAgreement: network_parameters,
    PixelContrast: voxel_parameters,
    PatchContrast: voxel_parameters,
}


def reached_by(term, run):
    if not isinstance(term, SoftRelearning):
        return REACHES[type(term)](run)
    strongest = (term.source.teacher or 0) % len(run.branches)
    return {n for n in network_parameters(run) if (int(n[0]) == strongest) == (term.source.learners == "itself")}


@every_term
def test_gradient_reaches_exactly_what_it_should(either, name, term):
    run, step = prepare(name, either)
    chosen = term_of(name, term)
    value = chosen(step)
    assert value.support > 0
    assert value.loss.requires_grad
    assert value.loss.item() > 0
    found = gradients(run, value.loss)
    reached = {n for n, g in found.items() if g is not None}
    assert all(g.isfinite().all() for g in found.values() if g is not None)
    assert not any(p.requires_grad for a in run.averages for p in a.model.parameters())
    assert reached == reached_by(chosen, run)
    # Biases before a normalisation have no effect; every matrix and kernel that is reached must have one.
    idle = [n for n in reached if found[n].ndim > 1 and not found[n].any()]
    assert reached
    assert not idle


@every_method
def test_every_parameter_learns_from_some_term(data, name):
    run, step = prepare(name, data)
    reached = set()
    for weighted in run.method.terms:
        reached |= {n for n, g in gradients(run, weighted.term(step).loss).items() if g is not None}
    assert reached == {f"{k}.{n}" for k, b in enumerate(run.branches) for n, _ in b.named_parameters()}


class Recorded:
    """A source that says again what another one said: the targets of a step, while the students move."""

    def __init__(self, source, step):
        self.answers = functools.cache(lambda student, view: source(step, student, view))

    def __call__(self, step, student, view):
        return self.answers(student, view)


@every_term
def test_small_step_against_the_gradient_lowers_the_term(either, name, term):
    run, step = prepare(name, either)
    chosen = term_of(name, term)
    sources = {
        f.name: Recorded(getattr(chosen, f.name), step)
        for f in dataclasses.fields(chosen)
        if hasattr(getattr(chosen, f.name), "reads")
    }
    chosen = dataclasses.replace(chosen, **sources)
    before = chosen(step).loss
    found = gradients(run, before)
    length = torch.stack([g.norm() for g in found.values() if g is not None]).norm()
    assert length > 1e-4
    with torch.no_grad():
        for k, branch in enumerate(run.branches):
            for n, parameter in branch.named_parameters():
                if found[f"{k}.{n}"] is not None:
                    parameter -= 1e-3 * found[f"{k}.{n}"] / length
    assert chosen(run.look(3, 0.7)).loss.item() < before.item()


@pytest.mark.parametrize(("name", "term"), [(n, t) for n, t in TERMS if hasattr(term_of(n, t), "source")])
def test_pseudo_labels_are_detached_and_never_contradict_what_is_annotated(data, name, term):
    possible = torch.stack(data.possible)
    possible[:, ::2, : possible.shape[-1] // 2] = NOTHING  # every case is annotated in part
    possible[:, :, -4:] = NOTHING - 2  # here one class is ruled out
    rows = tuple(range(len(possible)))
    _, step = prepare(name, dataclasses.replace(data, possible=tuple(possible), annotated=rows, open=rows))
    chosen = term_of(name, term)
    seen = step.views[chosen.view]
    for student in range(len(step.students)):
        target = chosen.source(step, student, chosen.view)
        assert not target.probabilities.requires_grad
        assert not target.weight.requires_grad
        taught = target.weight > 0
        assert not (taught & decided(seen.possible)).any()
        assert not (taught & ~seen.inside).any()
        assert not (target.probabilities * ~membership(seen.possible, parts.CLASSES) * taught.unsqueeze(1)).any()


def without_support(view, rows):
    view.possible = torch.full_like(view.possible, NOTHING)
    view.inside = torch.zeros_like(view.inside)
    view.cases = torch.zeros_like(view.cases)


def all_decided(view, rows):
    view.possible = torch.ones_like(view.possible)
    view.inside = torch.ones_like(view.inside)


def one_segment(view, rows):
    view.possible = torch.full_like(view.possible, 2)


def one_item(view, rows):
    for field in ("images", "possible", "inside", "cases"):
        setattr(view, field, getattr(view, field)[:1])
    if view.mixing is not None:
        rows = {f.name: torch.zeros(1, dtype=torch.int64) for f in dataclasses.fields(view.mixing)}
        view.mixing = dataclasses.replace(view.mixing, **{**rows, "mask": view.mixing.mask[:1]})


def all_one_case(view, rows):
    view.cases = torch.zeros_like(view.cases)


@pytest.mark.parametrize("spoil", [without_support, all_decided, one_segment, one_item, all_one_case])
@every_term
def test_terms_are_finite_and_connected_without_support(either, name, term, spoil):
    run = parts.training(name, either)
    make_sure(run)
    whole = run.plan.build(run.data, run.classes, run.method, 3, 0)
    for view in whole.values():
        spoil(view, len(view.images))

    class Plan:
        def build(self, *_):
            return whole

    run.plan = Plan()
    value = term_of(name, term)(run.look(3, 0.7))
    assert value.loss.ndim == 0
    assert value.loss.requires_grad
    assert value.loss.isfinite()
    found = [g for g in gradients(run, value.loss).values() if g is not None]
    assert found
    assert all(g.isfinite().all() for g in found)
    if value.support == 0:
        assert value.loss.item() == 0.0
        assert not any(g.any() for g in found)
    if spoil is without_support:
        assert value.support == 0


@every_method
def test_one_forward_pass_per_branch_and_step(data, name):
    run = parts.training(name, data)
    calls = {}

    def count(key):
        return lambda *_: calls.update({key: calls.get(key, 0) + 1})

    for k, branch in enumerate(run.branches):
        branch.network.register_forward_hook(count(("student", k)))
    for k, average in enumerate(run.best or run.averages):
        average.model.network.register_forward_hook(count(("teacher", k)))
    run.step(5)  # the last one: teachers that come late are there
    expected = {("student", k): 1 for k in range(len(run.branches))}
    if run.method.teacher_views:
        expected |= {("teacher", k): 1 + run.method.monte_carlo for k in range(len(run.averages))}
    assert calls == expected


@every_method
def test_resumed_run_is_the_uninterrupted_one(tmp_path, either, name):
    whole = parts.training(name, either, tmp_path / "whole")
    history = whole.run().history
    first = parts.training(name, either, tmp_path / "parts")
    stopped = first.run(should_stop=lambda: first.iteration == 3)
    assert stopped.iterations == 3
    second = parts.training(name, either, tmp_path / "parts", seed=0)
    for branch in second.branches:  # what it starts from must not matter
        for parameter in branch.parameters():
            parameter.data.zero_()
    resumed = second.run()
    assert resumed.iterations == 6
    assert parts.same(parts.weights(whole), parts.weights(second))
    assert second.losses.state() == whole.losses.state()
    assert parts.same(whole.memory, second.memory)
    assert len(set(whole.losses.values)) == len(whole.branches)
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history.rows]
    assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    assert [row["iteration"] for row in without_time] == [2, 4, 6]


@every_method
def test_equal_seeds_give_equal_weights(data, name):
    a, b, c = (parts.training(name, data, seed=seed, iterations=2) for seed in (1, 1, 2))
    for run in (a, b, c):
        torch.manual_seed(torch.seed())  # the state outside must not matter
        run.run()
    assert parts.same(parts.weights(a), parts.weights(b))
    assert not parts.same(parts.weights(a), parts.weights(c))


@every_method
def test_nan_stops_the_run_with_the_name_of_a_term(data, name):
    poisoned = dataclasses.replace(data, images=tuple(torch.full_like(image, torch.nan) for image in data.images))
    run = parts.training(name, poisoned)
    before = copy.deepcopy(parts.weights(run))
    with pytest.raises(NonFiniteLossError) as caught:
        run.run()
    assert any(f"term {t.name} " in caught.value.cause for t in run.method.terms)
    assert parts.same(before, parts.weights(run))


@pytest.mark.parametrize("name", [n for n in method_names() if get_method(n).uses_unlabelled])
def test_nan_in_an_unlabelled_case_names_a_term(data, name):
    images = torch.stack(data.images)
    images[list(data.open)] = torch.nan
    run = parts.training(name, dataclasses.replace(data, images=tuple(images)))
    with pytest.raises(NonFiniteLossError) as caught:
        run.run()
    others = [t.name for t in run.method.terms if t.term.reads != {"labelled"}]
    assert any(f"term {n} " in caught.value.cause for n in others)


@every_method
def test_half_precision_runs(data, name):
    assert parts.training(name, data, iterations=2, precision="bf16-mixed").run().iterations == 2


@every_method
def test_any_term_can_be_left_out(data, name):
    method = get_method(name)
    assert method.without(()) is method
    others = [t.name for t in method.terms if t.name != method.ranked_by]
    for left_out in (*others, *(("perturbation",) if method.perturbation else ())):
        less = method.without([left_out])
        assert less.name == f"{name} without {left_out}"
        if less.perturbation is not None:
            assert set(less.perturbation.views) <= set(less.student_views)
        assert [t for t in method.terms if t not in less.terms] == [t for t in method.terms if t.name == left_out]
        run = parts.training(less, data, iterations=1)
        run.run()
        reached = set()
        for weighted in less.terms:
            loss = weighted.term(run.look(3, 0.95)).loss  # when every teacher is there
            reached |= {n for n, g in gradients(run, loss).items() if g is not None}
        assert reached == {n for n, _ in named_parameters(run)}, "nothing is built for the term that is gone"
    for wrong in ("nonsense", method.ranked_by):
        with pytest.raises(SemiSegError) as caught:
            method.without([wrong])
        assert caught.value.code == "unknown-term"
        assert wrong in caught.value.cause


def test_a_stage_whose_only_term_is_left_out_is_passed_through(data):
    method = get_method("semi_cml_original").without(["relearning"])
    rows = parts.training(method, data, iterations=27, log_every=1).run().history.rows
    learned = [row["gradient_norm"] > 0 for row in rows]
    assert learned == [True] * 17 + [False] * 8 + [True] * 2, "epochs 51 to 74 have no other term"


def test_what_only_a_left_out_term_reads_is_not_computed():
    a, b = get_method("cross_supervision"), get_method("dual_uncertainty")
    assert a.without(["cross"]).teacher_views == ()
    assert a.without(["contrast"]).embedding_size == 0
    assert b.without(["prototype"]).voxel_embedding == 0
    alone = b.without(["prototype", "agreement", "rectified", "cross"])
    assert alone.name == "dual_uncertainty without cross, rectified, agreement, prototype"
    assert alone.student_views == ("labelled",)
    assert not alone.uses_unlabelled


@pytest.mark.parametrize(("name", "view"), [("dual_uncertainty", "strong"), ("cross_supervision", "weak")])
def test_students_see_the_view_that_is_chosen(data, name, view):
    method = get_method(name)
    moved = method.seeing(view)
    assert moved.student_views == ("labelled", view)
    assert moved.name == f"{name} on {view} views"
    assert moved.teacher_views == method.teacher_views
    assert [t.weight for t in moved.terms] == [t.weight for t in method.terms]
    parts.training(moved, data, iterations=1).run()
    back = moved.seeing(next(v for v in method.student_views if v != "labelled"))
    assert back.terms == method.terms
    assert method.seeing(back.student_views[1]) is method
    bare, both = get_method("supervised"), get_method("bcp")
    for wrong in (lambda: method.seeing("labelled"), lambda: bare.seeing("weak"), lambda: both.seeing("weak")):
        with pytest.raises(SemiSegError) as caught:
            wrong()
        assert caught.value.code == "unknown-view"


class NanAfter:
    """The supervised term, until its value breaks."""

    def __init__(self, good):
        self.good, self.calls = good, 0

    def __call__(self, step: Step) -> TermValue:
        value = Supervised()(step)
        self.calls += 1
        return value if self.calls <= self.good else TermValue(value.loss * torch.nan, value.support)


def test_nan_names_the_broken_term_and_iteration(data):
    fine = WeightedTerm("supervised", Supervised(), Constant(1.0))
    broken = WeightedTerm("broken", NanAfter(2), Constant(0.0))
    method = Method("test", "test", (fine, broken))
    with pytest.raises(NonFiniteLossError, match=r"The term broken .* iteration 2"):
        parts.training(method, data).run()


@every_method
def test_recipe_is_well_formed(name):
    method = get_method(name)
    assert method.name == name
    assert method.source
    names = [t.name for t in method.terms]
    assert len(set(names)) == len(names)
    assert method.ranked_by in names
    assert next(t.term for t in method.terms if t.name == method.ranked_by).reads & {"labelled", "mixed"}
    offered = {*method.student_views}
    offered |= {n for n, there in (("teachers", method.teacher_views), ("passes", method.monte_carlo),
                                   ("embedding", method.embedding_size), ("voxels", method.voxel_embedding))
                if there}  # fmt: skip
    assert offered == frozenset().union(*(t.term.reads for t in method.terms)), "nothing lacks, nothing is for nobody"
    for weighted in method.terms:
        for progress in (0.0, 0.3, 1.0):
            assert 0 <= weighted.weight(progress) < 1000


@every_method
def test_few_steps_learn(data, name):
    run = parts.training(name, data, iterations=25, learning_rate=1e-2, log_every=5)
    rows = run.run().history.rows
    rows = [row for row in rows if row["supervised_support"]]  # a method may leave the annotations behind
    assert len(rows) > 2
    assert rows[-1]["supervised"] < 0.85 * rows[0]["supervised"]


def test_view_mixing_moves_rows_and_nothing_else():
    maps = torch.arange(2.0).view(2, 1, 1).expand(2, 4, 4).clone()
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    view = View(maps[:, None], maps.int(), mask, torch.arange(2), Mixing(torch.tensor([1, 0]), mask))
    mixed = view.mixed(maps)
    assert bool((mixed[0, :2] == 1).all())
    assert bool((mixed[0, 2:] == 0).all())
    assert torch.equal(view.mixed(maps[:, None])[:, 0], mixed)
