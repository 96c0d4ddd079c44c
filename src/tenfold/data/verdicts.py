"""Reviewers' verdicts beside a synthetic set: `review/verdicts/<set>.parquet`, joined to its manifest at reading.

A finished set is recorded by the hash of its manifest, which therefore is never written again. The verdicts lie in a
file of their own; what reads the set and heeds them names this file among its inputs, so that it is seen as changed
when a verdict is. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import write_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import REVIEW_STATES, read_manifest

FOLDER = "review/verdicts"
COLUMNS = ("image_id", "sha256", "review")
Review = Literal["accepted", "rejected", "unreviewed"]
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
UNREVIEWED: Final = "unreviewed"


def verdict_path(workspace: Workspace, manifest: str | Path) -> Path:
    """Where the verdicts on the set of this manifest lie; `manifest` is a path in or relative to the workspace."""
    return workspace.resolve(f"{FOLDER}/{workspace.resolve(manifest).parent.name}.parquet")


def verdict_files(workspace: Workspace, manifests: Iterable[str | Path]) -> list[Path]:
    """The verdicts that exist on the sets of these manifests: inputs of whatever heeds them."""
    places = (verdict_path(workspace, manifest) for manifest in manifests)
    return [place for place in places if place.is_file()]


def verdict_hashes(workspace: Workspace, manifests: Iterable[str | Path]) -> Mapping[str, str]:
    """SHA-256 of these verdicts by their path in the workspace."""
    return {workspace.relative(place): sha256_file(place) for place in verdict_files(workspace, manifests)}


def write_verdicts(workspace: Workspace, name: str, verdicts: pd.DataFrame) -> bool:
    """Write the verdicts on the set `name` (columns of COLUMNS); whether they differ from those that lay there."""
    path = workspace.resolve(f"{FOLDER}/{name}.parquet")
    table = verdicts[list(COLUMNS)].astype("string").sort_values("image_id").reset_index(drop=True)
    if path.is_file() and _read(path).equals(table):
        return False
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
    return True


def with_verdicts(rows: pd.DataFrame, workspace: Workspace, manifest: str | Path) -> pd.DataFrame:
    """The rows of a set's manifest with the reviewers' verdicts as their `review`.

    Who accepts an image accepts the bytes that were seen: drawn anew with others since, it is unreviewed. A rejection
    holds for whatever is drawn from the same request. Rows without a verdict keep what the manifest says.

    Raises:
        DataError: the file of verdicts is damaged.
    """
    path = verdict_path(workspace, manifest)
    if not path.is_file():
        return rows
    verdicts = _read(path).set_index("image_id")
    ids = rows["image_id"].astype("string")
    seen, given = ids.map(verdicts["sha256"]), ids.map(verdicts["review"])
    is_same = (seen == rows["sha256"].astype("string")).fillna(False).astype(bool)
    counts = is_same | (given == REJECTED).fillna(False).astype(bool)
    review = rows["review"].astype("string").mask(given.notna(), given.where(counts, UNREVIEWED))
    return rows.assign(review=review.astype("string"))


def read_reviewed(workspace: Workspace, manifest: str | Path) -> pd.DataFrame:
    """A synthetic set's manifest with the reviewers' verdicts as its column `review`."""
    return with_verdicts(read_manifest(workspace.resolve(manifest)), workspace, manifest)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
        verdicts = table[list(COLUMNS)].astype("string")
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from error
    unknown = sorted(set(verdicts["review"].dropna()) - set(REVIEW_STATES))
    if unknown or verdicts.isna().any(axis=None) or verdicts["image_id"].duplicated().any():
        raise _damaged(path, f"unknown verdicts {unknown}" if unknown else "empty cells, or an image twice")
    return verdicts


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"the reviewers' verdicts cannot be read: {detail}",
        where=str(path),
        expected=f"a table of {', '.join(COLUMNS)}, one row an image",
        todo="Delete the file and run `tenfold review export`: it is made again from the decisions.",
    )
