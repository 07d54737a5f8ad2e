"""Models in the panel: what is listed and said of them, what is refused, and adding one."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from SlicerRig import application


def rewritten(pack: Path, target: Path, **changes: Any) -> Path:
    """Copy a pack with other fields in its description."""
    with zipfile.ZipFile(pack) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "model.json":
                data = json.dumps({**json.loads(data), **changes}).encode()
            copy.writestr(name, data)
    return target


def test_the_list_says_what_the_worker_says(trained: Path, tmp_path: Path) -> None:
    from SemiSegCervicalLib.panel.cards import read_card
    from SemiSegCervicalLib.worker.server_models import describe

    assert read_card(trained) == describe(trained)
    folder = tmp_path / "unpacked.semiseg"
    with zipfile.ZipFile(trained) as archive:
        archive.extractall(folder)
    assert read_card(folder) == describe(folder)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"format_version": 2}, "newer version"),
        ({"classes": []}, "colours"),
        ({"classes": [{"value": 2, "name": "a", "color": [0, 0, 0]}]}, "numbered"),
        ({"classes": [{"value": 1, "name": "a", "color": [0, 0, 7]}]}, "colours"),
        ({"classes": [{"value": 1, "name": 5, "color": [0, 0, 0]}]}, "name"),
        ({"input": {}}, "not a usable model"),
        ({"branches": None}, "not a usable model"),
        ({"name": ["a"]}, "not of the type"),
        ({"quality": [{"metric": "Dice", "value": 10**400, "data": "", "cases": 1}]}, "not a usable model"),
    ],
)
def test_a_damaged_description_is_refused(trained: Path, tmp_path: Path, changes: dict[str, Any], cause: str) -> None:
    from SemiSegCervicalLib.panel.cards import failure_of, read_card

    error = failure_of(read_card(rewritten(trained, tmp_path / "damaged.semiseg", **changes)))
    assert error is not None
    assert cause in error.cause
    assert error.remedy


def test_what_is_no_pack_at_all_is_refused(tmp_path: Path) -> None:
    from SemiSegCervicalLib.panel.cards import read_card

    (tmp_path / "text.semiseg").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.semiseg", "w"):
        pass
    with zipfile.ZipFile(tmp_path / "list.semiseg", "w") as archive:
        archive.writestr("model.json", "[1]")
    with zipfile.ZipFile(tmp_path / "lzma.semiseg", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("model.json", json.dumps({"name": "a" * 1000}))
    damaged = bytearray((tmp_path / "lzma.semiseg").read_bytes())
    damaged[44] ^= 0xFF  # the head of what is packed
    (tmp_path / "lzma.semiseg").write_bytes(damaged)
    for name in ("text", "empty", "list", "nowhere", "lzma"):
        assert read_card(tmp_path / f"{name}.semiseg").failure is not None


def test_a_folder_that_belongs_to_somebody_else_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after Slicer was once run by the administrator."""
    from SemiSegCervicalLib import packs

    shipped = packs.resource_folder("models")
    assert shipped is not None
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    usual = Path.iterdir

    def refuse(path: Path) -> Any:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert list(packs.find_packs()) == sorted(p.name.removesuffix(".semiseg") for p in shipped.glob("*.semiseg"))


def test_texts_of_strangers_stay_texts(
    opened: Callable[..., Any], models: Path, trained: Path, picture: Any, pictures: Path
) -> None:
    names = [{"value": 1, "name": "<b>bold</b>\x1b[31m", "color": [1, 0, 0], "terminology": ""}]
    rewritten(trained, models / "strange.semiseg", description="<img src='x'>", licence="<u>mine</u>", classes=names)
    module = opened("good")
    module.choose(picture())
    application.screenshot(module.widget.parent, pictures / "strange-model.png")
    said = module.ui.modelInfoLabel.text
    for text in ("&lt;img src=", "&lt;b&gt;bold&lt;/b&gt;[31m", "&lt;u&gt;mine"):
        assert text in said
    assert "\x1b" not in said


