"""`tenfold train`: a classifier on real images, with or without synthetic ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import words
from tenfold.cli.options import Debug, DryRun, Json, OneSetting, Place, Quiet
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.evaluation.estimate import Estimate
    from tenfold.recipes.training import TrainingEstimate, TrainingOutcome

_EXAMPLES = """[bold]Examples[/bold]

tenfold train --workspace study --name plain --classes df,vasc --dry-run

tenfold train -w study --name mixed --synthetic drawn --share 0.25

tenfold train -w study --name first-synthetic --synthetic drawn --schedule two_stage

tenfold train -w study --name vit --model vit_base_patch16_224 --weights vit.safetensors --train head

tenfold train -w study --name sagers --model efficientnetv2_m --image-size 224 --epochs 30 --transforms none

tenfold train -w study --name tuned --config tuning/best.yaml --no-test
"""
_SHOWN = ("macro_auroc", "accuracy", "balanced_accuracy")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("train", epilog=_EXAMPLES)(train)


def train(
    workspace: Place,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The classifier's name: classifiers/NAME in the workspace.")
    ],
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
        typer.Option(
            metavar="X", min=0.0, max=1.0, help="Synthetic part of each batch, 0.25 at first; 1: these alone."
        ),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="mixed|two_stage", help="In every batch, or synthetic first and real last.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="strict|archive|pooled",
            help="What the generator may have seen: these training images alone, or more (is recorded).",
        ),
    ] = None,
    transforms: Annotated[
        str | None,
        typer.Option(
            metavar="none|paper|strong",
            help="Random changes: none; crop, flip, rotation, warp, lighting; these, RandAugment, MixUp and CutMix.",
        ),
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
    trained: Annotated[
        str | None, typer.Option("--train", metavar="full|head", help="All layers, or the last one on frozen features.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PX", min=8, help="Side of the model's input.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(metavar="adamw|adam|rmsprop|sgd", help="How it learns.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", metavar="X", help="Its highest.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="Optimizer steps.")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the images, instead of steps.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help="Images a step.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Of weights, batches and transforms.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="A YAML file of settings, as `tenfold tune` writes; options win."
        ),
    ] = None,
    settings: OneSetting = None,
    no_test: Annotated[
        bool, typer.Option("--no-test", help="Do not judge the test images: while settings are still being chosen.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a classifier on the sealed split's training images; validation images choose its weights.

    Further settings by --set: layer_decay, ema_decay, early_stopping_looks, sampling, balance_by, mixed_precision, ...
    Interrupted, the same command goes on where it stopped and ends with the same weights.
    """
    from tenfold.core.executor import SerialExecutor
    from tenfold.recipes.training import Chosen, estimate_training, order_training, run_training

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
        "extra_schedule": ("--schedule", schedule),
        "generator_budget": ("--budget", budget),
        "transforms": ("--transforms", transforms),
        "model": ("--model", model),
        "weights": ("--weights", None if weights is None else str(Path(weights).absolute())),
        "train": ("--train", trained),
        "image_size_px": ("--image-size", image_size),
        "optimizer": ("--optimizer", optimizer),
        "learning_rate": ("--learning-rate", learning_rate),
        "max_train_steps": ("--steps", steps),
        "max_train_epochs": ("--epochs", epochs),
        "batch_size": ("--batch-size", batch_size),
        "classifier_seed": ("--seed", seed),
    }
    order = order_training(workspace, chosen, settings or (), options, file=config)
    for kind, counts in order.images.items():
        told = ", ".join(f"{count} of {label}" for label, count in counts.items())
        console.line(f"{kind.capitalize()} images: {told or 'none'}")
    if dry_run:
        _show_estimate(estimate_training(order), console)
        return
    with SerialExecutor() as executor, console.progress() as progress:
        outcome = run_training(order, executor, progress, with_test=not no_test)
    _show(outcome, console)


def _show_estimate(estimate: TrainingEstimate, console: Console) -> None:
    if estimate.seconds is None:
        told = "The last layer is solved on frozen features; there are no steps."
    else:
        told = (
            f"{estimate.max_train_steps} steps, {estimate.epochs:.1f} passes over the images, "
            f"about {readable_seconds(estimate.seconds)} on {estimate.device} by a probe of a few steps."
        )
    console.result({"dry_run": estimate.as_dict()}, [told, "Nothing was written (--dry-run)."])


def _show(outcome: TrainingOutcome, console: Console) -> None:
    result, training = outcome.result, outcome.training
    summary = result.summary
    looks = [(key, one) for key, one in training["best"].items() if key in ("step", "l2")]
    chosen = ", ".join(f"step {value}" if key == "step" else f"penalty {value:.3g}" for key, value in looks)
    planned, stopped = training["settings"]["max_train_steps"], training["stopped_at_step"]
    lines = [
        f"{'Finished before' if result.was_finished else 'Trained'}: {result.folder}",
        f"Weights at first: {_origin(training['pretrained_from'])}",
        f"Chosen by {summary['n_validation_images']} validation images: {chosen}"
        + (f" of {stopped}" if stopped is not None else "")
        + (f" (stopped early; {planned} were planned)" if stopped != planned else "")
        + f"; there macro AUROC {summary['validation_macro_auroc']:.3f}, "
        f"log loss {summary['validation_log_loss']:.3f} (the choice's own figures, so a little too good)",
        f"Curves: {outcome.curves} and history.csv",
    ]
    facts: dict[str, Any] = {
        "folder": str(result.folder), "curves": str(outcome.curves), "summary": dict(summary),
        "training": dict(training), "history": outcome.history.to_dict(orient="records"),
    }  # fmt: skip
    if outcome.evaluation is not None:
        evaluation = outcome.evaluation.evaluation
        figures = evaluation.models[0].metrics
        shown = [name for name in _SHOWN if name in figures]
        lines.append(
            f"Test ({evaluation.n_test_images} images, {evaluation.n_test_patients} patients): "
            + "; ".join(f"{name.replace('_', ' ').replace('auroc', 'AUROC')} {_words(figures[name])}" for name in shown)
        )
        if evaluation.test_reads is not None:
            lines.append(f"The test images have now been read {evaluation.test_reads} times.")
        lines.append(f"All figures: {outcome.evaluation.page}")
        facts |= {
            "test": {name: vars(figures[name]) for name in shown}, "page": str(outcome.evaluation.page),
            "test_reads": evaluation.test_reads,
        }  # fmt: skip
    console.result(facts, lines)


def _origin(start: dict[str, str | None]) -> str:
    """What the starting weights came from, in words."""
    words_of = {"none": "random", "embedded": "the embedded archive's", "file": "the file", "timm": "timm's"}
    told = words_of[str(start["kind"])]
    if start["kind"] in ("file", "timm"):
        told += f" {start['name']}"
    return told + (f" (sha256 {str(start['sha256'])[:12]})" if start["sha256"] else "")


def _words(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return "none"
    interval = "no interval" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{estimate.value:.3f} ({interval})"
