"""Reviewers' verdicts beside a synthetic set: `review/verdicts/<set>.parquet`, joined to its manifest at reading.

A finished set is recorded by the hash of its manifest, which therefore is never written again. The verdicts lie in a
file of their own; what shows them names this file among its inputs, so that it is seen as changed when a verdict is.
Classifiers read no more than which images are kept out, `review/kept_out/<set>.json`: an image that is accepted changes
nothing for them. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import REVIEW_STATES, read_manifest

FOLDER, KEPT_OUT = "review/verdicts", "review/kept_out"
COLUMNS = ("image_id", "sha256", "review")
Review = Literal["accepted", "rejected", "unreviewed"]
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
UNREVIEWED: Final = "unreviewed"


def verdict_path(workspace: Workspace, manifest: str | Path) -> Path:
    """Where the verdicts on the set of this manifest lie; `manifest` is a path in or relative to the workspace."""
    return workspace.resolve(f"{FOLDER}/{workspace.resolve(manifest).parent.name}.parquet")


def verdict_files(workspace: Workspace, manifests: Iterable[str | Path]) -> list[Path]:
    """The verdicts that exist on the sets of these manifests: inputs of whatever shows them."""
    places = (verdict_path(workspace, manifest) for manifest in manifests)
    return [place for place in places if place.is_file()]


def kept_out_files(workspace: Workspace, manifests: Iterable[str | Path]) -> list[Path]:
    """What says which images of these manifests' sets are kept out, where any is: inputs of whatever learns."""
    places = (_kept_out_path(workspace, workspace.resolve(manifest).parent.name) for manifest in manifests)
    return [place for place in places if place.is_file()]


def kept_out_hashes(workspace: Workspace, manifests: Iterable[str | Path]) -> Mapping[str, str]:
    """SHA-256 of these files by their path in the workspace."""
    return {workspace.relative(place): sha256_file(place) for place in kept_out_files(workspace, manifests)}


def write_verdicts(workspace: Workspace, name: str, verdicts: pd.DataFrame) -> bool:
    """Write the verdicts on the set `name` (columns of COLUMNS); whether they differ from those that lay there."""
    path = workspace.resolve(f"{FOLDER}/{name}.parquet")
    table = verdicts[list(COLUMNS)].astype("string").sort_values("image_id").reset_index(drop=True)
    if path.is_file() and _read(path).equals(table):
        return False
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
    return True


def write_kept_out(workspace: Workspace, name: str, image_ids: Iterable[str]) -> bool:
    """Keep these images of the set `name` out, and no others; whether that differs from before."""
    path, wanted = _kept_out_path(workspace, name), sorted(image_ids)
    if wanted == (_read_kept_out(path) if path.is_file() else []):
        return False
    if wanted:
        write_json_atomic(path, wanted)
    else:
        path.unlink()
    return True


def read_filtered(workspace: Workspace, manifest: str | Path) -> pd.DataFrame:
    """The rows of a synthetic set's manifest without the images that are kept out or, as it says itself, rejected.

    An image is kept out by its id: whatever else is drawn from the same request stays out until it is judged.

    Raises:
        DataError: the file that says which images are kept out is damaged.
    """
    rows = read_manifest(workspace.resolve(manifest))
    files = kept_out_files(workspace, [manifest])
    out = {image_id for path in files for image_id in _read_kept_out(path)}
    is_out = rows["image_id"].astype(str).isin(out) | (rows["review"] == REJECTED).fillna(False).astype(bool)
    return rows[~is_out].reset_index(drop=True) if is_out.any() else rows


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


def _kept_out_path(workspace: Workspace, name: str) -> Path:
    return workspace.resolve(f"{KEPT_OUT}/{name}.json")


def _read_kept_out(path: Path) -> list[str]:
    found = read_json(path)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise DataError(
            "what says which images are kept out cannot be read", where=str(path), expected="a list of image ids",
            todo="Delete the file and run `tenfold review export`: it is made again from the decisions.",
        )  # fmt: skip
    return found


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"the reviewers' verdicts cannot be read: {detail}",
        where=str(path),
        expected=f"a table of {', '.join(COLUMNS)}, one row an image",
        todo="Delete the file and run `tenfold review export`: it is made again from the decisions.",
    )
