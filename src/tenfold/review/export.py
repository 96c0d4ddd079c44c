"""What a review leaves to others: tables of decisions and verdicts, accepted images, ranked prompts, Label Studio."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.files import write_json_atomic, write_text_atomic
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import csv_text, make_manifest, select_images, write_manifest
from tenfold.data.verdicts import COLUMNS as VERDICT_COLUMNS
from tenfold.data.verdicts import UNREVIEWED, read_reviewed, verdict_path, write_kept_out, write_verdicts
from tenfold.review.consensus import Consensus, consensus_table
from tenfold.review.items import set_manifest, sets_with
from tenfold.review.label_studio import label_studio_config, label_studio_tasks
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import Rubric
from tenfold.review.tables import typed_table, write_if_changed

_DECISION_COLUMNS = {
    "number": "Int64", "client_id": "string", "reviewer": "string", "role": "string", "image_id": "string",
    "kind": "string", "position": "Int64", "verdict": "string", "reasons": "string", "answers": "string",
    "comment": "string", "seconds": "Float64", "client_time": "string", "server_time": "string", "undoes": "string",
    "sha256": "string",
}  # fmt: skip
_PROMPT_COLUMNS = {
    "rank": "Int64", "prompt": "string", "accepted": "Int64", "rejected": "Int64", "undecided": "Int64",
    "accept_rate": "Float64", "low": "Float64", "high": "Float64",
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """A review to write down: `decisions` are all that were ever made; `contents` the figures as plain JSON."""

    items: Sequence[Item]
    decided: Sequence[Consensus]
    decisions: Sequence[Judgement]
    contents: Mapping[str, Any]
    rubric: Rubric


def write_results(workspace: Workspace, folder: Path, results: Results) -> list[Path]:
    """Write every table of a review into `folder`; their paths.

    decisions.parquet and .csv, consensus.parquet and .csv, accepted.parquet and .csv (manifest rows of the images that
    are not kept out, `review` saying accepted or unreviewed), prompts.csv, label_studio.json and _config.xml,
    summary.json, rubric.json.
    """
    decisions, consensus = decision_table(results.decisions), consensus_table(results.decided)
    accepted = kept_images(workspace, results.decided)
    paths = []
    for name, table in (
        ("decisions", decisions),
        ("consensus", consensus),
        ("prompts", prompt_table(results.contents)),
    ):
        if name != "prompts":
            paths.append(folder / f"{name}.parquet")
            write_if_changed(table, paths[-1])
        paths.append(folder / f"{name}.csv")
        write_text_atomic(paths[-1], csv_text(table))
    for suffix in ("parquet", "csv"):
        paths.append(folder / f"accepted.{suffix}")
        write_manifest(accepted, paths[-1])
    for name, value in (
        ("label_studio.json", label_studio_tasks(results.items, _of_now(results), results.decided)),
        ("summary.json", dict(results.contents)),
        ("rubric.json", results.rubric.model_dump(mode="json")),
    ):
        paths.append(folder / name)
        write_json_atomic(paths[-1], value)
    paths.append(folder / "label_studio_config.xml")
    write_text_atomic(paths[-1], label_studio_config(results.rubric, sorted({one.label for one in results.items})))
    return paths


def _of_now(results: Results) -> list[Judgement]:
    """The decisions on the images as they are now, without those on what was drawn before."""
    now = {one.image_id: one.sha256 for one in results.items}
    return [one for one in results.decisions if now.get(one.image_id) == one.sha256]


def decision_table(decisions: Sequence[Judgement]) -> pd.DataFrame:
    """One row a decision in the order of arrival, undone ones and undos too; reasons and answers as JSON."""
    rows = [{name: _cell(name, getattr(one, name)) for name in _DECISION_COLUMNS} for one in decisions]
    return typed_table(rows, _DECISION_COLUMNS)


def write_set_verdicts(workspace: Workspace, decided: Sequence[Consensus]) -> bool:
    """Write what `data.verdicts` keeps of every set that holds one of these images; whether anything changed."""
    by_id = {one.image_id: one for one in decided}
    held = sets_with(workspace, by_id)
    for one in decided:
        held.setdefault(one.set, set()).add(one.image_id)
    is_changed = False
    for name, ids in sorted(held.items()):
        own = [by_id[image_id] for image_id in sorted(ids)]
        rows = [
            {"image_id": one.image_id, "sha256": one.sha256, "review": one.verdict}
            for one in own
            if one.verdict != UNREVIEWED
        ]
        if rows or verdict_path(workspace, set_manifest(name)).is_file():
            table = typed_table(rows, dict.fromkeys(VERDICT_COLUMNS, "string"))
            is_changed |= write_verdicts(workspace, name, table)
        is_changed |= write_kept_out(workspace, name, (one.image_id for one in own if one.is_kept_out))
    return is_changed


def kept_images(workspace: Workspace, decided: Sequence[Consensus]) -> pd.DataFrame:
    """Manifest rows of the images that are not kept out, by set and image id, with their verdicts as `review`."""
    kept: dict[str, list[str]] = defaultdict(list)
    for one in decided:
        if not one.is_kept_out and workspace.resolve(set_manifest(one.set)).is_file():
            kept[one.set].append(one.image_id)
    tables = []
    for name, ids in sorted(kept.items()):
        rows = read_reviewed(workspace, set_manifest(name))
        present = set(rows["image_id"].astype(str))
        tables.append(select_images(rows, sorted(image_id for image_id in ids if image_id in present)))
    return pd.concat(tables, ignore_index=True) if tables else make_manifest([])


def prompt_table(contents: Mapping[str, Any]) -> pd.DataFrame:
    """Prompts by the lower end of their accept rate's interval, so that one lucky image is no best prompt."""
    rows = [
        {**row, "rank": rank, "prompt": row["value"], "accept_rate": row["share"]["value"],
         "low": row["share"]["low"], "high": row["share"]["high"]}
        for rank, row in enumerate(contents["summary"]["by_prompt"], 1)
    ]  # fmt: skip
    return typed_table(rows, _PROMPT_COLUMNS)


def _cell(name: str, value: Any) -> Any:
    if name in ("reasons", "answers"):
        return json.dumps(list(value) if name == "reasons" else dict(value), ensure_ascii=False, sort_keys=True)
    return value.isoformat(timespec="milliseconds") if name == "server_time" else value
