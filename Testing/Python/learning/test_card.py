"""Trainings and predictions on a graphics card: nothing of them is left on the processor.

The card of `TrainingRig.card` refuses what CUDA refuses, and computes as the processor does: to the last bit.
"""

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegTrainerLib.learning.method import get_method, method_names
from SemiSegTrainerLib.learning.observing import Wish
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases, parts
from TrainingRig.card import CARD, Card, OnCard, let_be_chosen


@pytest.fixture(autouse=True)
def found(monkeypatch):
    let_be_chosen(monkeypatch)


def on_processor(weights):
    return {name: w.held if isinstance(w, OnCard) else w for name, w in weights.items()}


def test_the_card_refuses_what_cuda_refuses():
    with Card():
        there, here = torch.arange(6.0).to(CARD), torch.arange(6.0)
        assert (there + 1).sum().item() == 21
        assert torch.equal((there * 2).cpu(), here * 2)
        assert there[torch.tensor([1, 2])].tolist() == [1, 2]
        for refused in (
            lambda: there + here,
            lambda: torch.stack([there, here]),
            lambda: here[torch.tensor([1], device=CARD)],
            lambda: torch.where(there > 1, there, here),
            lambda: there.index_put((torch.tensor([0]),), torch.ones(1)),
        ):
            with pytest.raises(RuntimeError, match=r"on the card .* and on the processor"):
                refused()
        with pytest.raises(TypeError):
            there.numpy()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", method_names())
def test_every_method_trains_on_a_card_as_on_the_processor(tmp_path, name, dims):
    data = parts.load(cases.write_dataset(tmp_path)) if dims == 2 else parts.volumes()
    if get_method(name).by_modality:
        data = parts.two_modalities(data)
    ends = []
    for device in ("cpu", "auto"):
        with Card():
            run = parts.training(name, data, device=device, iterations=2)
            run.run()
            ends.append(on_processor(parts.weights(run)))
    assert run.device == run.data.images[0].device == next(run.branches[0].parameters()).device == CARD
    assert parts.same(*ends)


# PyTorch takes the card for a device without numbers, and says that it copies none.
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize("calibrate", ["validation", "folds"])
@pytest.mark.parametrize(
    ("write", "size"),
    [(cases.write_dataset, cases.SIZE), (cases.write_stacks, (16, 16, 16))],
    ids=["pictures", "volumes"],
)
def test_a_whole_run_and_its_model_are_those_of_the_processor(tmp_path, write, size, calibrate):
    """With pictures and measurements meanwhile, a pause, temperatures and figures; the model sees an image besides."""
    listed = write(tmp_path, validation=1)
    branches = tuple((name, dict(arguments)) for name, arguments in parts.TINY)
    ends = []
    for device in ("cpu", "auto"):
        out, news = tmp_path / device, []
        (tmp_path / f"{device}-pictures").mkdir()
        wish = Wish(tmp_path / f"{device}-pictures", preview_seconds=1e-3, validate_seconds=1e-3)
        with Card() as card:
            for resume in (False, True):
                options = RunOptions(
                    "dual_uncertainty", Settings(iterations=4, precision="32-true"), device,
                    size=size, branches=branches, calibrate=calibrate, resume=resume,
                )  # fmt: skip
                stop = iter((False, False, True)).__next__ if not resume else None
                summary = train_model(listed, out, options, None, stop, None, wish, news.append)
                assert summary["finished"] == resume
            predictor = Predictor(load_pack(out / "model.semiseg"), device, backend="torch", tta=True)
            image = sorted(tmp_path.glob("unlabeled0.*"))[0]
            result = predictor.predict(read_image((image,)))
        assert summary["device"] == str(predictor.device) == ("cpu" if device == "cpu" else CARD.type)
        assert news
        told = {name: summary[name] for name in ("calibration", "validation", "data_fingerprint", "iterations")}
        ends.append((told, parts.model_weights(out / "model.semiseg"), result))
    assert card.computed
    (told, weights, result), (also, others, same) = ends
    assert told["calibration"]["temperatures"]
    assert told == also
    assert parts.same(weights, others)
    assert np.array_equal(result.labels, same.labels)
    # A card looks at several windows at once, which rounds otherwise.
    assert np.allclose(result.uncertainty, same.uncertainty, atol=1e-5)