def test_quality_and_origin_are_said(
    opened: Callable[..., Any], models: Path, trained: Path, picture: Any, pictures: Path
) -> None:
    figures = [
        ("Dice", 0.9484, "test images", 10),
        ("HD95 (pixels)", 9.0, "test images", 10),
        ("Dice", 0.8, "others", 3),
        ("dice", 0.7, "validation list (2 of 3 left out)", 1),
    ]
    quality = [dict(zip(("metric", "value", "data", "cases"), figure, strict=True)) for figure in figures]
    rewritten(trained, models / "known.semiseg", quality=quality, licence="CC BY 4.0", attribution="Images of A & B")
    module = opened("good")
    module.choose(picture())
    application.screenshot(module.widget.parent, pictures / "quality.png")
    said = module.ui.modelInfoLabel.text
    assert "Dice 0.948, HD95 (pixels) 9 on test images (10 cases); Dice 0.8 on others (3 cases)" in said
    assert "Dice 0.7 on what was kept aside from its training (2 of 3 left out) (1 case)" in said
    assert "<b>For:</b> single images and cine (ultrasound)<br>" in said
    assert "CC BY 4.0<br><b>Made from:</b> Images of A &amp; B" in said


@pytest.mark.parametrize("fitted", [None, "12 images of the validation list"])
def test_an_uncertainty_that_was_never_calibrated_is_called_so(
    opened: Callable[..., Any], models: Path, trained: Path, picture: Any, fitted: str | None
) -> None:
    rewritten(trained, models / "known.semiseg", calibration={"temperatures": [1.5, 1.5], "fitted_on": fitted or ""})
    module = opened("good")
    module.choose(picture())
    assert ("<b>Uncertainty:</b> not calibrated" in module.ui.modelInfoLabel.text) == (fitted is None)


def test_a_modality_that_nobody_has_named_is_not_said(
    opened: Callable[..., Any], models: Path, trained: Path, picture: Any
) -> None:
    with zipfile.ZipFile(trained) as archive:
        reads = json.loads(archive.read("model.json"))["input"]
    rewritten(trained, models / "plain.semiseg", input={**reads, "modalities": ["image"]})
    module = opened("good")
    module.choose(picture())
    assert "<b>For:</b> single images and cine<br>" in module.ui.modelInfoLabel.text


def test_a_damaged_model_is_listed_and_cannot_be_used(
    opened: Callable[..., Any], models: Path, trained: Path, picture: Any
) -> None:
    (models / "alpha.semiseg").write_text("no zip")
    (models / "blobs.semiseg").write_bytes(trained.read_bytes())
    module = opened("good")
    module.choose(picture())
    combo = module.ui.modelComboBox
    assert [combo.itemText(i) for i in range(combo.count)] == ["alpha (damaged)", "blobs"]
    assert combo.currentText == "blobs", "the first that works"
    combo.setCurrentIndex(0)
    combo.activated(0)
    application.process_events(0.05)
    assert not module.ui.applyButton.enabled
    assert "not a usable model" in module.ui.applyButton.toolTip


def test_a_model_is_added_beside_one_of_the_same_name(
    opened: Callable[..., Any], blobs: Path, trained: Path, tmp_path: Path, picture: Any
) -> None:
    before = blobs.read_bytes()
    module = opened()
    other = rewritten(trained, tmp_path / "blobs.semiseg", description="Another one")
    module.panel.add_model(other)
    module.until(lambda: not module.panel._adding.active)
    application.process_events(0.1)
    assert 'added as "blobs-2"' in module.ui.messageLabel.text
    assert "Another one" in module.ui.modelInfoLabel.text
    assert blobs.read_bytes() == before
    assert (blobs.parent / "blobs-2.semiseg").read_bytes() == other.read_bytes()
    assert sorted(os.listdir(blobs.parent)) == ["blobs-2.semiseg", "blobs.semiseg"]
    # With the same worker: what it refuses is not added.
    damaged = rewritten(trained, tmp_path / "unsound.semiseg", calibration={"temperatures": [1.0]})
    for path, said in ((damaged, "not a usable model"), (tmp_path / "notes.txt", "no file of a model")):
        module.panel.add_model(path)
        module.until(lambda: not module.panel._adding.active)
        assert said in module.ui.messageLabel.text
    assert sorted(os.listdir(blobs.parent)) == ["blobs-2.semiseg", "blobs.semiseg"]
    assert module.run(picture()).state == "done"


