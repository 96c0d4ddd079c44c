"""Probable label errors: cleanlab's confident learning on cross-validated logistic regression over frozen features.

Confident learning (Northcutt 2021) calls an image suspect when models that never saw its group are surer of another
class than those of that class usually are. With weak features that also calls what is merely hard: of ham5, where these
features are right half the time, a third. So an image is flagged only when both of cleanlab's criteria agree and the
models give another class 0.5 or more and six times as much as its own; and nothing is flagged when they hardly tell the
classes. With 5 % of labels flipped at random this finds 70, 66, 53 and 28 % of the flips in bccd_crops, wbc, cxr_covid
and ham5, where 68, 41, 34 and 22 % of the flagged are planted (some others may be errors that were there before).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tenfold.data.findings import Finding
from tenfold.intake.checks.folds import grouped_folds, kept_classes, out_of_fold
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.measures import Measures
from tenfold.intake.checks.outcome import Outcome, counted, listed, not_checked, plural
from tenfold.intake.contents import CheckRow, SuspectImage
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.proportions import wilson_interval

CHECK, TITLE = "label_errors", "Probable label errors"
SURE, TIMES = 0.5, 6.0
"""Probability of another class, and how many times that of its own label, from which an image is flagged."""

LEAST_SKILL = 0.3
"""Balanced accuracy between chance (0) and perfect (1) from which the models' doubts mean anything."""

_EVIDENCE = 3


def label_errors(material: Material, measures: Measures, folds: int, seed: int) -> Outcome:
    """Images that are more like another class. ok: none; look: any; not_checked: the features tell too little.

    A finding's score is 1 less the probability of the image's own label; its evidence are the nearest images, in
    features, of the class that it resembles. Classes in fewer groups than folds are left out and named.
    """
    classes, places = kept_classes(material.codes, material.groups, folds)
    left_out = [material.labels[c] for c in range(len(material.labels)) if c not in set(classes.tolist())]
    if len(classes) < 2:
        reason = f"Fewer than two classes have {folds} groups, one for each fold: {listed(left_out)} have fewer."
        return not_checked(CHECK, TITLE, reason)
    codes = np.searchsorted(classes, material.codes[places]).astype(np.int64)
    features = measures.features[places].astype(np.float64)
    keys = [str(key) for key in material.keys.iloc[places]]
    probabilities = out_of_fold(features, codes, grouped_folds(codes, keys, folds, seed), _fit_logistic)
    is_suspect, scores = _judge(codes, probabilities)
    predicted = probabilities.argmax(axis=1)
    recalls = np.array([(predicted[codes == c] == c).mean() for c in range(len(classes))])
    skill = (recalls.mean() - 1 / len(classes)) / (1 - 1 / len(classes))
    n_groups = len(np.unique(material.groups[places]))
    right = float((predicted == codes).mean())
    low, high = wilson_interval(right, n_groups)
    told = (
        f"The features tell the right class of {right:.0%} of images "
        f"(95 % interval {low:.0%} to {high:.0%}, {n_groups:,} {material.group_word}s)"
    )
    note = f" Left out, with fewer than {folds} groups: {listed(left_out)}." if left_out else ""
    if skill < LEAST_SKILL:
        is_suspect[:] = False
    names = [material.labels[c] for c in classes]
    findings, suspects = _findings(material, places, codes, features, (is_suspect, scores, probabilities, names))
    if skill < LEAST_SKILL:
        sentence = f"{told}: too few for their doubts to mean anything, so no label is called wrong.{note}"
        return Outcome(CheckRow(CHECK, TITLE, "not_checked", 0, 0, sentence), findings)
    if not suspects:
        return Outcome(CheckRow(CHECK, TITLE, "ok", len(places), 0, f"No suspect labels. {told}.{note}"), findings)
    sentence = (
        f"{counted(len(suspects), 'image')} of {len(places):,} {plural(len(suspects), 'looks', 'look')} like "
        f"another class than the label. {told}, so "
        f"some are merely hard: let a specialist look at the list.{note}"
    )
    return Outcome(CheckRow(CHECK, TITLE, "look", len(places), len(suspects), sentence), findings, suspects)


def _fit_logistic(features: FloatArray, codes: IntArray) -> Callable[[FloatArray], FloatArray]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(features, codes)
    return lambda held: np.asarray(model.predict_proba(held), dtype=np.float64)


def _judge(codes: IntArray, probabilities: FloatArray) -> tuple[np.ndarray, FloatArray]:
    """Which images are suspect (N,), and 1 less the probability of their own label (N,)."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    floor = 1e-6
    smooth = (probabilities + floor) / (probabilities + floor).sum(axis=1, keepdims=True)
    is_issue = find_label_issues(codes, smooth, filter_by="both", n_jobs=1)
    quality = np.asarray(get_label_quality_scores(codes, smooth, method="self_confidence"), dtype=np.float64)
    own = smooth[np.arange(len(codes)), codes]
    is_sure = (smooth.max(axis=1) >= SURE) & (smooth.max(axis=1) >= TIMES * own)
    return np.asarray(is_issue, dtype=np.bool_) & is_sure, np.clip(1.0 - quality, 0.0, 1.0)


def _findings(
    material: Material, places: IntArray, codes: IntArray, features: FloatArray,
    judged: tuple[np.ndarray, FloatArray, FloatArray, list[str]],
) -> tuple[tuple[Finding, ...], tuple[SuspectImage, ...]]:  # fmt: skip
    is_suspect, scores, probabilities, names = judged
    ids, paths = material.image_ids, material.texts("path")
    standard = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    findings, suspects = [], []
    for k, place in enumerate(places):
        evidence: tuple[str, ...] = ()
        detail = ""
        if is_suspect[k]:
            other = int(probabilities[k].argmax())
            detail = (
                f"labeled {names[codes[k]]} ({probabilities[k, codes[k]]:.0%}), looks like {names[other]} "
                f"({probabilities[k, other]:.0%})"
            )
            like = np.flatnonzero((codes == other) & (material.groups[places] != material.groups[place]))
            distance = ((standard[like] - standard[k]) ** 2).sum(axis=1)
            evidence = tuple(ids[places[n]] for n in like[np.argsort(distance, kind="stable")[:_EVIDENCE]])
            suspects.append(SuspectImage(CHECK, ids[place], paths[place], names[codes[k]], float(scores[k]), detail))
        findings.append(Finding(CHECK, ids[place], float(scores[k]), bool(is_suspect[k]), evidence, detail))
    return tuple(findings), tuple(sorted(suspects, key=lambda suspect: (-suspect.score, suspect.image_id)))
