"""Options that every command shares, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an unexpected error.")]
WorkspaceDir = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="Folder that holds the run's files.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change one value of the recipe; repeat for more.", show_default=False),
]
OneSetting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A=B", help="Change one of the other settings; repeat for more.", show_default=False),
]
Place = Annotated[Path, typer.Option("--workspace", "-w", metavar="DIR", help="The folder of the images and models.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant", metavar="NAME", help="One of the recipe's own variants; repeat for more.", show_default=False
    ),
]
Mini = Annotated[bool, typer.Option("--mini", help="The recipe's one-minute variant, for a first look.")]
AutoAccept = Annotated[
    bool,
    typer.Option("--auto-accept", help="Go on without reviewers; manifest and report say that nobody looked."),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor", metavar="serial|processes|ray", help="One after another, worker processes, or a Ray cluster."
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="The Ray cluster (`auto` finds one); else this machine alone."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes; as many as usable cores when not given.")
]
ExecutorChoice = tuple[str, int | None, str | None]
"""--executor, --workers and --address, as `choose_executor` takes them."""
