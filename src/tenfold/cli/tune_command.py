"""`tenfold tune`: a classifier's settings searched on validation images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import words
from tenfold.cli.options import Debug, DryRun, Json, OneSetting, Place, Quiet
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.recipes.tuning import TuningEstimate, TuningOutcome

_EXAMPLES = """[bold]Examples[/bold]

tenfold tune -w study --name first --dry-run

tenfold tune -w study --name first --classes df,vasc --trials 30

tenfold tune -w study --name mixed --synthetic drawn --space space.yaml --config fixed.yaml

tenfold tune -w study --name vit --model vit_base_patch16_224 --weights vit.safetensors --image-size 224

tenfold train -w study --name tuned --config study/tuning/first/result/best.yaml
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("tune", epilog=_EXAMPLES)(tune)


def tune(
    workspace: Place,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The search's name: tuning/NAME.")],
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="The classes to tell apart; else all.")] = None,
    images_per_class: Annotated[
        int | None,
        typer.Option("--images-per-class", metavar="N", min=1, help="Real training images of each; else all, nested."),
    ] = None,
    validation_per_class: Annotated[
        int | None,
        typer.Option(
            "--validation-per-class", metavar="N", min=1, help="At most so many; else as many as are trained on."
        ),
    ] = None,
    synthetic: Annotated[
        list[str] | None,
        typer.Option("--synthetic", metavar="SET", help="synthetic/SET joins in; repeat for more.", show_default=False),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, max=1.0, help="Synthetic part of each batch, 0.25 at first."),
    ] = None,
    transforms: Annotated[
        str | None, typer.Option(metavar="none|paper|strong", help="Random changes of the training images.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="embedded:small, efficientnetv2_m, vit_base_patch16_224 or any model of timm's."
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="A local .safetensors of its pretrained weights; else timm's.")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PX", min=8, help="Side of the model's input.")
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            "--space",
            metavar="FILE",
            help="A YAML file of what is searched; else epochs 20-200, learning rate, adam or rmsprop, batch size.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", min=1, help="Trainings in all, 30 at first; more go on.")
    ] = None,
    goal: Annotated[
        str | None, typer.Option("--goal", metavar="NAME", help="macro_auroc, or log_loss: of the validation images.")
    ] = None,
    pruner: Annotated[
        str | None, typer.Option("--pruner", metavar="median|none", help="Whether poor trials are ended early.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Of the search.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings that are not searched.")
    ] = None,
    settings: OneSetting = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Search a classifier's settings with Optuna, judged on validation images only; no test image is read.

    Trials are kept in SQLite: interrupted, the same command goes on and ends as it would have. Further settings of
    the classifier by --set, of the search by --set tuning.sampler=random and the like.
    """
    from tenfold.core.executor import SerialExecutor
    from tenfold.recipes.training import Chosen
    from tenfold.recipes.tuning import estimate_tuning, order_tuning, run_tuning

    console = session.open_console(quiet, as_json, debug, workspace)
    chosen = Chosen(
        name,
        words(classes),
        images_per_class,
        validation_per_class,
        tuple(synthetic or ()),
        share,
        is_pretrained=not from_scratch,
    )
    options = {
        "transforms": ("--transforms", transforms),
        "model": ("--model", model),
        "weights": ("--weights", None if weights is None else str(Path(weights).absolute())),
        "image_size_px": ("--image-size", image_size),
    }
    own = {
        "trials": ("--trials", trials),
        "goal": ("--goal", goal),
        "pruner": ("--pruner", pruner),
        "seed": ("--seed", seed),
    }
    order = order_tuning(workspace, chosen, settings or (), options, own_options=own, file=config, space=space)
    if dry_run:
        _show_estimate(estimate_tuning(order), console)
        return
    with SerialExecutor() as executor, console.progress() as progress:
        outcome = run_tuning(order, executor, progress)
    _show(outcome, console)


def _show_estimate(estimate: TuningEstimate, console: Console) -> None:
    console.table("What would be searched", ("Setting", "Where"), list(estimate.space.items()))
    for kind, counts in estimate.images.items():
        told = ", ".join(f"{count} of {label}" for label, count in counts.items())
        console.line(f"{kind.capitalize()} images: {told or 'none'}")
    longest = estimate.seconds_of_longest
    if longest is None:
        told = f"{estimate.trials} trials; the last layer is solved on frozen features."
    else:
        told = (
            f"{estimate.trials} trials; the longest takes about {readable_seconds(longest)} on {estimate.device}, so "
            f"all at most about {readable_seconds(longest * estimate.trials)} (by a probe of a few steps)."
        )
    console.result({"dry_run": estimate.as_dict()}, [told, "Nothing was written (--dry-run)."])


def _show(outcome: TuningOutcome, console: Console) -> None:
    summary = outcome.result.summary
    found = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in summary["best_values"].items()
    )
    lines = [
        f"{'Finished before' if outcome.result.was_finished else 'Searched'}: {summary['trials']} trials, "
        f"{summary['complete']} whole, {summary['pruned']} ended early, {summary['failed']} failed",
        f"Best: {found}",
        f"Validation {summary['goal'].replace('_', ' ').replace('auroc', 'AUROC')} {summary['best_value']:.3f} "
        f"({summary['n_validation_images']} images, {summary['n_validation_patients']} {summary['counted_unit']}s): "
        "the best of many on the images that chose it, so too good and without an interval. No test image was read.",
        f"Settings: {outcome.best} (tenfold train --config)",
        f"Page: {outcome.page}",
    ]
    facts = {
        "folder": str(outcome.result.folder), "summary": dict(summary), "best": str(outcome.best),
        "page": str(outcome.page),
    }  # fmt: skip
    console.result(facts, lines)
