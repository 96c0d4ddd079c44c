"""`tenfold generate`, `tenfold regenerate` and `tenfold gallery`: synthetic images, one made again, a page of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import number_or_range, number_or_word, numbers, prompts, words
from tenfold.cli.options import Address, Debug, ExecutorName, Json, OneSetting, Place, Quiet, Workers
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.generation.plan_estimate import DryRun as Estimate
    from tenfold.recipes.generation import GenerationOutcome

_GENERATE_EXAMPLES = """[bold]Examples[/bold]

tenfold generate -w study --name drawn --checkpoint models/lesions --per-class 200 --dry-run

tenfold generate -w study --name drawn --checkpoint models/lesions --per-class 200 --skin-types 1,2,3,4,5,6

tenfold generate -w study --name around --strategy outpaint --per-real-image 10

tenfold generate -w study --name poses --prompt "df=a photo of a {class_noun} on the {site}" --total 1000

tenfold generate -w study --name bulk --config plan.yaml --shard 3/40 --set container=webdataset

tenfold generate -w study --name bulk --config plan.yaml --executor ray --address auto
"""
_REGENERATE_EXAMPLES = """[bold]Examples[/bold]

tenfold regenerate 0123456789abcdef -w study

tenfold regenerate study/synthetic/drawn/images/0123456789abcdef.png -w study --out again.png
"""
_GALLERY_EXAMPLES = """[bold]Examples[/bold]

tenfold gallery drawn -w study

tenfold gallery drawn -w study --per-group 100
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("generate", epilog=_GENERATE_EXAMPLES)(generate)
    app.command("regenerate", epilog=_REGENERATE_EXAMPLES)(regenerate)
    app.command("gallery", epilog=_GALLERY_EXAMPLES)(gallery)


def generate(
    workspace: Place,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The set's name: synthetic/NAME.")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="text2img, img2img, inpaint, outpaint, in_then_outpaint; without a generator recolor, composite.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="REF", help="models/NAME, embedded:base, sd15 or a diffusers folder.")
    ] = None,
    adapter: Annotated[str | None, typer.Option(metavar="REF", help="A LoRA: models/NAME or a .safetensors.")] = None,
    labels: Annotated[str | None, typer.Option(metavar="A,B", help="The classes to draw; else all.")] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt", metavar="CLASS=TEXT", help="A prompt, fields in braces; repeat for more.", show_default=False
        ),
    ] = None,
    skin_types: Annotated[
        str | None, typer.Option("--skin-types", metavar="1,2,..6", help="Skin types asked for in equal numbers.")
    ] = None,
    per_class: Annotated[int | None, typer.Option("--per-class", metavar="N", help="Images of each class.")] = None,
    per_prompt: Annotated[
        str | None, typer.Option("--per-prompt", metavar="N|A-B", help="Images of each prompt, or between A and B.")
    ] = None,
    per_real_image: Annotated[
        int | None, typer.Option("--per-real-image", metavar="N", help="Images for each real training image.")
    ] = None,
    balance_to: Annotated[
        str | None, typer.Option("--balance-to", metavar="N|largest", help="Fill each class up to so many images.")
    ] = None,
    total: Annotated[int | None, typer.Option(metavar="N", help="Images in all.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The root seed; else the workspace decides.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings; options go before it.")
    ] = None,
    settings: OneSetting = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print counts, time from a short probe and disk; write nothing.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Draw only this share; job arrays start one for each I.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="Stop after the first parts that hold K images.")
    ] = None,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw synthetic images from prompts or from real images; ends with a gallery page. Interrupted, it resumes.

    Each image's noise depends on its own seed alone: shards, workers and restarts change nothing.
    """
    from tenfold.distributed.choice import choose_executor
    from tenfold.recipes.generation import order_generation, run_generation, workers_for

    console = session.open_console(quiet, as_json, debug, workspace)
    options = {
        "name": ("--name", name),
        "strategy": ("--strategy", strategy),
        "checkpoint": ("--checkpoint", checkpoint),
        "adapter": ("--adapter", adapter),
        "labels": ("--labels", words(labels)),
        "prompts": ("--prompt", prompts(prompt, "--prompt")),
        "skin_types": ("--skin-types", numbers(skin_types, "--skin-types")),
        "images_per_class": ("--per-class", per_class),
        "images_per_prompt": ("--per-prompt", number_or_range(per_prompt, "--per-prompt")),
        "images_per_real_image": ("--per-real-image", per_real_image),
        "balance_to": ("--balance-to", number_or_word(balance_to)),
        "total": ("--total", total),
        "seed": ("--seed", seed),
    }
    order = order_generation(workspace, settings or (), options, file=config)
    workers = workers_for(order.config, executor, workers)
    with choose_executor(executor, workers, address, workspace.absolute()) as pool, console.progress() as progress:
        if dry_run:
            from tenfold.generation.plan_estimate import dry_run as estimate

            device = pool.device(order.config.device)
            estimated = estimate(
                order.config, order.workspace, device=device, workers=pool.worker_count, progress=progress
            )
        else:
            outcome = run_generation(order, pool, progress, shard=shard, limit=limit)
    if dry_run:
        _show_estimate(estimated, console)
    else:
        _show_outcome(outcome, console)


def regenerate(
    image: Annotated[str, typer.Argument(metavar="IMAGE_ID", help="An image_id of the workspace, or an image's path.")],
    workspace: Place,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the new image here, as PNG.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="cpu or cuda; else the recorded one.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make one image again from its record alone, and say whether it is identical, within tolerance or different.

    Ends with exit code 1 when it is different.
    """
    from tenfold.core.files import write_bytes_atomic
    from tenfold.core.workspace import Workspace
    from tenfold.data.images import encode_png
    from tenfold.generation.regenerate import regenerate as remake

    console = session.open_console(quiet, as_json, debug, workspace)
    report = remake(image, Workspace.open(workspace), device=device)
    if out is not None:
        write_bytes_atomic(out, encode_png(report.image))
    apart = "" if report.max_difference in (None, 0) else (
        f": at most {report.max_difference} of 255 levels apart, PSNR {report.psnr_db:.1f} dB"
    )  # fmt: skip
    lines = [f"{report.image_id}: {report.verdict}{apart}", f"Compared with {report.path}"]
    lines += [f"{name} was {then}, is {now}" for name, (then, now) in report.changed.items()]
    facts = {
        "image_id": report.image_id, "path": str(report.path), "verdict": report.verdict,
        "max_difference_levels": report.max_difference, "psnr_db": report.psnr_db,
        "changed": {name: list(pair) for name, pair in report.changed.items()},
    }  # fmt: skip
    console.result(facts, lines)
    if report.verdict == "different":
        raise typer.Exit(1)


