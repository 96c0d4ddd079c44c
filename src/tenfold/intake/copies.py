"""Copies that only features tell: imported images of one picture whose hashes differ get one `attr.copy_cluster`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tenfold.core.device import limited_threads
from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import ATTRIBUTE_PREFIX
from tenfold.data.split_groups import COPY_COLUMN, NEAR_DUPLICATE_DISTANCE, near_duplicate_codes
from tenfold.intake.checks.measures import measure_images
from tenfold.intake.checks.near_copies import clusters, copy_links
from tenfold.intake.config import CheckConfig


def join_copies(workspace: Workspace, manifest: pd.DataFrame, executor: Executor, progress: Progress) -> pd.DataFrame:
    """The manifest, with the column `attr.copy_cluster` where features confirmed by details join what hashes do not.

    Its value is the smallest image_id of the cluster, given to all its members (those joined by their hashes too), so
    that `group_keys` keeps them together; missing elsewhere, and no column when there is no such cluster. The images
    must be written; their measures stay in data/features, where the checks find them. DataError when an image is
    missing or damaged.
    """
    measures = measure_images(manifest, workspace, executor, progress)
    hashes = [cell if isinstance(cell, str) else None for cell in manifest["phash"].astype(object)]
    # One thread, whatever the machine: sums in another order could move a pair across a threshold.
    with limited_threads(1):
        links = copy_links(hashes, measures.features, measures.thumbnails, CheckConfig().embedding_similarity)
    of_hash = near_duplicate_codes(manifest, NEAR_DUPLICATE_DISTANCE)
    joins = (of_hash[links.first] != of_hash[links.second]) | (of_hash[links.first] < 0)
    if not joins.any():
        return manifest
    joined = set(links.first[joins].tolist())
    ids = manifest["image_id"].astype(str).to_numpy(dtype=object)
    cells = np.full(len(ids), None, dtype=object)
    for members in clusters(len(ids), links):
        if not joined.isdisjoint(members.tolist()):
            cells[members] = min(ids[members])
    names = sorted({name for name in manifest.columns if name.startswith(ATTRIBUTE_PREFIX)} | {COPY_COLUMN})
    own = [name for name in manifest.columns if name not in names]
    return manifest.assign(**{COPY_COLUMN: pd.array(cells, dtype="string")})[[*own, *names]]