def test_the_button_asks_for_a_file(opened: Callable[..., Any], blobs: Path, tmp_path: Path) -> None:
    module = opened("good")
    application.answer_dialogs(str(tmp_path / "nothing.semiseg"))
    application.click(module.ui.addModelButton)
    module.until(lambda: module.ui.messageFrame.isVisible() and "no file of a model" in module.ui.messageLabel.text)


def test_each_modality_has_a_selector_and_one_suffices(
    opened: Callable[..., Any], models: Path, picture: Any, trained: Path, pictures: Path
) -> None:
    with zipfile.ZipFile(trained) as archive:
        description = json.loads(archive.read("model.json"))
    description["input"]["modalities"] = ["FLAIR", "T1 post"]
    description["branches"][1]["modalities"] = [1]
    rewritten(trained, models / "both.semiseg", **description)
    module = opened("good")
    flair, post = picture(name="A"), picture(name="B")
    module.choose(flair)
    application.screenshot(module.widget.parent, pictures / "modalities.png")
    assert module.ui.sourceLabel.text == "FLAIR:"
    (second,) = module.panel.inputs._selectors
    assert module.run().request.modalities == (0,)
    second.setCurrentNode(post)
    assert module.run().request.modalities == ()
    module.choose(None)
    job = module.run()
    assert job.request.modalities == (1,)
    assert job.record.source is post
    second.setCurrentNode(None)
    application.process_events(0.05)
    assert not module.ui.applyButton.enabled
    module.choose(flair)
    second.setCurrentNode(picture(name="C", spacing=(0.3, 0.3)))
    application.process_events(0.05)
    assert "different grids" in module.ui.applyButton.toolTip


def names_turned_round(pack: Path) -> None:
    """Put another version in the place of a model, as a training does: one that counts its classes otherwise."""
    with zipfile.ZipFile(pack) as archive:
        classes = json.loads(archive.read("model.json"))["classes"]
    turned = [{**entry, "name": other["name"]} for entry, other in zip(classes, classes[::-1], strict=True)]
    part = pack.with_suffix(".part")
    rewritten(pack, part, classes=turned, name="the next version")
    part.replace(pack)


def test_another_version_of_a_model_is_not_taken_for_the_one_that_is_described(
    opened: Callable[..., Any], blobs: Path, picture: Any
) -> None:
    """Trained in a second window, for instance: what it finds would get the names that the one before gave it."""
    module = opened()
    record = module.run(picture()).record
    assert record.run["model"] == "blobs"
    names_turned_round(blobs)
    job = module.run()
    assert job.record is None
    assert module.ui.messageLabel.text == (
        'Another version of the model "blobs" is in use now. Begin again: its description is renewed.'
    )
    record = module.run().record
    assert record.run["model"] == "the next version"
    assert [entry.name for entry in record.classes] == ["dark", "bright"]


def test_several_images_are_segmented_by_one_version_of_a_model(
    opened: Callable[..., Any], blobs: Path, picture: Any
) -> None:
    import slicer
    from SemiSegCervicalLib.scene.records import find_records

    module = opened()
    module.choose(picture(0, "Picture 0"))
    for seed in range(1, 4):
        picture(seed, f"Picture {seed}")
    module.ui.batchButton.collapsed = False
    application.process_events(0.1)
    application.click(module.ui.batchStartButton)
    module.until(lambda: find_records(slicer.mrmlScene))
    names_turned_round(blobs)
    module.until(lambda: not module.panel.state().busy)
    application.process_events(0.1)
    assert {record.run["model"] for record in find_records(slicer.mrmlScene)} == {"blobs"}
    assert 'Another version of the model "blobs" is in use now' in module.ui.messageLabel.text
    assert "the next version" in module.ui.modelComboBox.currentText
