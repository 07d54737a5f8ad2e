"""A pack as a MONAI bundle: networks and vote as TorchScript, and how images are read, segmented and saved.

A bundle is run by ``python -m monai.bundle run`` where MONAI is installed with some of its extras, and needs nothing of
SemiSeg. https://docs.monai.io/en/stable/bundle_intro.html
"""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import monai
import numpy as np
import torch

from ..image import LUMA
from ..pack import Pack
from ..schema import InputSpec, PackManifest
from .standalone import scripted

_EXTRAS = "fire,ignite,nibabel,pillow"
_NEEDED = {"fire": "0.5", "nibabel": "5.2", "pytorch-ignite": "0.5"}
# Array axes of the network's grid run towards superior, posterior, left.
_AXES = "SPL"


def bundle_files(pack: Pack) -> dict[str, bytes]:
    """Return the files of a bundle by their path in it.

    A ``fit`` model does by itself what brings an image onto its grid and back, so that its labels are those of SemiSeg;
    one of ``windows`` is fed by MONAI's transforms and sliding windows, whose interpolation differs a little.

    Args:
        pack: the model.
    """
    manifest = pack.manifest
    script = io.BytesIO()
    torch.jit.save(scripted(pack), script)
    return {
        "models/model.ts": script.getvalue(),
        "configs/inference.json": _json(_inference(manifest)),
        "configs/metadata.json": _json(_metadata(manifest)),
        "docs/README.md": _readme(pack).encode(),
    }


def bundle_name(pack: Pack) -> str:
    """Return a folder's name for a model's: letters, digits and ``_``."""
    return re.sub(r"\W+", "_", pack.manifest.name, flags=re.ASCII).strip("_").lower() or "model"


