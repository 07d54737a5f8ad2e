"""Models for other programs give there what they give here: ONNX in OpenVINO, bundles run by MONAI itself."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter
from SemiSegCervicalLib.engine.backends.runtime import core
from SemiSegCervicalLib.engine.exchange import onnx_file
from SemiSegCervicalLib.engine.exchange.monai_bundle import bundle_files
from SemiSegCervicalLib.engine.exchange.onnx_file import MANIFEST_KEY, write_onnx
from SemiSegCervicalLib.engine.exchange.standalone import Answer, scripted
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec, IntensityRange, PackManifest
from SemiSegCervicalLib.engine.uncertainty import entropy
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import resource_folder
from SemiSegTrainerLib.cli.app import INTERRUPTED, run
from TrainingRig import parts

SHIPPED = resource_folder("models") / "cervix.semiseg"
# Of the speckle below, which it cuts on both sides.
RANGE = IntensityRange(low=45.0, high=75.0, mean=58.0, deviation=6.0)


def bundle_run(folder):
    """Run a bundle by what its README's command calls, in a process that cannot find SemiSeg."""
    told = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = "from monai.bundle import run; run(config_file='configs/inference.json', bundle_root='.')"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_onnx_gives_elsewhere_what_the_networks_give(tmp_path):
    model = load_pack(SHIPPED)
    write_onnx(tmp_path / "m.onnx", model)
    compiled = core().compile_model(str(tmp_path / "m.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [port.any_name for port in compiled.outputs] == ["probabilities", "uncertainty", "disagreement"]
    images = torch.randn(3, 1, *model.manifest.input.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = Answer(model)(images)
    found = compiled(images.numpy())
    for port, wanted in enumerate(expected):
        np.testing.assert_allclose(found[port], wanted.numpy(), atol=1e-4)
    assert expected[1].max() > 0.1
    import onnx

    stored = {item.key: item.value for item in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert PackManifest.model_validate_json(stored[MANIFEST_KEY]) == model.manifest


def test_a_single_network_has_no_disagreement():
    alone = parts.pack(count=1)
    with torch.inference_mode():
        probabilities, uncertainty = Answer(alone)(torch.randn(1, 1, *alone.manifest.input.size))
    torch.testing.assert_close(probabilities.sum(1), torch.ones_like(probabilities[:, 0]))
    torch.testing.assert_close(uncertainty, entropy(probabilities)[:, None])


@pytest.mark.parametrize("ranges", [(), (RANGE,)], ids=["by itself", "by a range"])
@pytest.mark.parametrize("shape", [(336, 544), (100, 90), (160, 256), (31, 400), (20, 50, 30)])
def test_a_fitted_model_takes_images_of_any_size(shape, ranges):
    in_space = InputSpec(spatial_dims=3, modalities=("MR",), size=(16, 32, 32), ranges=ranges)
    if len(shape) == 2:
        model = load_pack(SHIPPED)
        spec = model.manifest.input.model_copy(update={"ranges": ranges})
        model.manifest = model.manifest.model_copy(update={"input": spec})
    else:
        model = parts.pack(spec=in_space)
    fitted = scripted(model)
    speckle = np.random.default_rng(0).gamma(2, 30, shape)
    image = Image(gaussian_filter(speckle, 3).astype(np.float32)[None])
    with torch.inference_mode():
        fields = fitted(torch.from_numpy(image.array)[None])
    result = Predictor(model, "cpu", backend="torch").predict(image)
    np.testing.assert_array_equal(fields[0, :-1].argmax(0).numpy(), result.labels)
    np.testing.assert_allclose(entropy(fields[:, :-1])[0].numpy(), result.uncertainty, atol=1e-5)


def test_the_bundle_of_a_fitted_model_gives_the_same_labels(tmp_path):
    image = sorted((resource_folder("samples")).rglob("*.png"))[0]
    assert run(["export", str(SHIPPED), "--format", "monai-bundle", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    (folder / "input").mkdir()
    grey = np.asarray(Pillow.open(image).convert("L"))
    Pillow.fromarray(grey).save(folder / "input" / "grey.png")
    Pillow.fromarray(np.stack([grey, grey, grey], -1)).save(folder / "input" / "rgb.png")
    bundle_run(folder)
    result = Predictor(load_pack(SHIPPED), "cpu", backend="torch").predict(read_image([folder / "input" / "grey.png"]))
    assert result.labels.any()
    for name in ("grey", "rgb"):
        labels = np.asarray(Pillow.open(folder / "output" / f"{name}_labels.png"))
        doubt = np.asarray(Pillow.open(folder / "output" / f"{name}_uncertainty.png"))
        assert (labels == result.labels).mean() > 0.9999
        assert np.abs(doubt / 255 - result.uncertainty).max() < 0.01
    about = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    channels = about["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values())[:3] == ["background", *(c.name for c in load_pack(SHIPPED).manifest.classes)]
    assert "CC BY" in (folder / "docs" / "README.md").read_text(encoding="utf-8")


# As many voxels as a window, so that no two ways of laying windows differ; and another orientation than theirs.
@pytest.mark.parametrize(
    "kind",
    [
        {"sampling": "windows", "spacing": (1.25, 1.5, 1)},
        {"sampling": "windows", "spacing": (1.25, 1.5, 1), "ranges": (RANGE,)},
        {"sampling": "fit", "ranges": (RANGE,)},
        {"sampling": "fit"},
    ],
)
def test_the_bundle_of_a_model_for_volumes_gives_the_same_labels(tmp_path, kind):
    spec = InputSpec(spatial_dims=3, modalities=("MR",), size=(16, 32, 48), **kind)
    model = parts.pack(spec=spec)
    save_pack(tmp_path / "volumes", model)
    assert run(["export", str(tmp_path / "volumes.semiseg"), "--format", "monai-bundle", "--out", str(tmp_path)]) == 0
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    (folder / "input").mkdir()
    speckle = np.random.default_rng(0).gamma(2, 30, (48, 16, 32))
    image = sitk.GetImageFromArray(gaussian_filter(speckle, 2).astype(np.float32))
    image.SetSpacing((1.5, 1.25, 1.0))
    image.SetDirection((0, 0, -1, -1, 0, 0, 0, 1, 0))  # towards anterior, superior, right
    sitk.WriteImage(image, str(folder / "input" / "scan.nii.gz"))
    bundle_run(folder)
    result = Predictor(model, "cpu", backend="torch").predict(read_image([folder / "input" / "scan.nii.gz"]))
    written = sitk.ReadImage(str(folder / "output" / "scan_labels.nii.gz"))
    np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(written.GetSpacing(), image.GetSpacing(), atol=1e-5)
    labels = sitk.GetArrayFromImage(written)
    assert len(np.unique(labels)) > 1
    assert labels.shape == result.labels.shape
    assert (labels == result.labels).mean() > 0.999
    doubt = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "output" / "scan_uncertainty.nii.gz")))
    assert np.abs(doubt - result.uncertainty).max() < 0.01


def test_what_is_there_is_not_written_over(tmp_path, capfd):
    for kind, name in (("onnx", "file"), ("monai-bundle", "folder")):
        assert run(["export", str(SHIPPED), "--format", kind, "--out", str(tmp_path / name)]) == 0
        before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / name).rglob("*"))
        assert run(["export", str(SHIPPED), "--format", kind, "--out", str(tmp_path / name)]) == 2
        assert "already exists" in capfd.readouterr().err
        assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / name).rglob("*")) == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_export_leaves_nothing_in_the_way(tmp_path, monkeypatch, capfd, error):
    save_pack(tmp_path / "tiny", parts.pack())
    before = sorted(tmp_path.rglob("*"))
    command = ["export", str(tmp_path / "tiny.semiseg"), "--format", "monai-bundle", "--out", str(tmp_path)]
    written, write = [], Path.write_bytes

    def fail(path, data):
        if len(written) == 2:
            raise error
        written.append(path)
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        assert run(command) == (2 if isinstance(error, OSError) else INTERRUPTED)
    assert len(written) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    # What ends without a chance to tidy up is written over.
    (written[0].parent).mkdir(parents=True)
    (written[0].parent / "scrap").write_bytes(b"half")
    assert run(command) == 0
    new = {path.relative_to(tmp_path).as_posix() for path in set(tmp_path.rglob("*")) - set(before) if path.is_file()}
    name = next(iter(new)).partition("/")[0]
    assert new == {f"{name}/{path}" for path in bundle_files(load_pack(tmp_path / "tiny.semiseg"))}


def test_missing_packages_are_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(SemiSegError) as caught:
        write_onnx(tmp_path / "m.onnx", load_pack(SHIPPED))
    assert "no_such_package" in caught.value.cause
    assert "semiseg[onnx]" in caught.value.remedy
    assert not list(tmp_path.iterdir())
