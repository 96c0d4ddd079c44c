"""Outliers: images far from all images of other groups, in frozen features."""

from __future__ import annotations

import numpy as np

from tenfold.data.findings import Finding
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.measures import Measures
from tenfold.intake.checks.outcome import Outcome, counted, not_checked, plural
from tenfold.intake.contents import CheckRow, SuspectImage
from tenfold.metrics.arrays import FloatArray, IntArray

CHECK, TITLE = "outliers", "Images unlike all others"
FEWEST_GROUPS = 20
FAR = 4.0
"""Robust standard deviations (1.4826 times the median deviation) of the log distance from which an image is far."""

_NEIGHBORS = 5
_SEARCHED = 60
_EVIDENCE = 3


def outliers(material: Material, measures: Measures) -> Outcome:
    """Images whose mean distance to their 5 nearest images of other groups is far above the usual.

    Distances are of standardized features, and compared on a log scale. A finding's score is 0.5 at the limit (4 robust
    standard deviations above the median) and nears 1 beyond. ok: none; look: any; not_checked: fewer than 20 groups.
    """
    n_groups = len(np.unique(material.groups))
    if n_groups < FEWEST_GROUPS:
        return not_checked(
            CHECK, TITLE, f"There are {n_groups} groups; {FEWEST_GROUPS} are needed to tell what is usual."
        )
    distances, neighbors = _distances(measures.features[:].astype(np.float64), material.groups)
    known = np.isfinite(distances)
    logs = np.log(np.maximum(distances, 1e-9))
    middle = float(np.median(logs[known]))
    spread = max(1.4826 * float(np.median(np.abs(logs[known] - middle))), 1e-9)
    far = np.where(known, (logs - middle) / spread, 0.0)
    scores = 1.0 / (1.0 + np.exp(-(far - FAR)))
    ids, paths, labels = material.image_ids, material.texts("path"), material.texts("label")
    findings, suspects = [], []
    for k, image_id in enumerate(ids):
        is_far = bool(far[k] >= FAR)
        detail = f"{np.exp(logs[k] - middle):.1f} times as far from its neighbors as usual" if is_far else ""
        evidence = tuple(ids[n] for n in neighbors[k][:_EVIDENCE] if n >= 0) if is_far else ()
        findings.append(Finding(CHECK, image_id, float(scores[k]), is_far, evidence, detail))
        if is_far:
            suspects.append(SuspectImage(CHECK, image_id, paths[k], labels[k] or "", float(scores[k]), detail))
    suspects.sort(key=lambda suspect: (-suspect.score, suspect.image_id))
    if not suspects:
        return Outcome(CheckRow(CHECK, TITLE, "ok", len(ids), 0, "No image is unlike all others."), tuple(findings))
    sentence = (
        f"{counted(len(suspects), 'image')} of {len(ids):,} {plural(len(suspects), 'is', 'are')} far from all "
        "others: another body part, a form, a photo "
        "of a screen, or a rare but true finding. Look before leaving any out."
    )
    return Outcome(CheckRow(CHECK, TITLE, "look", len(ids), len(suspects), sentence), tuple(findings), tuple(suspects))


def _distances(features: FloatArray, groups: IntArray) -> tuple[FloatArray, IntArray]:
    """Mean distance (N,) to the 5 nearest images of other groups, and their places (N, 5), -1 where there are fewer.

    Of every image the 60 nearest are searched; an image whose own group fills them all is left
    unjudged (infinite).
    """
    from sklearn.neighbors import NearestNeighbors

    standard = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    search = NearestNeighbors(n_neighbors=min(_SEARCHED, len(features)), algorithm="brute").fit(standard)
    found, places = search.kneighbors(standard)
    is_other = groups[places] != groups[:, None]
    rank = np.cumsum(is_other, axis=1)
    is_taken = is_other & (rank <= _NEIGHBORS)
    taken = is_taken.sum(axis=1)
    total = np.where(is_taken, found, 0.0).sum(axis=1)
    means = np.where(taken > 0, total / np.maximum(taken, 1), np.inf)
    neighbors = np.full((len(features), _NEIGHBORS), -1, dtype=np.int64)
    rows, columns = np.nonzero(is_taken)
    neighbors[rows, rank[rows, columns] - 1] = places[rows, columns]
    return means, neighbors
