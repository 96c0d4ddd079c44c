"""Evaluation as a command: anybody's tables, or a workspace's classifiers, to figures, tables and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import DataError, InputError
from tenfold.core.files import (
    read_json,
    storage_errors,
    write_atomic,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import Progress
from tenfold.core.run_record import record_command
from tenfold.core.workspace import Workspace, hold_folder, holds_workspace
from tenfold.evaluation.external_config import ExternalEvaluationConfig
from tenfold.evaluation.external_contents import ExternalEvaluation
from tenfold.recipes.loader import load_settings

if TYPE_CHECKING:
    from tenfold.recipes.external_sets import ExternalSet

CONTENTS, PAGE = "evaluation.json", "evaluation.html"
RECORD, BEGUN = "run.json", "started.json"
TABLES, FIGURES = "tables", "figures"
STAGE = "evaluate"
MANIFEST = "data/manifest.parquet"
READS = "evaluation/test_reads.json"


@dataclass(frozen=True)
class EvaluationOrder:
    """Files to evaluate with checked settings; `out` is the folder of the results. `counted_in` is the workspace whose
    sealed test images are read, None where nobody counts the reads."""

    config: ExternalEvaluationConfig
    predictions: tuple[Path, ...]
    manifest: Path | None
    out: Path
    counted_in: Workspace | None = None


@dataclass(frozen=True)
class EvaluationOutcome:
    """The evaluation and where its page lies."""

    evaluation: ExternalEvaluation
    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / PAGE


def evaluation_settings(
    settings: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
    *,
    file: Path | None = None,
    more_subgroups: Sequence[str] = (),
) -> ExternalEvaluationConfig:
    """Checked settings from options, ``a=b`` texts and a YAML file; `more_subgroups` are added to the usual ones.

    Raises RecipeError, or FaultsError for several: unknown names, wrong values.
    """
    given = {name: pair for name, pair in (options or {}).items() if pair[1] is not None}
    config = load_settings(ExternalEvaluationConfig, settings, given, file=file)
    attributes = tuple(dict.fromkeys((*config.subgroup_attributes, *more_subgroups)))
    return config.model_copy(update={"subgroup_attributes": attributes})


def order_tables(
    config: ExternalEvaluationConfig, predictions: Sequence[Path], manifest: Path | None, out: Path | None
) -> EvaluationOrder:
    """An order for files from anywhere; without `out` a folder beside the first file takes the results."""
    if out is None:
        out = predictions[0].absolute().parent / f"{predictions[0].stem}-evaluation"
    return EvaluationOrder(config, tuple(predictions), manifest, out)


def order_classifiers(
    config: ExternalEvaluationConfig, folder: Path, classifiers: Sequence[str], *, out: Path | None = None
) -> EvaluationOrder:
    """An order for classifiers of a workspace on its sealed test set; names may hold ``*``.

    Raises:
        WorkspaceError: there is no workspace. DataError: there is no such finished classifier.
    """
    workspace = Workspace.open(folder)
    names = find_classifiers(workspace, classifiers)
    tables = tuple(workspace.resolve(f"classifiers/{name}/predictions.parquet") for name in names)
    place = out or workspace.resolve(f"evaluation/{_folder_name(classifiers)}")
    return EvaluationOrder(config, tables, workspace.resolve(MANIFEST), place, workspace)


def order_external_set(
    config: ExternalEvaluationConfig, external: ExternalSet, *, out: Path | None = None
) -> EvaluationOrder:
    """An order for classifiers on other images than their own; their answers are written to the results first."""
    place = out or external.workspace.resolve(f"evaluation/{external.name}")
    tables = []
    with _results_folder(place), storage_errors(place):
        (place / "predictions").mkdir(exist_ok=True)
        for earlier in place.glob("predictions/*.parquet"):
            earlier.unlink()
        for name, table in external.tables.items():
            path = place / "predictions" / f"{name}.parquet"
            with write_atomic(path) as temporary:
                table.to_parquet(temporary, index=False)
            tables.append(path)
        manifest = place / "predictions" / "manifest.parquet"
        with write_atomic(manifest) as temporary:
            external.manifest.to_parquet(temporary, index=False)
    counted_in = external.workspace if external.has_sealed else None
    return EvaluationOrder(config, tuple(tables), manifest, place, counted_in)


def run_evaluation(order: EvaluationOrder, progress: Progress, *, notes: Sequence[str] = ()) -> EvaluationOutcome:
    """Evaluate and write evaluation.html, tables/*.csv, figures/*.png, evaluation.json and, last, run.json.

    Raises:
        DataError, FaultsError: the tables cannot be judged as they are; each fault says what, where and what to do.
        InputError: the settings name a model, a class or a column that is not there, or the results' folder is another
            thing's.
        WorkspaceError: another process writes there.
        StorageError: the results cannot be written.
    """
    from tenfold.data.manifest import csv_text
    from tenfold.evaluation.external import check_settings, evaluate_given
    from tenfold.evaluation.external_tables import tables
    from tenfold.evaluation.given_predictions import read_given
    from tenfold.reports.evaluation_page import figure_files, render_evaluation_page

    began = datetime.now(UTC)
    given = read_given(order.predictions, order.manifest).noted(notes)
    check_settings(order.config, given)
    inputs = _inputs(order)
    with _results_folder(order.out):
        reads = None if order.counted_in is None else _count_read(order.counted_in)
        evaluation = evaluate_given(order.config, given, progress, inputs=inputs, test_reads=reads)
        with progress.task("Writing the page", 3) as task, storage_errors(order.out):
            for name, table in tables(evaluation).items():
                if len(table):
                    write_text_atomic(order.out / TABLES / f"{name}.csv", csv_text(table))
            task.advance()
            for name, picture in figure_files(evaluation).items():
                write_bytes_atomic(order.out / FIGURES / name, picture)
            task.advance()
            write_text_atomic(order.out / PAGE, render_evaluation_page(evaluation))
            write_json_atomic(order.out / CONTENTS, evaluation.to_json())
            (order.out / BEGUN).unlink(missing_ok=True)
            record_command(order.out, STAGE, order.config, inputs, _summary(evaluation), began)
            task.advance()
    return EvaluationOutcome(evaluation, order.out)


def find_classifiers(workspace: Workspace, names: Sequence[str]) -> list[str]:
    """The finished classifiers that these names or patterns mean, sorted. Raises DataError for one that means none."""
    place = workspace.resolve("classifiers")
    finished = sorted(path.parent.name for path in place.glob("*/run.json")) if place.is_dir() else []
    found: list[str] = []
    for name in names:
        meant = [cell for cell in finished if fnmatch(cell, name)]
        if not meant:
            shown = ", ".join(finished[:8]) + (", ..." if len(finished) > 8 else "")
            raise DataError(
                f"there is no finished classifier {name!r}", where=str(place), expected=shown or "a trained classifier",
                todo="Train one first: `tenfold train`, or `tenfold run RECIPE`; names may hold *.",
            )  # fmt: skip
        found += [cell for cell in meant if cell not in found]
    return found


