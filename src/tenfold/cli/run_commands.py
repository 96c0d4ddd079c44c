"""`tenfold demo`, `tenfold run` and `tenfold report`: the main job from images to the report."""

from __future__ import annotations

from collections.abc import Sequence
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
    DryRun,
    ExecutorChoice,
    ExecutorName,
    Json,
    Mini,
    Quiet,
    Settings,
    Variants,
    Workers,
    WorkspaceDir,
)
from tenfold.cli.progress import readable_seconds
from tenfold.recipes.naming import default_workspace

if TYPE_CHECKING:
    from tenfold.recipes.preview import Preview
    from tenfold.recipes.runner import RunSummary
    from tenfold.recipes.schema import Recipe

_DEMO_EXAMPLES = """[bold]Examples[/bold]

tenfold demo --mini

tenfold demo --workspace /tmp/demo --set study.seeds=3

tenfold demo --dry-run
"""
_RUN_EXAMPLES = """[bold]Examples[/bold]

tenfold run folder --set intake.source=/data/lesions --set "intake.classes=\\[df,vasc]"

tenfold run folder --set intake.source=/data/table.csv --dry-run

tenfold run sagers2023 --variant code --set intake.source=/data/fitzpatrick17k --dry-run

tenfold run my-recipe.yaml --workspace /data/study1 --set study.seeds=10
"""
_REPORT_EXAMPLES = """[bold]Examples[/bold]

tenfold report --workspace tenfold-demo
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("demo", epilog=_DEMO_EXAMPLES)(demo)
    app.command("run", epilog=_RUN_EXAMPLES)(run)
    app.command("report", epilog=_REPORT_EXAMPLES)(report)


def demo(
    workspace: WorkspaceDir = None,
    settings: Settings = None,
    mini: Mini = False,
    dry_run: DryRun = False,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run the whole job on drawn skin lesions (no data and no downloads needed), some seven minutes on two cores.

    Files go to ./tenfold-demo (./tenfold-demo-mini with --mini) unless --workspace names another folder. Interrupted,
    it resumes.
    """
    place = workspace or default_workspace("demo", mini=mini)
    console = session.open_console(quiet, as_json, debug, place)
    _run(_load("demo", settings or (), (), mini), place, dry_run, (executor, workers, address), console)


def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name or a .yaml file.")],
    workspace: WorkspaceDir = None,
    settings: Settings = None,
    variants: Variants = None,
    mini: Mini = False,
    auto_accept: AutoAccept = False,
    dry_run: DryRun = False,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a recipe: images, split, generators, synthetic images, classifiers, evaluation, report.

    Files go to ./tenfold-RECIPE unless --workspace names another folder. Interrupted, it resumes.
    """
    place = workspace or default_workspace(recipe, mini=mini, variants=variants or ())
    console = session.open_console(quiet, as_json, debug, place)
    loaded = _load(recipe, settings or (), variants or (), mini)
    if auto_accept:
        loaded = loaded.without_people()
    _run(loaded, place, dry_run, (executor, workers, address), console)


def report(
    workspace: WorkspaceDir = None,
    study: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="Which study; the last one reported when not given.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the report of a finished run again, from the files in its workspace."""
    from tenfold.recipes.runner import write_report

    place = workspace or Path("tenfold-demo")
    console = session.open_console(quiet, as_json, debug, place)
    with console.progress() as progress:
        path = write_report(place, progress, study)
    console.result({"report": str(path)}, [f"Report: {path}"])


def _load(name: str, settings: Sequence[str], variants: Sequence[str], mini: bool) -> Recipe:
    from tenfold.recipes.loader import load_recipe

    return load_recipe(name, settings, variants=variants, mini=mini)


def _run(recipe: Recipe, workspace: Path, dry_run: bool, executor: ExecutorChoice, console: Console) -> None:
    from tenfold.distributed.choice import choose_executor

    if dry_run:
        from tenfold.recipes.preview import preview_recipe

        with choose_executor(*executor) as pool, console.progress() as progress:
            preview = preview_recipe(recipe, pool.worker_count, progress)
        _show_preview(preview, console)
        return
    from tenfold.recipes.runner import run_recipe

    for note in recipe.trimmed:
        console.line(f"Trimmed: {note}")
    with choose_executor(*executor, shared_folder=workspace.absolute()) as workers, console.progress() as progress:
        summary = run_recipe(recipe, workspace, workers, progress)
    _show_summary(summary, console)


def _show_preview(preview: Preview, console: Console) -> None:
    console.table(
        "What would be done (nothing was written)",
        ("Stage", "Work", "Time"),
        [(row.stage, row.work, readable_seconds(row.seconds)) for row in preview.rows],
    )
    lines = [f"Note: {note}" for note in preview.notes]
    lines.append(f"In all about {readable_seconds(preview.seconds)} and {preview.megabytes:.0f} MB; {preview.basis}")
    console.result({"dry_run": asdict(preview)}, lines)


def _show_summary(summary: RunSummary, console: Console) -> None:
    value: dict[str, Any] = {
        "verdict": asdict(summary.verdict),
        "report": str(summary.report_path),
        "workspace": str(summary.workspace),
        "notes": list(summary.notes),
        "seconds": summary.seconds,
    }
    for note in summary.notes:
        console.line(f"Note: {note}")
    console.line(f"Done in {readable_seconds(summary.seconds)}.")
    console.result(value, [summary.verdict.sentence, f"Report: {summary.report_path}"])
