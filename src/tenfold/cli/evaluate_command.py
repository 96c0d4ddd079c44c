"""`tenfold evaluate`: full statistics of anybody's predictions, or of a workspace's classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import pairs, words
from tenfold.cli.options import Debug, Json, OneSetting, Quiet, WorkspaceDir
from tenfold.core.errors import InputError

if TYPE_CHECKING:
    from tenfold.evaluation.estimate import Estimate
    from tenfold.recipes.evaluating import EvaluationOutcome

_EXAMPLES = """[bold]Examples[/bold]

tenfold evaluate --predictions model.csv --manifest images.csv

tenfold evaluate --predictions ours.csv --predictions theirs.csv --manifest images.csv --reference theirs --margin 0.05

tenfold evaluate --predictions model.csv --manifest images.csv --prevalence melanoma=0.02 --subgroup hospital

tenfold evaluate --workspace study --classifier "main-hybrid-n8-*" --classifier "main-real-transforms-n8-*"

tenfold evaluate --workspace study --classifier main-hybrid-n8-s0 --on /data/other-hospital
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("evaluate", epilog=_EXAMPLES)(evaluate)


def evaluate(
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions",
            "-p",
            metavar="FILE",
            show_default=False,
            help="A table (.csv, .parquet) with image_id, label and prob.CLASS; repeat for more models.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", "-m", metavar="FILE", help="The images: image_id, patient_id, split, sex, site, ..."
        ),
    ] = None,
    workspace: WorkspaceDir = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            metavar="NAME",
            show_default=False,
            help="Of --workspace: classifiers/NAME on the sealed test set; may hold *; repeat for more.",
        ),
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(
            "--on", metavar="PATH", help="An external set: a workspace, or a folder with a subfolder a class."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; else beside the file.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The figure compared first: macro_auroc, accuracy, balanced_accuracy, ..."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that others are compared with; else the first.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(metavar="X", help="Loss of the figure that does not matter, such as 0.05.")
    ] = None,
    prevalence: Annotated[
        str | None, typer.Option(metavar="CLASS=X,...", help="Share of a class in use: PPV and NPV are re-weighted.")
    ] = None,
    subgroup: Annotated[
        str | None, typer.Option(metavar="A,B", help="Further manifest columns by which results are split.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title of the page.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings; options go before it.")
    ] = None,
    settings: OneSetting = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="With --on: auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Judge predictions: every figure with its interval, models compared, subgroups, calibration; a page and tables.

    Intervals are over patients and runs. Thresholds and temperature come from validation rows alone.
    """
    from tenfold.recipes.evaluating import evaluation_settings, order_tables, run_evaluation

    console = session.open_console(quiet, as_json, debug, workspace)
    _check_sources(predictions, manifest, workspace, classifier, on)
    options = {
        "metric": ("--metric", metric),
        "reference": ("--reference", reference),
        "margin": ("--margin", margin),
        "prevalence": ("--prevalence", pairs(prevalence, "--prevalence")),
        "title": ("--title", title),
    }
    wanted = evaluation_settings(settings or (), options, file=config, more_subgroups=words(subgroup) or ())
    with console.progress() as progress:
        if predictions:
            outcome = run_evaluation(order_tables(wanted, predictions, manifest, out), progress)
        else:
            outcome = _evaluate_classifiers(wanted, (workspace, classifier, on), out, device, progress)
    _show(outcome, console)


def _evaluate_classifiers(wanted: Any, source: Any, out: Path | None, device: str, progress: Any) -> EvaluationOutcome:
    from tenfold.core.workspace import Workspace
    from tenfold.recipes.evaluating import find_classifiers, order_classifiers, order_external_set, run_evaluation
    from tenfold.recipes.external_sets import answer_external_set

    folder, names, on = source
    workspace = Workspace.open(folder)
    with workspace.lock():
        if on is None:
            return run_evaluation(order_classifiers(wanted, folder, names, out=out), progress)
    found = find_classifiers(workspace, names)
    external = answer_external_set(workspace, found, on, device, progress)
    order = order_external_set(wanted, external, out=out)
    return run_evaluation(order, progress, notes=external.notes)


def _check_sources(
    predictions: list[Path] | None, manifest: Path | None, workspace: Path | None, classifier: list[str] | None,
    on: Path | None,
) -> None:  # fmt: skip
    if predictions and (workspace or classifier or on):
        raise InputError(
            "--predictions and --workspace are two different sources", where="tenfold evaluate",
            expected="tables (--predictions, --manifest), or classifiers (--workspace, --classifier, --on)",
        )  # fmt: skip
    if not predictions and not (workspace and classifier):
        raise InputError(
            "nothing is given to evaluate", where="tenfold evaluate",
            expected="--predictions FILE with --manifest FILE, or --workspace DIR with --classifier NAME",
            todo="See `tenfold evaluate --help` for examples.",
        )  # fmt: skip
    if manifest is not None and not predictions:
        raise InputError("--manifest belongs to --predictions", where="--manifest", expected="--predictions FILE")


def _show(outcome: EvaluationOutcome, console: Console) -> None:
    evaluation = outcome.evaluation
    metric = evaluation.metric
    shown = list(dict.fromkeys((metric, "accuracy", "balanced_accuracy")))
    console.table(
        evaluation.title,
        ("Model", "Runs", *(name.replace("_", " ") for name in shown)),
        [
            (model.name, str(model.n_runs), *(_words(model.metrics[name]) for name in shown))
            for model in evaluation.models
        ],
    )
    for row in evaluation.comparisons:
        if row.metric == metric:
            verdict = f"; {row.equivalence.replace('_', '-')} for a margin of {row.margin:g}" if row.equivalence else ""
            p_value = "none" if row.p_value_holm is None else f"{row.p_value_holm:.3g}"
            console.line(
                f"{row.model} minus {row.reference}: {metric.replace('_', ' ')} {_words(row.difference, '+')}, "
                f"p (Holm) {p_value}{verdict}"
            )
    for note in evaluation.notes:
        console.line(f"Note: {note}")
    if evaluation.test_reads is not None:
        console.line(f"The test images have now been read {evaluation.test_reads} times.")
    counts = f"{evaluation.n_test_images} test images"
    counts += f" of {evaluation.n_test_patients} patients" if evaluation.has_patients else ", patients not recorded"
    facts = {
        "folder": str(outcome.folder), "page": str(outcome.page), "metric": metric,
        "n_test_images": evaluation.n_test_images, "n_test_patients": evaluation.n_test_patients,
        "models": [
            {"name": model.name, "n_runs": model.n_runs, **{name: vars(model.metrics[name]) for name in shown}}
            for model in evaluation.models
        ],
        "comparisons": [
            {**vars(row), "difference": vars(row.difference)} for row in evaluation.comparisons if row.metric == metric
        ],
        "test_reads": evaluation.test_reads, "notes": list(evaluation.notes),
    }  # fmt: skip
    console.result(facts, [f"Evaluated on {counts}.", f"Page: {outcome.page}"])


def _words(estimate: Estimate, sign: str = "") -> str:
    """A figure with its interval, three decimals each."""
    if estimate.value is None:
        return "none"
    interval = "no interval"
    if estimate.low is not None and estimate.high is not None:
        interval = f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} ({interval})"