def gallery(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A finished set: synthetic/NAME.")],
    workspace: Place,
    per_group: Annotated[
        int | None, typer.Option("--per-group", metavar="N", min=1, help="Images shown of each class and strategy.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a page of a set's images with prompts, seeds and sources: one file, nothing loaded from anywhere."""
    from tenfold.core.executor import SerialExecutor
    from tenfold.core.workspace import Workspace
    from tenfold.recipes.generation import write_gallery

    console = session.open_console(quiet, as_json, debug, workspace)
    with SerialExecutor() as executor, console.progress() as progress:
        page = write_gallery(Workspace.open(workspace), name, executor, progress, per_group=per_group)
    console.result({"gallery": str(page)}, [f"Gallery: {page}"])


def _show_outcome(outcome: GenerationOutcome, console: Console) -> None:
    result = outcome.result
    facts: dict[str, Any] = {"folder": str(result.folder), "summary": dict(result.summary)}
    if outcome.gallery is None:
        drawn = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in result.summary.items())
        console.result(facts, [f"Not the whole set yet ({drawn}): {result.folder}"])
        return
    counts = result.summary.get("images", {})
    told = ", ".join(f"{count} of {label}" for label, count in counts.items())
    lines = [
        f"{'Finished before' if result.was_finished else 'Drawn'}: {told}",
        f"Manifest: {result.folder / 'manifest.parquet'}",
        f"Gallery: {outcome.gallery}",
        "Nobody has looked at these images yet: review them before they train anything.",
    ]
    console.result(facts | {"gallery": str(outcome.gallery)}, lines)


def _show_estimate(estimate: Estimate, console: Console) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in estimate.rows:
        counts[row.label, row.strategy, "" if row.skin_type is None else str(row.skin_type)] += row.images
    console.table(
        "What would be drawn (nothing was written)",
        ("Class", "Strategy", "Skin type", "Images"),
        [(*key, str(count)) for key, count in counts.items()],
    )
    lines = [f"Note: {note}" for note in estimate.notes]
    taken = ""
    if estimate.seconds is not None and estimate.megabytes is not None:
        taken = f", about {readable_seconds(estimate.seconds)} and {estimate.megabytes:.1f} MB"
    lines.append(f"In all {estimate.images} images in {estimate.batches} batches{taken}; {estimate.basis}")
    console.result({"dry_run": estimate.as_dict()}, lines)
