"""A store that lost decisions is noticed before anything is written over what is left of them."""

from __future__ import annotations

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.review.store import DATABASE, Store

DECISIONS = "review/decisions.parquet"
"""All decisions as of the last time that they were written for other stages."""


def refuse_lost(workspace: Workspace, store: Store | None) -> None:
    """Raise DataError when the written table holds decisions that the store lacks; None: there is no store."""
    path = workspace.resolve(DECISIONS)
    if not path.is_file():
        return
    written = set(pd.read_parquet(path, columns=["client_id"])["client_id"].astype(str))
    held = set() if store is None else {one.client_id for one in store.decisions()}
    if lost := len(written - held):
        raise DataError(
            f"{lost:,} of {len(written):,} decisions that were made are not in the store",
            where=str(workspace.resolve(DATABASE)),
            expected=f"every decision of {DECISIONS}",
            todo="Restore review.sqlite from a copy, with its -wal file. To begin anew without them, move the "
            f"folder {workspace.resolve('review')} away.",
        )
