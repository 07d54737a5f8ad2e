"""CT is recognised, and standardised by the range that annotated structures have."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.cli.app import run
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.intensities import plan_ranges
from SemiSegTrainerLib.learning.planning import first_image, plan_input
from TrainingRig import cases

SHAPE = (16, 40, 40)


def ct(seed: int, organ: float = 110.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a phantom in Hounsfield units and its organ: a body in air, with fat and bone."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    labels = ((z - 8) ** 2 / 25 + (y - 20) ** 2 / 49 + (x - 18 - seed % 4) ** 2 / 64 < 1).astype(np.uint8)
    body = (y - 20) ** 2 + (x - 20) ** 2 + 0 * z < 18**2
    inner = (y - 20) ** 2 + (x - 20) ** 2 + 0 * z < 15**2
    image = np.full(SHAPE, -1000.0)
    image[body] = -100
    image[inner] = 40
    image[:, 30:33, 18:22] = 900
    image[labels == 1] = organ
    return (image + rng.normal(0, 10, SHAPE) + offset).round().astype(np.int16), labels


def mr(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same body in arbitrary units, some of them negative."""
    image, labels = ct(seed)
    return (np.abs(image.astype(np.float32)) * 0.7 - 300).astype(np.float32), labels


def write(folder, images, label=True, **lists):
    """Write a datalist of cases, each a list of images ``(array, labels)``, one per modality; None lacks it."""
    rows = []
    for number, of_case in enumerate(images):
        names = []
        for k, pair in enumerate(of_case):
            names.append(None if pair is None else f"{number}_{k}.nii.gz")
            if pair is not None:
                sitk.WriteImage(sitk.GetImageFromArray(pair[0]), str(folder / f"{number}_{k}.nii.gz"))
                sitk.WriteImage(sitk.GetImageFromArray(pair[1]), str(folder / f"{number}_label.nii.gz"))
        rows.append({"image": names if len(names) > 1 else names[0], "label": f"{number}_label.nii.gz", **lists})
    modalities = {str(k): name for k, name in enumerate(("CT", "MR")[: len(images[0])])}
    return cases.write_datalist(folder, {"modality": modalities, "labels": {"1": "organ"}, "training": rows})


def ranges(path, wish="auto"):
    datalist = read_datalist(path)
    return plan_ranges(datalist, first_image(datalist), wish)


def test_ct_gets_the_range_of_its_organ(tmp_path):
    (found,) = ranges(write(tmp_path, [[ct(0)], [ct(1, 130)]]))
    assert (found.low, found.high) == (pytest.approx(87, abs=4), pytest.approx(153, abs=4))
    assert found.mean == pytest.approx(120, abs=2)
    assert found.deviation == pytest.approx(np.hypot(10, 10), abs=1)


def test_a_plan_carries_it(tmp_path):
    path = write(tmp_path, [[ct(0)], [ct(1)]])
    datalist = read_datalist(path)
    assert plan_input(datalist, None, None, gpu=False).ranges == ranges(path)
    assert plan_input(datalist, None, None, gpu=False, intensities="image").ranges == ()


def test_only_what_is_annotated_tells_it(tmp_path):
    image, labels = ct(0)
    labels[:8] = 0
    image[:8] += 500
    (found,) = ranges(write(tmp_path, [[(image, labels)]], slices=[8, 9, 10, 11, 12]))
    assert found.mean == pytest.approx(110, abs=2)


@pytest.mark.parametrize(
    "images",
    [
        [[mr(0)], [mr(1)]],
        [[ct(0, offset=1024.0)]],
        # Air is around one of three only; and the first is looked at before all.
        [[ct(0)], [mr(1)], [mr(2)]],
        [[mr(1)], [ct(0)]],
        # Clipped to the range of the others it would be a single grey.
        [[ct(0)], [ct(1)], [ct(2, offset=1024.0)]],
    ],
    ids=["negative", "stored without its offset", "a minority", "not the first", "one in other units"],
)
def test_what_is_not_known_to_be_ct_is_standardised_by_the_image(tmp_path, images):
    assert ranges(write(tmp_path, images)) == ()


