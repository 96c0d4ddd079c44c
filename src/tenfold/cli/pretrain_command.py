"""`tenfold pretrain`: train a base of one's own from an unlabelled archive, or the embedded base again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import pairs
from tenfold.cli.options import Debug, DryRun, Json, Quiet
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.recipes.pretraining import PretrainingPlan

_EXAMPLES = """[bold]Examples[/bold]

tenfold pretrain --archive /data/all-images --workspace lesions --dry-run

tenfold pretrain --archive /data/all-images --workspace lesions --name hospital --license "internal use"

tenfold pretrain --archive table.csv --workspace lesions --size medium --image-size 128 --set device=cuda

tenfold pretrain --workspace base-training
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("pretrain", epilog=_EXAMPLES)(pretrain)


def pretrain(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", metavar="DIR", help="Folder for the training.")],
    archive: Annotated[
        str | None,
        typer.Option("--archive", metavar="PATH", help="Folder, table or workspace of images; else the drawn archive."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The base's name: models/NAME; base.")] = None,
    size: Annotated[str, typer.Option(metavar="small|medium|large", help="How large the base is.")] = "small",
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PX", help="Side of its images; 64, 128 or 256 by size.")
    ] = None,
    folder_names: Annotated[
        str | None,
        typer.Option(metavar="ignored|labels", help="What subfolders' names are: nothing, or classes for captions."),
    ] = None,
    column_map: Annotated[
        str | None, typer.Option("--map", metavar="A=B,...", help="What a table's columns mean: caption=finding.")
    ] = None,
    data_license: Annotated[str | None, typer.Option("--license", metavar="TEXT", help="The images' license.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A=B", help="Change one value of the training.")
    ] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a base model from nothing on images of your own; classes are not needed, captions are optional.

    Images that belong with validation or test images of the workspace are left out. Without --archive the embedded
    base is trained again. The costs are told first; interrupted, it resumes.
    """
    from tenfold.recipes.pretraining import order_pretraining, plan_pretraining, run_pretraining

    console = session.open_console(quiet, as_json, debug, workspace)
    options = {"folder_names": folder_names, "column_map": pairs(column_map, "--map"), "data_license": data_license}
    texts = [*([] if name is None else [f"name={name}"]), *(settings or ())]
    order = order_pretraining(
        workspace, texts, archive=archive, size=size, image_size_px=image_size, archive_options=options
    )
    plan = plan_pretraining(order) if archive is not None or dry_run else None
    if plan is not None:
        _show_plan(plan, console)
    if dry_run and plan is not None:
        console.result({"dry_run": plan.as_dict()}, ["Nothing was written (--dry-run)."])
        return
    with console.progress() as progress:
        result = run_pretraining(order, plan, progress)
    lines = [f"Trained: {result.folder}"]
    if not quiet:
        lines.append(f"Fine-tune it: base_checkpoint models/{order.config.name} (in this workspace)")
    console.result({"folder": str(result.folder), "summary": dict(result.summary)}, lines)


def _show_plan(plan: PretrainingPlan, console: Console) -> None:
    from tenfold.models.memory import readable_bytes

    console.event("plan", plan.as_dict())
    if plan.look is not None:
        look = plan.look
        console.line(
            f"Archive: {look.images:,} images, {look.captioned:,} with a caption or class; {look.set_aside:,} files or "
            "rows set aside so far"
        )
        for note in look.notes:
            console.line(f"Note: {note}")
    console.table(
        "What it costs, by a short probe (right within a factor of about two)",
        ("Training", "Parameters", "Steps", "Images a step", "Time", "Memory"),
        [
            (
                one.name, f"{one.parameters:,}", f"{one.steps:,}", one.batch_size,
                readable_seconds(one.seconds / plan.estimate.processes), readable_bytes(one.memory_bytes),
            )
            for one in plan.estimate.trainings
        ],
    )  # fmt: skip
    console.line(
        f"Together about {readable_seconds(plan.estimate.seconds)}; {readable_bytes(plan.available_bytes)} of memory "
        "are at hand"
    )
    for caution in plan.cautions:
        console.line(f"Caution: {caution}")
