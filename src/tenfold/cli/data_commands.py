"""`tenfold data`: real images come in (import), are examined (check), parted (split) and handed on (export).

This file is long because each command's options stand here with the sentence that explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import data_tables, session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import number_or_word, pairs, words
from tenfold.cli.options import (
    Address,
    Debug,
    DryRun,
    ExecutorChoice,
    ExecutorName,
    Json,
    OneSetting,
    Place,
    Quiet,
    Workers,
)
from tenfold.core.errors import InputError

if TYPE_CHECKING:
    from tenfold.intake.preview import IntakePreview
    from tenfold.recipes.data_intake import DataSettings, DataSummary

app = typer.Typer(help="Import, check, split and export images.", no_args_is_help=True)

_IMPORT_EXAMPLES = """[bold]Examples[/bold]

tenfold data import /data/lesions --out lesions

tenfold data import table.csv --out study --map label=diagnosis,patient_id=pid --classes df,vasc

tenfold data import /data/HAM10000 --out ham --format ham10000 --yes

tenfold data import /data/ct-export --out ct --format dicom --dicom-window lung

tenfold data import /data/made-elsewhere --out lesions --synthetic --generator their-gan
"""
_CHECK_EXAMPLES = """[bold]Examples[/bold]

tenfold data check --workspace lesions

tenfold data check --workspace lesions --set smallest_side_px=64 --json
"""
_SPLIT_EXAMPLES = """[bold]Examples[/bold]

tenfold data split --workspace lesions

tenfold data split --workspace lesions --test-per-class 40 --stratify-by skin_type_group

tenfold data split --workspace lesions --folds 5 --fold 0

tenfold data split --workspace lesions --ids train=train_md5.txt,test=test_md5.txt --rest drop
"""
_EXPORT_EXAMPLES = """[bold]Examples[/bold]

tenfold data export --workspace lesions --to lesions.csv

tenfold data export --workspace lesions --to lesions-folder

tenfold data export --workspace lesions --to sixteen.csv --training-size 16 --subset-seed 0
"""


@app.command("import", epilog=_IMPORT_EXAMPLES)
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder or a table of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The workspace to import into.")],
    source_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="folder, table, imagefolder, dicom, fitzpatrick17k, ddi, ham10000, isic2020 or cxr; else detected.",
        ),
    ] = None,
    column_map: Annotated[
        str | None,
        typer.Option("--map", metavar="A=B,...", help="What columns mean: label=diagnosis,patient_id=pid."),
    ] = None,
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="The classes to take; else all of them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go on after the preview without asking.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop when any row cannot be kept.")] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="The images were generated elsewhere; needs --generator.")
    ] = False,
    generator: Annotated[str | None, typer.Option(metavar="NAME", help="What generated them.")] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PX", help="Side of the square images written; 64.")
    ] = None,
    resize: Annotated[str | None, typer.Option(metavar="center_crop|pad", help="How they become square.")] = None,
    data_license: Annotated[str | None, typer.Option("--license", metavar="TEXT", help="The images' license.")] = None,
    modality: Annotated[str | None, typer.Option(metavar="TEXT", help="Kind of images, e.g. dermatoscopic.")] = None,
    dicom_window: Annotated[
        str | None, typer.Option(metavar="NAME|C/W", help="brain, lung, bone, ... or CENTER/WIDTH; else the file's.")
    ] = None,
    dicom_slices: Annotated[str | None, typer.Option(metavar="middle|all|N", help="Slices taken of a series.")] = None,
    dicom_frames: Annotated[
        str | None, typer.Option(metavar="middle|first|all|N", help="Frames taken of a clip.")
    ] = None,
    estimate_skin_type: Annotated[
        str | None, typer.Option(metavar="auto|always|never", help="Estimate missing skin types from skin color.")
    ] = None,
    settings: OneSetting = None,
    dry_run: DryRun = False,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Import images: shows what would be taken and why, asks, then imports, checks and writes the intake page.

    Rows that cannot be kept go to data/quarantine.csv with reason and line. Interrupted, it resumes.
    """
    console = session.open_console(quiet, as_json, debug, out)
    given: dict[str, tuple[str, Any]] = {
        "source": ("SOURCE", source),
        "format": ("--format", source_format),
        "column_map": ("--map", pairs(column_map, "--map")),
        "classes": ("--classes", words(classes)),
        "image_size_px": ("--image-size", image_size),
        "resize_mode": ("--resize", resize),
        "data_license": ("--license", data_license),
        "modality": ("--modality", modality),
    }
    given |= {
        "is_strict": ("--strict", strict or None),
        "dicom.window": ("--dicom-window", dicom_window),
        "dicom.slices": ("--dicom-slices", number_or_word(dicom_slices)),
        "dicom.frames": ("--dicom-frames", number_or_word(dicom_frames)),
        "estimate_skin_type": ("--estimate-skin-type", estimate_skin_type),
    }
    pool = (executor, workers, address)
    if synthetic or generator:
        _import_external(given, generator, synthetic, settings, out, (yes, dry_run), pool, console)
        return
    from tenfold.intake.preview import preview_source
    from tenfold.recipes.data_intake import check_place, import_data, load_data_settings

    checked = load_data_settings("intake", settings or (), given)
    check_place(out)
    if not _goes_on(preview_source(checked.intake), yes, dry_run, console):
        return
    _run(import_data, checked, out, pool, console)


