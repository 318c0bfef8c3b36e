"""The command line: one verb for each step from images to C, each in the module of its name.

Numbers go to standard output, everything else to standard error. Exit codes: 0; 1 for what the user can put right,
said in one line; 2 for a command that makes no sense; 3 for a budget missed; 130 when interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from horner import __version__
from horner.cli import (
    account,
    approximate,
    bench,
    demo,
    evaluate,
    export,
    finetune,
    presets,
    search,
    sensitivity,
    simulate,
    synth,
    train,
    zoo,
)
from horner.cli.console import FAILED, INTERRUPTED, USAGE, discard_output, fail
from horner.errors import DataError, HornerError, InterruptedTrainingError

app = typer.Typer(
    name="horner",
    help="Replace a classifier's weights by short polynomials, store the coefficients, reuse their sums.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
VERBS: dict[str, Callable[..., None]] = {
    "train": train.train,
    "approximate": approximate.approximate,
    "finetune": finetune.finetune,
    "search": search.search,
    "sensitivity": sensitivity.sensitivity,
    "presets": presets.presets,
    "zoo": zoo.zoo,
    "eval": evaluate.evaluate,
    "account": account.account,
    "export": export.export,
    "synth": synth.synth,
    "simulate": simulate.simulate,
    "bench": bench.bench,
    "demo": demo.demo,
}
for name, verb in VERBS.items():
    app.command(name)(verb)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    if version:
        print(f"horner {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and a non-zero exit."""
    # threads that wait spin otherwise, and with another busy process beside them they wait for most of the time
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    try:
        code = app(standalone_mode=False, prog_name="horner")
        sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            fail("interrupted")
    except InterruptedTrainingError as error:
        code = fail(str(error), INTERRUPTED)
    except DataError as error:
        code = fail(str(error), lines=True)  # it may list all that was tried
    except HornerError as error:
        code = fail(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        code = fail(f"{error.format_message()} ({context.command_path if context else 'horner'} --help)", USAGE)
    except KeyboardInterrupt:
        code = fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        code = FAILED
    except OSError as error:
        discard_output()
        code = fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    sys.exit(code if isinstance(code, int) else 0)
