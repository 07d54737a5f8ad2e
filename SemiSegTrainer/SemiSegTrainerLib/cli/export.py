"""`semiseg export`: a model for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from SemiSegCervicalLib.atomic import write_folder_atomically
from SemiSegCervicalLib.engine.exchange.monai_bundle import bundle_files, bundle_name
from SemiSegCervicalLib.engine.exchange.onnx_file import write_onnx
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.errors import SemiSegError


class Format(str, Enum):
    """What a model can be exported as."""

    BUNDLE = "monai-bundle"
    ONNX = "onnx"


def export(
    pack: Annotated[Path, typer.Argument(help="Model pack (.semiseg).")],
    format_: Annotated[Format, typer.Option("--format", help="A folder for MONAI, or one file for other engines.")],
    out: Annotated[Path, typer.Option(help="Folder for the result.")],
) -> None:
    """Write a model for other programs: all its networks and their vote in one, without SemiSeg."""
    model = load_pack(pack)
    name = bundle_name(model)
    target = out / (f"{name}.onnx" if format_ is Format.ONNX else name)
    if target.exists():
        raise SemiSegError("exists", f"{target} already exists", "Choose another folder", "settings")
    if format_ is Format.ONNX:
        write_onnx(target, model)
    else:
        write_folder_atomically(target, bundle_files(model))
    typer.echo(f"Written: {target}")