def _folder_name(names: Sequence[str]) -> str:
    """A folder for the results of these names or patterns: letters, digits, ``_ . -`` alone."""
    text = "-".join(names)
    plain = "".join(sign if sign.isalnum() or sign in "_.-" else "_" for sign in text).strip("._-")
    return f"test-{plain[:80] or 'all'}"


def _inputs(order: EvaluationOrder) -> dict[str, str]:
    """Hashes by file name; with the folder's in front where names are the same."""
    paths = [*order.predictions, *([order.manifest] if order.manifest is not None else [])]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.absolute().parent.name}/{path.name}" for path in paths]
    return {name: sha256_file(path) for name, path in zip(names, paths, strict=True)}


def _count_read(workspace: Workspace) -> int:
    """How often the sealed test images were read, this time included: by each finished classifier, by evaluations of
    studies, and by this command, which keeps its own count."""
    place = workspace.resolve(READS)
    own = (int(read_json(place)["reads"]) if place.is_file() else 0) + 1
    write_json_atomic(place, {"reads": own})
    # This command's own records are told by their name: they are counted above.
    stages = [*workspace.path.glob("classifiers/*/run.json"), *workspace.path.glob("evaluation/*/run.json")]
    return len([path for path in stages if read_json(path).get("stage") != STAGE]) + own


def _summary(evaluation: ExternalEvaluation) -> dict[str, Any]:
    return {
        "models": [model.name for model in evaluation.models],
        "n_test_images": evaluation.n_test_images,
        "n_test_patients": evaluation.n_test_patients,
        "test_reads": evaluation.test_reads,
    }


@contextmanager
def _results_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of the results, with those of an earlier evaluation removed.

    Raises InputError when it is a file, a workspace or holds other things; WorkspaceError when another process has it.
    """
    if (folder.exists() and not folder.is_dir()) or holds_workspace(folder):
        raise InputError(
            "results cannot go here: it is a workspace" if folder.is_dir() else "results cannot go here: it is a file",
            where=str(folder), expected="a new or empty folder", todo="Choose another one with --out.",
        )  # fmt: skip
    with storage_errors(folder):
        entries = (
            {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
        )
        if entries and not entries & {CONTENTS, RECORD, BEGUN}:
            raise InputError(
                f"the folder holds other things: {', '.join(sorted(entries)[:5])}", where=str(folder),
                expected="a new or empty folder, or an earlier result", todo="Choose another one with --out.",
            )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder, "folder of results", "--out"):
        with storage_errors(folder):
            # The mark first: what an interrupted evaluation leaves behind is known as an evaluation's.
            write_json_atomic(folder / BEGUN, {"stage": STAGE})
            earlier = [folder / RECORD, folder / CONTENTS, folder / PAGE]
            for path in (*earlier, *folder.glob(f"{TABLES}/*.csv"), *folder.glob(f"{FIGURES}/*.png")):
                path.unlink(missing_ok=True)
        yield