def test_of_two_modalities_each_is_its_own(tmp_path):
    ct_, none = ranges(write(tmp_path, [[ct(0), mr(0)], [None, mr(1)], [ct(2), None]]))
    assert none is None
    assert ct_.mean == pytest.approx(110, abs=2)
    again, none = ranges(write(tmp_path, [[None, mr(1)], [ct(2), mr(2)]]))
    assert (again.mean, none) == (pytest.approx(110, abs=2), None), "the first case lacks it"


def test_ranges_on_request(tmp_path):
    path = write(tmp_path, [[mr(0)], [mr(1)]])
    (found,) = ranges(path, "range")
    assert found.mean == pytest.approx(110 * 0.7 - 300, abs=2)
    for images, wish, code in (
        ([[mr(0)]], "hounsfield", "bad-intensities"),
        ([[(mr(0)[0] * 0, mr(0)[1])]], "range", "no-range"),
        ([[(ct(0)[0], ct(0)[1] * 0)]], "range", "no-range"),
    ):
        with pytest.raises(SemiSegError) as caught:
            ranges(write(tmp_path, images), wish)
        assert caught.value.code == code


def test_a_model_of_ct_says_so_and_is_gone_on_with(tmp_path, capfd):
    path = write(tmp_path, [[ct(0)], [ct(1)], [ct(2)]])
    arguments = ["train", str(path), "--method", "supervised", "--size", "16x32x32", "--device", "cpu"]
    brief = [*arguments, "--calibrate", "none", "--iterations", "2", "--out", str(tmp_path / "run")]
    assert run(brief) == 0
    assert "Intensities: CT from 8" in capfd.readouterr().err
    model = load_pack(tmp_path / "run" / "model.semiseg")
    assert model.manifest.input.ranges == ranges(path)
    assert "- Intensities: CT from 8" in model.card
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["intensity_ranges"][0].startswith("CT from 8")
    assert run([*brief, "--resume", "--intensities", "image"]) == 2
    assert "other" in capfd.readouterr().err
    further = ["train", str(path), "--model", str(tmp_path / "run" / "model.semiseg"), "--device", "cpu"]
    assert run([*further, "--intensities", "range", "--out", str(tmp_path / "more")]) == 2
    assert "starting model" in capfd.readouterr().err
    assert run([*further, "--iterations", "2", "--calibrate", "none", "--method", "supervised", "--out",
                str(tmp_path / "more")]) == 0  # fmt: skip
    assert load_pack(tmp_path / "more" / "model.semiseg").manifest.input.ranges == model.manifest.input.ranges


def test_an_image_in_other_units_than_the_models_is_pointed_out(tmp_path, capfd):
    """CT that lost its offset when it was converted: to the model all of the body is as bright as bone."""
    path = write(tmp_path, [[ct(0)], [ct(1)]])
    arguments = ["--method", "supervised", "--size", "16x32x32", "--device", "cpu", "--calibrate", "none"]
    assert run(["train", str(path), *arguments, "--iterations", "1", "--out", str(tmp_path / "run")]) == 0
    for name, image in (("same", ct(5)[0]), ("other", ct(5, offset=1024.0)[0]), ("cropped", ct(5)[0][:, 8:32, 8:32])):
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / f"{name}.nii.gz"))
    files = [str(tmp_path / f"{name}.nii.gz") for name in ("same", "other", "cropped")]
    capfd.readouterr()
    assert run(["predict", str(tmp_path / "run" / "model.semiseg"), *files, "--out", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]
    told = {row["case"]: [note for note in row["notes"] if "Hounsfield" in note] for row in rows}
    assert [len(told[name]) for name in ("same", "other", "cropped")] == [0, 1, 0]
    said = " ".join(capfd.readouterr().err.split())
    assert f"{told['other'][0]}: other" in said