@app.command("check", epilog=_CHECK_EXAMPLES)
def check(
    workspace: Place,
    settings: OneSetting = None,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the images of a workspace and write the intake page: duplicates, label errors, confounds, power, ..."""
    console = session.open_console(quiet, as_json, debug, workspace)
    from tenfold.recipes.data_intake import check_data, load_data_settings

    _run(check_data, load_data_settings("checks", settings or (), {}), workspace, (executor, workers, address), console)


@app.command("split", epilog=_SPLIT_EXAMPLES)
def split(
    workspace: Place,
    method: Annotated[
        str | None, typer.Option(metavar="grouped|upstream|ids|k_fold", help="How; else as the other options tell.")
    ] = None,
    test_per_class: Annotated[int | None, typer.Option(metavar="N", help="Test images of each class.")] = None,
    test_fraction: Annotated[float | None, typer.Option(metavar="F", help="Test share of each class; 0.25.")] = None,
    validation_per_class: Annotated[int | None, typer.Option(metavar="N", help="Validation images a class.")] = None,
    validation_fraction: Annotated[float | None, typer.Option(metavar="F", help="Validation share; 0.15.")] = None,
    stratify_by: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns kept in proportion too, e.g. skin_type_group,sex.")
    ] = None,
    folds: Annotated[int | None, typer.Option(metavar="K", help="K folds; one is the test (--fold).")] = None,
    fold: Annotated[int | None, typer.Option(metavar="I", help="The test fold, from 0.")] = None,
    upstream_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Split as this column says, e.g. attr.split.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--ids", metavar="train=FILE,...", help="Split as lists of ids say: train, val, test.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(metavar="COLUMN", help="What the ids are; else found.")] = None,
    rest: Annotated[
        str | None, typer.Option(metavar="refuse|train|drop", help="Images in no list; refused unless said.")
    ] = None,
    crossing: Annotated[
        str | None,
        typer.Option(metavar="refuse|move_to_train|keep_test|allow", help="Groups that upstream parts."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed; else the workspace's.")] = None,
    settings: OneSetting = None,
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Split images into train, val and test; a patient, lesion or near-duplicate cluster is never parted.

    The split is sealed by hash in data/splits.json; the checks and the intake page are made again with it.
    """
    console = session.open_console(quiet, as_json, debug, workspace)
    from tenfold.recipes.data_intake import load_data_settings, split_data

    files = pairs(ids, "--ids")
    implied = "k_fold" if folds else "ids" if files else "upstream" if upstream_column else None
    given = {
        "method": ("--method", method or implied),
        "test_per_class": ("--test-per-class", test_per_class),
        "test_fraction": ("--test-fraction", test_fraction),
        "validation_per_class": ("--validation-per-class", validation_per_class),
        "validation_fraction": ("--validation-fraction", validation_fraction),
        "stratify_by": ("--stratify-by", words(stratify_by)),
        "folds": ("--folds", folds),
        "fold": ("--fold", fold),
        "upstream_column": ("--upstream-column", upstream_column),
        "id_files": ("--ids", files),
        "id_column": ("--id-column", id_column),
        "rest": ("--rest", rest),
        "crossing": ("--crossing", crossing),
        "seed": ("--seed", seed),
    }
    checked = load_data_settings("split", settings or (), given)
    _run(split_data, checked, workspace, (executor, workers, address), console)


@app.command("export", epilog=_EXPORT_EXAMPLES)
def export(
    workspace: Place,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="PATH", help="A .csv, .jsonl or .parquet file, or a new folder of images."),
    ],
    training_size: Annotated[
        int | None,
        typer.Option("--training-size", min=1, help="Of each class only so many training images, for learning curves."),
    ] = None,
    subset_seed: Annotated[
        int, typer.Option("--subset-seed", min=0, help="Which ones: of one seed the larger subset holds the smaller.")
    ] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the manifest as a table, or the images as an imagefolder that Hugging Face datasets reads."""
    console = session.open_console(quiet, as_json, debug, workspace)
    from tenfold.core.workspace import Workspace
    from tenfold.intake.export import TrainingSubset, export_data

    found = Workspace.open(workspace)
    subset = None if training_size is None else TrainingSubset(training_size, subset_seed)
    with found.lock(), console.progress() as progress:
        written = export_data(found, to, progress, subset=subset)
    data_tables.show_export(written, console)


def _import_external(
    given: dict[str, tuple[str, Any]], generator: str | None, is_synthetic: bool, settings: list[str] | None,
    out: Path, answers: tuple[bool, bool], executor: ExecutorChoice, console: Console,
) -> None:  # fmt: skip
    if not (is_synthetic and generator):
        raise InputError(
            "--synthetic needs --generator NAME" if is_synthetic else "--generator is for --synthetic alone",
            where="tenfold data import",
            expected="both, for images that were generated elsewhere; neither, for real ones",
            todo="Add --generator NAME (what generated them)." if is_synthetic else "Add --synthetic.",
        )
    from tenfold.distributed.choice import choose_executor
    from tenfold.intake.preview import preview_external
    from tenfold.recipes.data_intake import check_place, import_external, load_external_settings

    config = load_external_settings(settings or (), {**given, "generator": ("--generator", generator)})
    check_place(out)
    if not _goes_on(preview_external(config), *answers, console):
        return
    with choose_executor(*executor) as workers, console.progress() as progress:
        result = import_external(config, out, workers, progress)
    data_tables.show_external(result, console)


def _goes_on(preview: IntakePreview, is_yes: bool, is_dry_run: bool, console: Console) -> bool:
    """Show the preview; whether to import. Without --yes a person is asked, and without a person it is refused."""
    data_tables.show_preview(preview, console)
    if is_dry_run:
        console.result({"dry_run": preview.to_json()}, ["Nothing was written (--dry-run)."])
        return False
    if is_yes:
        return True
    if console.is_json or not sys.stdin.isatty():
        raise InputError(
            "the import waits for a yes, and nobody is there to give it",
            where="tenfold data import",
            expected="a person at a terminal, or --yes",
            todo="Read the preview, then add --yes. Nothing was written.",
        )
    if not typer.confirm("Import these images?", default=True):
        console.line("Nothing was written.")
        return False
    return True


def _run(
    work: Callable[..., DataSummary], settings: DataSettings, folder: Path, executor: ExecutorChoice,
    console: Console,
) -> None:  # fmt: skip
    from tenfold.distributed.choice import choose_executor

    with choose_executor(*executor) as workers, console.progress() as progress:
        summary = work(settings, folder, workers, progress)
    data_tables.show_summary(summary, console)
