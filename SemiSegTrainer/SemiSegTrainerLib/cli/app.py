"""The command `semiseg` and what all its subcommands share: exit status, one-line errors, events."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Sequence

import typer
from SemiSegCervicalLib.atomic import reason
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.heap import keep_freed_memory
from typer import Abort
from typer.main import get_command

from . import evaluate, export, info, predict, train
from .reporting import report_error

INTERRUPTED = 130

app = typer.Typer(
    help="Dual-network segmentation with uncertainty, and semi-supervised training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("info")(info.info)
app.command("export")(export.export)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 on success, 2 for a fault of the user's input (one line on standard error), 1 for a defect.
    """
    # Where output is redirected on Windows, its encoding may lack what a model's name or a table holds.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Lightning's remarks on its own settings would bury the one line that an error gets.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        # standalone_mode=False hands errors to us; usage errors then print themselves with status 2.
        status = get_command(app).main(args=given, prog_name="semiseg", standalone_mode=False)
        if status == INTERRUPTED:  # some versions of typer turn an interrupt into this status, others raise
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except SemiSegError as error:
        report_error(error, as_json="--json" in given)
        return 2
    except (KeyboardInterrupt, Abort):
        print("semiseg: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            # What a system refuses already when it is asked whether a file is there: a name too long, a locked folder.
            told = SemiSegError(
                "refused-path", f"{error.filename}: {reason(error)}", "Check the path, and who may read and write there"
            )
            report_error(told, as_json="--json" in given)
            return 2
        show = getattr(error, "show", None)
        if show is not None:  # a usage error of the command line library
            show()
            return 2
        traceback.print_exc()
        print("semiseg: this is a defect of SemiSeg; please report it with the lines above", file=sys.stderr)
        return 1


def main() -> None:
    """Entry point of the installed command."""
    keep_freed_memory()
    sys.exit(run())


if __name__ == "__main__":
    main()
