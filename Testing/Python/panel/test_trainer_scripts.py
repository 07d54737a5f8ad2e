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
    from SemiSegCervicalLib.scene.classes import SegmentClass
    from SlicerRig import scenes
    from TrainingRig import cases

    classes = [SegmentClass(1, "bright", (1, 0, 0), ""), SegmentClass(2, "dark", (0, 0, 1), "")]
    volumes = [picture(seed, name=f"Picture {seed}") for seed in range(5)]
    for seed, volume in enumerate(volumes[:4]):
        scenes.add_segmentation(volume, cases.draw(seed)[1], classes)
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
