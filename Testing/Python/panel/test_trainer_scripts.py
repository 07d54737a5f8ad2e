"""What a script does with the trainer's logic: check the scene, train, and get an installed model; no panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from SlicerRig import application


@pytest.fixture
def logic(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's logic, with folders of its own."""
    from SemiSegTrainerLib.panel.jobs import Jobs
    from SlicerRig.scripted_modules import import_file

    monkeypatch.setenv("SEMISEG_RUNS", str(tmp_path / "runs"))
    made = import_file(application.REPOSITORY / "SemiSegTrainer" / "SemiSegTrainer.py").SemiSegTrainerLogic()
    made.jobs = Jobs(log=tmp_path / "worker.log")
    yield made
    made.close()


@pytest.fixture
def drawn(picture: Callable[..., Any]) -> list[Any]:
    """Five pictures of blobs, four of them finished."""
    from SlicerRig import scenes
    from TrainingRig import cases

    volumes = [picture(seed, name=f"Picture {seed}") for seed in range(5)]
    for seed, volume in enumerate(volumes[:4]):
        scenes.add_segmentation(volume, cases.draw(seed)[1], scenes.BLOBS)
    return volumes


def test_the_check_says_what_is_missing(logic: Any, picture: Callable[..., Any]) -> None:
    from SemiSegCervicalLib.errors import SemiSegError

    picture()
    facts = logic.preflight()
    assert facts.refused.code == "nothing-annotated"
    with pytest.raises(SemiSegError, match="annotated") as refused:
        logic.train(minutes=1)
    assert refused.value.code == "nothing-annotated"
    assert not list(logic.jobs.runs.unfinished()), "nothing was begun"


def test_no_such_method(logic: Any, drawn: list[Any]) -> None:
    from SemiSegCervicalLib.errors import SemiSegError

    assert logic.preflight("unimatch").refused is None
    for call in (lambda: logic.preflight("magic"), lambda: logic.train(method="magic")):
        with pytest.raises(SemiSegError, match="There is no method magic"):
            call()


@pytest.mark.torch
def test_a_script_trains_and_segments(logic: Any, drawn: list[Any], models: Path) -> None:
    told: list[str] = []
    version = logic.train(
        iterations=4, name="Blobs", size=(32, 64), device="cpu", calibrate="none", start="scratch",
        onProgress=lambda training: told.append(training.state),
    )  # fmt: skip
    assert (models / "Blobs.semiseg").is_file()
    assert version.name == "Blobs"
    assert version.summary["validation"]
    assert {"starting", "training", "saving"} <= set(told)
    assert len(logic.trainingSet().cases) == 5, "the scene is as it was"
    ideas = logic.suggestNext(count=2)
    assert [idea.case for idea in ideas] == [drawn[4].GetID()], "only this one is not annotated"


@pytest.mark.torch
def test_versions_that_go_on_from_each_other_are_measured_with_what_none_has_learned(
    logic: Any, picture: Callable[..., Any]
) -> None:
    from SlicerRig import scenes
    from TrainingRig import cases

    usual = {"name": "Blobs", "iterations": 2, "size": (32, 64), "device": "cpu", "calibrate": "none"}
    summaries = []
    for seeds in (range(7), range(7, 8)):  # proposed anew, the split would hold out two of the first seven
        for seed in seeds:
            scenes.add_segmentation(picture(seed, name=f"Picture {seed}"), cases.draw(seed)[1], scenes.BLOBS)
        summaries.append(logic.train(**usual).summary)
    assert [summary["started_from"] for summary in summaries] == [None, "Blobs"]
    assert [summary["validation_left_out"] for summary in summaries] == ["", ""]
    assert [summary["validation"]["cases_count"] for summary in summaries] == [1, 2]
    assert summaries[1]["before"] is not None


def test_a_damaged_model_is_no_start_and_says_what_it_is(logic: Any, drawn: list[Any], tmp_path: Path) -> None:
    from SemiSegCervicalLib.errors import SemiSegError

    damaged = tmp_path / "damaged.semiseg"
    damaged.write_bytes(b"no model")
    with pytest.raises(SemiSegError) as caught:
        logic.train(iterations=4, start=damaged)
    assert caught.value.code == "corrupt-pack"


@pytest.mark.torch
def test_a_network_for_each_modality_begins_with_such_networks_only(logic: Any, picture: Callable[..., Any]) -> None:
    from SemiSegCervicalLib.errors import SemiSegError
    from SemiSegCervicalLib.scene import pairs
    from SlicerRig import scenes
    from TrainingRig import cases

    def pair(seed: int) -> Any:
        both = [picture(seed + more, name=f"Picture {seed + more}") for more in (0, 50)]
        pairs.pair(both[0], both[1], ("T1", "FLAIR"))
        return both[0]

    def train(name: str, **more: Any) -> Any:
        usual = {"iterations": 2, "device": "cpu", "calibrate": "none", "name": name}
        return logic.train(**{**usual, **more}).summary

    for seed in range(4):
        scenes.add_segmentation(pair(seed), cases.draw(seed)[1], scenes.BLOBS)
    fused = train("Fused", size=(32, 64))
    assert (fused["method"], fused["started_from"]) == ("supervised", None)
    assert train("Fused")["started_from"] == "Fused"
    pair(4)  # nobody annotates it
    with pytest.raises(SemiSegError, match="network for each modality") as refused:
        train("Each", start="Fused")
    assert (refused.value.code, "trained so" in refused.value.remedy) == ("wrong-start", True)
    assert not list(logic.jobs.runs.unfinished()), "nothing was written"
    each = train("Each", size=(32, 64))
    assert (each["method"], each["started_from"]) == ("semi_cml", None)
    assert train("Each")["started_from"] == "Each"
    assert train("Other", method="supervised", start="Each")["started_from"] == "Each", "it goes on with any networks"
