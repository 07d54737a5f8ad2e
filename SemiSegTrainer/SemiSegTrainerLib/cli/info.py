"""`semiseg info`: what a model pack is."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.words import many

from SemiSegTrainerLib.learning.packing import reading, windows


def info(
    pack: Annotated[Path, typer.Argument(help="Model pack (.semiseg).")],
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Show a model: segments, input, branches, quality, provenance, licence."""
    loaded = load_pack(pack)
    manifest = loaded.manifest
    if json:
        print(json_module.dumps(manifest.model_dump(mode="json"), indent=1))
        return
    console = Console()
    console.print(f"[bold]{escape(manifest.name)}[/bold]  {escape(manifest.description)}", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    segments = [
        f"[rgb({','.join(str(round(255 * v)) for v in c.color)})]■[/] {c.value} {escape(c.name)}"
        for c in manifest.classes
    ]
    p, calibration = manifest.provenance, manifest.calibration.fitted_on
    quality = [f"{q.metric} {q.value:.3f} on {q.data} ({many(q.cases, 'case')})" for q in manifest.quality]
    rows = {
        "Input": f"{', '.join(manifest.input.modalities)}; {' x '.join(map(str, manifest.input.size))} voxels"
        + windows(manifest.input),
        "Branches": "\n".join(
            f"{spec.architecture}{reading(manifest, spec)}, "
            f"{sum(w.numel() for w in branch.network.parameters()) / 1e6:.2f} M parameters"
            for spec, branch in zip(manifest.branches, loaded.branches, strict=True)
        ),
        "Uncertainty": f"calibrated on {calibration}" if calibration else "not calibrated",
        "Quality": "\n".join(quality) or "not measured",
        "Training": f"{p.method}, {p.labelled} labelled, {p.unlabelled} unlabelled, "
        f"{p.iterations} iterations, seed {p.seed}",
        "Data": f"fingerprint {p.data_fingerprint}",
        "Licence": manifest.licence or "not stated",
        "Attribution": manifest.attribution or "none",
    }
    table.add_row("[dim]Segments[/dim]", "\n".join(segments))
    for name, text in rows.items():
        table.add_row(f"[dim]{name}[/dim]", escape(text))
    console.print(table, highlight=False)
