"""An external set for a workspace's classifiers: another workspace's images, or a folder with a subfolder a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace, holds_workspace

if TYPE_CHECKING:
    from tenfold.classification.predictor import Predictor

_SHOWN = 5
_DROPPED = ("prob.", "test_sha256")


@dataclass(frozen=True)
class ExternalSet:
    """Answers to an external set: a table of predictions for each classifier, the images' manifest, and notes.

    The tables' rows of split test are the external images; those of split val are the classifier's own validation
    images, on which thresholds and temperature are fitted. has_sealed: some images are the workspace's sealed test
    images, so that judging the answers is a read of these.
    """

    workspace: Workspace
    name: str
    tables: Mapping[str, pd.DataFrame]
    manifest: pd.DataFrame
    notes: tuple[str, ...]
    has_sealed: bool


def answer_external_set(
    workspace: Workspace, classifiers: Sequence[str], source: Path, device: str, progress: Progress
) -> ExternalSet:
    """Let finished classifiers answer the images of `source`.

    Raises:
        DataError: there are no images or no labels, or some are the workspace's own training or validation images.
    """
    from tenfold.data.manifest import read_manifest
    from tenfold.recipes.prediction import open_classifier

    if not source.exists():
        raise DataError(
            "there is no such external set", where=str(source),
            expected="a workspace of imported images, or a folder with a subfolder for each class",
        )  # fmt: skip
    own = read_manifest(workspace.resolve("data/manifest.parquet"))
    tables: dict[str, pd.DataFrame] = {}
    validations: list[pd.DataFrame] = []
    notes: list[str] = []
    external = pd.DataFrame()
    for name in classifiers:
        predictor = open_classifier(name, workspace.path, device, progress)
        if holds_workspace(source):
            answers, external, said = _of_workspace(predictor, Workspace.open(source))
        else:
            answers, external, said = _of_folder(predictor, source, progress)
        notes += said
        kept = pd.read_parquet(workspace.resolve(f"classifiers/{name}/predictions.parquet"))
        validation = kept[kept["split"] == "val"]
        validations.append(validation[["image_id", "label"]])
        # The network's own logits alone: probabilities come of them alike for both kinds of rows.
        both = pd.concat([answers, validation], ignore_index=True)
        tables[name] = both[[column for column in both.columns if not column.startswith(_DROPPED)]]
    sealed = _sealed_images(workspace, own, external, source)
    if sealed:
        notes.append(f"{sealed} of these images are the workspace's own sealed test images: this read is counted.")
    held_out = own[own["image_id"].isin(pd.concat(validations)["image_id"])].assign(split="val")
    manifest = pd.concat([external.assign(split="test"), held_out], ignore_index=True)
    place = source.absolute().name or "external"
    told = tuple(dict.fromkeys(notes))
    return ExternalSet(workspace, f"{classifiers[0]}-on-{place}", tables, manifest, told, sealed > 0)


def _of_workspace(predictor: Predictor, source: Workspace) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    from tenfold.classification.predicting import predict_manifest
    from tenfold.data.manifest import read_manifest

    rows = read_manifest(source.resolve("data/manifest.parquet"))
    rows = rows[rows["source"] == "real"]
    known = rows[rows["label"].isin(list(predictor.record.labels))].reset_index(drop=True)
    if known.empty:
        raise DataError(
            "the external set holds no image of the classifier's classes", where=str(source.path),
            expected=f"images of {', '.join(predictor.record.labels)}",
            todo="Import it with the classes named alike: tenfold data import ... --map label=COLUMN.",
        )  # fmt: skip
    notes = [f"External set: all {len(known)} real images of the workspace {source.name}, whatever their split there."]
    if len(known) < len(rows):
        others = sorted(set(rows["label"].dropna()) - set(known["label"]))
        notes.append(f"{len(rows) - len(known)} images of other classes ({', '.join(others)}) were left out.")
    answers = predict_manifest(predictor, source, known).assign(split="test")
    return answers, known, notes


def _of_folder(predictor: Predictor, folder: Path, progress: Progress) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    from tenfold.classification.predicting import find_images, predict_files

    labels = predictor.record.labels
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    wanted = [name for name in classes if name in labels]
    if not wanted:
        raise DataError(
            f"no subfolder is named after a class: {', '.join(classes[:_SHOWN]) or 'there are none'}",
            where=str(folder), expected=f"subfolders {', '.join(labels)}",
            todo="For tables of labels: tenfold data import SOURCE --out DIR, then --on DIR.",
        )  # fmt: skip
    files = find_images([folder / name for name in wanted])
    refused = 0
    parts = []
    with progress.task("Answering images", len(files)) as task:
        for answered in predict_files(predictor, files, task):
            refused += len(answered.refused)
            parts.append(answered.table)
    if refused == len(files):
        raise DataError(f"none of {refused} files can be answered", where=str(folder), expected="images that are whole")
    table = pd.concat(parts, ignore_index=True)
    label = [Path(path).relative_to(folder).parts[0] for path in table["path"]]
    table = table.assign(label=label, split="test")
    logits = [f"logit.{name}" for name in labels]
    table[logits] = table[logits].mul(table["temperature"], axis=0)  # as the network gave them
    notes = [f"External set: {len(table)} images of the folder {folder.name}; a class is its subfolder's name."]
    if refused:
        notes.append(f"{refused} files could not be read, or were there twice, and were left out.")
    if len(wanted) < len(classes):
        notes.append(f"Subfolders of other classes were left out: {', '.join(sorted(set(classes) - set(wanted)))}.")
    answers = table[[name for name in table.columns if name not in ("path", "note", "temperature")]]
    manifest = table[["image_id", "label"]].assign(source="real")
    return answers, manifest, notes


def _sealed_images(workspace: Workspace, own: pd.DataFrame, external: pd.DataFrame, source: Path) -> int:
    """How many are the workspace's sealed test images; those that the classifier may have learned from are refused."""
    from tenfold.data.splits import read_sealed_split, with_split

    seen = with_split(own, read_sealed_split(workspace.resolve("data/splits.json")))
    is_test = seen["split"] == "test"
    shared = sorted(set(external["image_id"]) & set(seen.loc[~is_test, "image_id"]))
    if shared:
        raise DataError(
            f"{len(shared)} images of the external set are training or validation images of the classifier: "
            + ", ".join(shared[:_SHOWN]), where=str(source),
            expected="images that the classifier has never seen",
            todo="Leave them out, or evaluate on the sealed test set: the same command without --on.",
        )  # fmt: skip
    return len(set(external["image_id"]) & set(seen.loc[is_test, "image_id"]))
