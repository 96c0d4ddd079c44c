"""The real-versus-synthetic probe: a classifier two-sample test per class on features (Lopez-Paz & Oquab 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.audits.estimates import AuditEstimate
from tenfold.audits.fidelity import LabeledFeatures
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.bootstrap import Draws, crossed_share_interval, draw_metric, draw_patients
from tenfold.metrics.ranking import auroc

FEWEST_IMAGES = 10
FOLDS = 5
CONTROL = "real against real"


@dataclass(frozen=True)
class ProbeRow:
    """How well real and synthetic images of a class are told apart (0.5: not at all, 1: always). The control row, real
    images against other real images, shows what chance looks like at this size."""

    label: str
    is_reference: bool
    auroc: AuditEstimate


def probe_rows(
    real: LabeledFeatures,
    synthetic: LabeledFeatures,
    labels: Sequence[str],
    *,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[list[ProbeRow], list[str]]:
    """A row per class with enough images, then the control row; and notes on classes left out."""
    rows, notes = [], []
    for number, label in enumerate(labels):
        sides = [images.take(np.flatnonzero(images.labels == number)) for images in (real, synthetic)]
        count = min(len(side.labels) for side in sides)
        if count < FEWEST_IMAGES:
            notes.append(f"No probe of {label}: {count} images on the smaller side, {FEWEST_IMAGES} are needed.")
            continue
        estimate = _told_apart(sides[0], sides[1], resamples=resamples, generator=generator)
        rows.append(ProbeRow(label, False, estimate))
    groups = generator.permutation(np.unique(real.groups))
    first = np.isin(real.groups, groups[: len(groups) // 2])
    halves = [real.take(np.flatnonzero(first)), real.take(np.flatnonzero(~first))]
    if min(len(half.labels) for half in halves) >= FEWEST_IMAGES:
        estimate = _told_apart(halves[0], halves[1], resamples=resamples, generator=generator)
        rows.append(ProbeRow(CONTROL, True, estimate))
    return rows, notes


def _told_apart(
    first: LabeledFeatures, second: LabeledFeatures, *, resamples: int, generator: np.random.Generator
) -> AuditEstimate:
    """AUROC of out-of-fold scores with equal counts on both sides; groups never cross folds.

    The interval draws groups of the scored images; it holds neither the choice of images nor of folds.
    """
    count = min(len(first.labels), len(second.labels))
    sides = [side.take(np.sort(generator.choice(len(side.labels), count, replace=False))) for side in (first, second)]
    features = np.concatenate([side.features for side in sides])
    is_second = np.repeat([0, 1], count).astype(np.int64)
    groups = np.concatenate([sides[0].groups, sides[1].groups])
    scores = _out_of_fold(features, is_second, groups, seed=int(generator.integers(2**31)))
    draws = draw_patients(groups, is_second, 10 * resamples, generator)
    probs = np.stack([1 - scores, scores], axis=1)
    figure = Draws.of_scores(
        draw_metric(lambda truth, p, weights: auroc(truth == 1, p[:, 1], weights), is_second, probs[None], draws)
    )
    interval = crossed_share_interval(figure, draws, boundary_count=count)
    patients = len(np.unique(sides[0].groups))
    method = f"{FOLDS}-fold logistic regression on {count} + {count} images, bootstrap of groups"
    return AuditEstimate(interval.value, interval.low, interval.high, 2 * count, patients, method)


def _out_of_fold(features: FloatArray, truth: IntArray, groups: IntArray, *, seed: int) -> FloatArray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    scores = np.full(len(truth), np.nan)
    for train, test in folds.split(features, truth, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        model.fit(features[train], truth[train])
        scores[test] = model.predict_proba(features[test])[:, 1]
    return scores
