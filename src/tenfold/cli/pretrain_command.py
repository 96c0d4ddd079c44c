"""`tenfold pretrain`: train the embedded base and its feature net again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Quiet

_EXAMPLES = """[bold]Examples[/bold]

tenfold pretrain --workspace base-training

tenfold pretrain --workspace base-training --set denoiser.steps=1000
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("pretrain", epilog=_EXAMPLES)(pretrain)


def pretrain(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", metavar="DIR", help="Folder for the training.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A=B", help="Change one value of the training.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the miniature base model and the feature net on the drawn archive, as the shipped ones were.

    About two hours on two cores. Interrupted, it resumes.
    """
    from tenfold.recipes.pretraining import run_pretraining

    console = session.open_console(quiet, as_json, debug, workspace)
    with console.progress() as progress:
        result = run_pretraining(workspace, settings or (), progress)
    console.result({"folder": str(result.folder), "summary": dict(result.summary)}, [f"Trained: {result.folder}"])
