"""What a finished run becomes: a model pack and the card that travels in it."""

from __future__ import annotations

from typing import Any

from SemiSegCervicalLib.engine.pack import Pack
from SemiSegCervicalLib.engine.schema import BranchSpec, Calibration, InputSpec, PackManifest, Provenance
from SemiSegCervicalLib.words import many

from .learned import remembered
from .preparation import Prepared
from .training import TrainingResult
from .typical import typical_images

# What the summary of a run and the provenance of its model both say.
_TOLD = (
    "method", "seed", "iterations", "seconds", "labelled", "unlabelled", "data_fingerprint", "versions", "threads",
    "precision",
)  # fmt: skip


def build_pack(
    name: str, result: TrainingResult, run: Prepared, calibration: Calibration, summary: dict[str, Any]
) -> Pack:
    """Put the weight averages of a run into a pack.

    Args:
        name: of the model.
        result: of the training.
        run: what was trained.
        calibration: the fitted temperatures.
        summary: of the run, for the provenance.
    """
    spec, classes = run.spec, run.datalist.classes
    manifest = PackManifest(
        name=name,
        description=f"{', '.join(c.name for c in classes)} in {', '.join(spec.modalities)}",
        input=spec,
        classes=classes,
        branches=tuple(
            BranchSpec(file=f"branch-{i}.safetensors", architecture=a, arguments=arguments, modalities=reads)
            for i, ((a, arguments), reads) in enumerate(zip(run.parts, run.reads, strict=True), 1)
        ),
        calibration=calibration,
        typical=typical_images(run.data),
        provenance=Provenance(
            **{k: summary[k] for k in _TOLD},
            started_from=summary["started_from"] or "",
            learned=remembered(run.data.learned),
        ),
    )
    return Pack(manifest, [b.drop_projectors().cpu().eval() for b in result.branches])


def windows(spec: InputSpec) -> str:
    """Say of windows how large their voxels are and how far they overlap; nothing of images that are scaled."""
    if spec.sampling == "fit":
        return ""
    voxel = f" of {' x '.join(f'{s:g}' for s in spec.spacing)} mm" if spec.spacing else ""
    shares = spec.overlaps if isinstance(spec.overlap, tuple) else spec.overlaps[:1]
    return f"{voxel} a window, {' x '.join(f'{share:.0%}' for share in shares)} overlap"


def ranges_told(spec: InputSpec) -> list[str]:
    """Say of each modality that has a range which one it is."""
    pairs = zip(spec.modalities, spec.fixed, strict=True)
    return [f"{name} from {known.low:g} to {known.high:g}" for name, known in pairs if known is not None]


def _pointing_out(manifest: PackManifest) -> str:
    known = manifest.typical
    return f"yes, it knows {known.images}" if known else "no, they were too few"


def reading(manifest: PackManifest, branch: BranchSpec) -> str:
    """Say in brackets what a branch reads, where it is not all that the model may be given."""
    names = manifest.input.modalities
    if len(set(branch.modalities)) == len(names):
        return ""
    return f" ({', '.join(names[m] for m in branch.modalities)})"


def write_card(manifest: PackManifest, left_out: str = "") -> str:
    """Return the text of a model card.

    Args:
        manifest: of the model.
        left_out: what of the validation list was not measured on, in words.
    """
    p = manifest.provenance
    fitted = manifest.calibration.fitted_on
    digests = f", and by {len(p.learned)} digests of annotated images or slices" if p.learned else ""
    lines = [
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"- Segments: {', '.join(c.name for c in manifest.classes)}",
        f"- Input: {', '.join(manifest.input.modalities)}, {manifest.input.spatial_dims}D, "
        f"{' x '.join(map(str, manifest.input.size))} voxels{windows(manifest.input)}",
        *(f"- Intensities: {text}, as annotated structures have them" for text in ranges_told(manifest.input)),
        f"- Branches: {', '.join(b.architecture + reading(manifest, b) for b in manifest.branches)}",
        f"- Trained with: {p.method}, {p.labelled} labelled and {many(p.unlabelled, 'unlabelled case')}, "
        f"{many(p.iterations, 'iteration')}, seed {p.seed}",
        f"- Data: named by fingerprint only: {p.data_fingerprint}{digests}",
        f"- Started from: {p.started_from or 'random weights'}",
        f"- Uncertainty: {f'calibrated on {fitted}' if fitted else 'not calibrated'}",
        f"- Points out images that look unlike its training images: {_pointing_out(manifest)}",
    ]
    lines += [f"- Measured {q.metric}: {q.value:.3f} on {q.data} ({many(q.cases, 'case')})" for q in manifest.quality]
    if not manifest.quality:
        lines.append(f"- Measured quality: none; {left_out or 'the run had no validation cases'}")
    lines += ["", "Not a medical device. Look at every result before using it."]
    return "\n".join(lines) + "\n"