def _inference(manifest: PackManifest) -> dict[str, Any]:
    spec, classes = manifest.input, len(manifest.classes) + 1
    picture = spec.spatial_dims == 2
    reading: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
    ]
    if picture or spec.sampling == "fit":
        # MONAI's readers lay the fastest axis first.
        axes = [0, *range(spec.spatial_dims, 0, -1)]
        reading.append({"_target_": "Transposed", "keys": "image", "indices": axes})
    if picture and len(spec.modalities) == 1:  # what is coloured becomes grey
        weights = f"torch.tensor({list(LUMA)}, device=x.device)"
        grey = f"torch.tensordot({weights}, x[:3], dims=1)[None] if x.shape[0] > 2 else x[:1]"
        reading.append({"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: {grey}"})
    inferer: dict[str, Any] = {"_target_": "SimpleInferer"}
    if spec.sampling == "windows":
        reading += _to_windows(spec)
        inferer = {
            "_target_": "SlidingWindowInferer", "roi_size": list(spec.size), "sw_batch_size": 1,
            "overlap": list(spec.overlaps), "mode": "gaussian",
        }  # fmt: skip
    p, scale = f"x[:{classes}]", 255 if picture else 1
    doubt = f"({p} * {p}.clamp_min(1e-37).log()).sum(0, keepdim=True) / {-math.log(classes)!r} * {scale}"
    back: list[dict[str, Any]] = [
        {
            "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
            "nearest_interp": False, "to_tensor": True,
        },
        {"_target_": "CopyItemsd", "keys": "pred", "names": "uncertainty"},
        {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda x: {p}.argmax(0, keepdim=True)"},
        {"_target_": "Lambdad", "keys": "uncertainty", "func": f"$lambda x: {doubt}"},
    ]  # fmt: skip
    ending = ".png" if picture else ".nii.gz"
    for key, postfix, dtype in (
        ("pred", "labels", "uint8"),
        ("uncertainty", "uncertainty", "uint8" if picture else "float32"),
    ):
        back.append({
            "_target_": "SaveImaged", "keys": key, "output_dir": "@output_dir", "output_postfix": postfix,
            "output_ext": ending, "output_dtype": f"$np.{dtype}", "resample": False, "separate_folder": False,
        })  # fmt: skip
    return {
        "imports": ["$import glob", "$import os", "$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/output'",
        "datalist": "$sorted(glob.glob(os.path.join(@dataset_dir, '*')))",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "network": "$@network_def.eval()",
        "preprocessing": {"_target_": "Compose", "transforms": reading},
        "dataset": {
            "_target_": "Dataset", "data": "$[{'image': item} for item in @datalist]", "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": back},
        "evaluator": {
            "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
            "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }  # fmt: skip


def _to_windows(spec: InputSpec) -> list[dict[str, Any]]:
    """Return the transforms that lay the network's grid over an image, intensities first, as the engine does.

    The files of pictures know no spacing, so those of a model that wants one must have it already.
    """
    bounds = {"a_min": -spec.clip, "a_max": spec.clip, "b_min": -spec.clip, "b_max": spec.clip, "clip": True}
    found: list[dict[str, Any]] = [
        {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True}
        if not any(spec.ranges)
        else {"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: torch.cat([{_channels(spec)}])"},
        {"_target_": "ScaleIntensityRanged", "keys": "image", **bounds},
    ]
    if spec.spatial_dims == 3:
        found.append({"_target_": "Orientationd", "keys": "image", "axcodes": _AXES})
        if spec.spacing is not None:
            found.append({"_target_": "Spacingd", "keys": "image", "pixdim": list(spec.spacing), "mode": "bilinear"})
    return found


def _channels(spec: InputSpec) -> str:
    """Return expressions of the channels of ``x``, each standardised as its modality is."""
    found = []
    for k, known in enumerate(spec.fixed):
        x = f"x[{k}:{k + 1}]"
        found.append(
            f"({x} - {x}.mean()) / {x}.std(correction=0).clamp_min({x}.abs().max() * 1e-5 + 1e-30)"
            if known is None
            else f"({x}.clamp({known.low!r}, {known.high!r}) - {known.mean!r}) / {known.deviation!r}"
        )
    return ", ".join(found)


def _metadata(manifest: PackManifest) -> dict[str, Any]:
    spec, quality = manifest.input, manifest.quality
    shape = ["*"] * spec.spatial_dims if spec.sampling == "fit" else list(spec.size)
    names = {0: "background", **{entry.value: entry.name for entry in manifest.classes}}
    fields = {**{str(k): name for k, name in names.items()}, str(len(names)): "mean entropy of the single networks"}
    common = {"type": "image", "spatial_shape": shape, "dtype": "float32", "is_patch_data": spec.sampling != "fit"}
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": "exported from a SemiSeg model"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": _NEEDED,
        "name": manifest.name,
        "task": "segmentation with uncertainty",
        "description": manifest.description or manifest.name,
        "authors": manifest.attribution or "not stated",
        "copyright": manifest.licence or "not stated",
        "eval_metrics": {f"{q.metric} on {q.data} ({q.cases} cases)": q.value for q in quality},
        "intended_use": "Research. This is no medical device.",
        "network_data_format": {
            "inputs": {"image": {
                **common, "format": "image", "modality": ", ".join(spec.modalities),
                "num_channels": len(spec.modalities), "value_range": [],
                "channel_def": {str(k): name for k, name in enumerate(spec.modalities)},
            }},
            "outputs": {"pred": {
                **common, "format": "probabilities", "num_channels": len(fields), "value_range": [0, 1],
                "channel_def": fields,
            }},
        },
    }  # fmt: skip


def _readme(pack: Pack) -> str:
    manifest = pack.manifest
    spec = manifest.input
    several = ", one file per case with " + " and ".join(manifest.input.modalities) + " as its channels"
    pixels = ""
    if spec.spatial_dims == 2 and spec.spacing is not None:
        pixels = f", their pixels {spec.spacing[0]:g} mm high and {spec.spacing[1]:g} mm wide,"
    return f"""# {manifest.name}

{manifest.description}

Put images into `input`{several if len(spec.modalities) > 1 else ""}{pixels} and run:

    pip install "monai[{_EXTRAS}]"
    python -m monai.bundle run --config_file configs/inference.json --bundle_root .

`output` then holds for each image its labels ({", ".join(f"{c.value} {c.name}" for c in manifest.classes)}) and its
uncertainty, the entropy of the networks' mean, from 0 (sure) to {255 if manifest.input.spatial_dims == 2 else 1}.

Licence: {manifest.licence or "not stated"}. {manifest.attribution}

{pack.card}
"""


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
