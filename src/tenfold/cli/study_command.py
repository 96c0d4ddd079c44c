"""`tenfold study`: plan, time and run a study on a workspace's images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.options import (
    Address,
    AutoAccept,
    Debug,
    ExecutorName,
    Json,
    Mini,
    Place,
    Quiet,
    Settings,
    Variants,
    Workers,
)
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.recipes.runner import RunSummary
    from tenfold.studies.forecast import Forecast

_EXAMPLES = """[bold]Examples[/bold]

tenfold study -w lesions --dry-run

tenfold study -w lesions --set study.name=doses --set "study.grid_arms=\\[hybrid]" --set "study.ratios=\\[5,10,25]"

tenfold study -w lesions --set study.name=budgets --set "study.arms=\\[real_transforms,hybrid,hybrid@pooled]"

tenfold study -w lesions --recipe study.yaml --executor ray --address auto
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("study", epilog=_EXAMPLES)(study)


def study(
    workspace: Place,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="NAME|FILE", help="A recipe whose study is run; else the workspace's own, or defaults."
        ),
    ] = None,
    settings: Settings = None,
    variants: Variants = None,
    mini: Mini = False,
    auto_accept: AutoAccept = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, time from a short probe and disk; keep nothing.")
    ] = False,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Estimate from figures of another machine instead of a probe.")
    ] = False,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train classifiers by arm, training size and seed on the workspace's images; ends with the report.

    The plan comes first: cells, time, disk, and the smallest difference that the test images can show. A cell that
    fails does not stop the others. Interrupted, it resumes.
    """
    from tenfold.distributed.choice import choose_executor
    from tenfold.recipes.studying import forecast_study, order_study, run_study

    console = session.open_console(quiet, as_json, debug, workspace)
    order = order_study(workspace, recipe, settings or (), variants=variants or (), mini=mini)
    if auto_accept:
        order = order.without_people()
    with choose_executor(executor, workers, address, workspace.absolute()) as pool, console.progress() as progress:
        plan, rates = forecast_study(order, pool.worker_count, progress, with_probe=not no_probe)
        _show_plan(plan, console, is_all=dry_run)
        if dry_run:
            return
        summary = run_study(order, pool, progress, rates)
    _show_summary(summary, plan, console)


def _show_plan(plan: Forecast, console: Console, *, is_all: bool) -> None:
    console.table(
        "What would be done (nothing was written)" if is_all else "What will be done",
        ("Work", "Time of one worker"),
        [(row.work, readable_seconds(row.seconds)) for row in plan.stages],
    )
    lines = [f"Note: {note}" for note in plan.notes]
    lines.append(plan.minimum_detectable.text)
    lines.append(
        f"In all {plan.cells} classifiers and {plan.generators} generators: about {readable_seconds(plan.seconds)} and "
        f"{plan.megabytes:.0f} MB; {plan.basis}."
    )
    if is_all:
        console.result({"dry_run": asdict(plan)}, lines)
        return
    for line in lines:
        console.line(line)


def _show_summary(summary: RunSummary, plan: Forecast, console: Console) -> None:
    value: dict[str, Any] = {
        "verdict": asdict(summary.verdict),
        "report": str(summary.report_path),
        "workspace": str(summary.workspace),
        "notes": list(summary.notes),
        "plan": asdict(plan),
        "seconds": summary.seconds,
    }
    console.line(f"Done in {readable_seconds(summary.seconds)}.")
    console.result(value, [summary.verdict.sentence, f"Report: {Path(summary.report_path)}"])
