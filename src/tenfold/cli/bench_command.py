"""`tenfold bench`: ours against stock and tuned library use on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Quiet

_EXAMPLES = """[bold]Examples[/bold]

tenfold bench B9

tenfold bench B9 --repeats 5 --out b9.json

tenfold bench B1
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("bench", epilog=_EXAMPLES)(bench)


def bench(
    name: Annotated[str, typer.Argument(metavar="B1..B10", help="What each measures: docs/benchmarks.md.")],
    repeats: Annotated[int, typer.Option(min=3, help="Times each way is measured, interleaved.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; all usable cores when not given. B3 and B10 draw on one.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the figures as JSON.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a benchmark: ours, the stock way (S) and the tuned way (T) interleaved, with an output check."""
    from tenfold.bench.catalog import run_benchmark
    from tenfold.core.files import write_json_atomic

    console = session.open_console(quiet, as_json, debug)
    with console.progress() as progress:
        figures = run_benchmark(name, repeats, threads, progress)
    if out is not None:
        write_json_atomic(out, asdict(figures))
    console.table(
        f"{figures.name}: {figures.title}",
        ("What", "Ours", "Stock (S)", "Tuned (T)", "S / ours", "T / ours", "Target", "Outputs"),
        [row.cells() for row in figures.rows],
    )
    lines = [f"Median and range of {figures.repeats} interleaved repeats; {figures.machine}.", *figures.notes]
    console.result(asdict(figures), lines + ([f"Figures: {out}"] if out else []))
