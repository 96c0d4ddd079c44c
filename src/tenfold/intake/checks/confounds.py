"""Confounds: how well each class can be told from facts that say nothing of the disease.

Every family of facts gives cross-validated class probabilities (gradient-boosted trees; groups never cross folds), and
each class an AUROC against the rest with an interval from drawing groups. A classifier that can see such a fact, or
anything that goes with it, needs no disease to be right, in the test set too.

On 60 invented sets without a confound (12 to 50 groups a class, 1,260 rows of the table) no row was flagged at 0.7; the
mean AUROC was 0.49 and 91 % of the intervals held 0.5 (cross-validated scores lean a little below chance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.data.findings import Finding
from tenfold.intake.checks.file_families import ALL_FACTS, Fact, Family, fact_families
from tenfold.intake.checks.folds import grouped_folds, kept_classes, out_of_fold
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import Outcome, counted, listed, not_checked, plural
from tenfold.intake.contents import CheckRow, ConfoundRow, Interval, State
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.bootstrap import Draws, PatientDraws, crossed_share_interval, draw_patients
from tenfold.metrics.ranking import auroc

CHECK, TITLE = "confounds", "Classes told by file facts alone"
FEWEST_GROUPS = 10
"""Groups a class needs for an AUROC that means anything."""

NEARLY_SURE, AT_LEAST = 0.95, 0.8
"""An AUROC of so much, with its interval above the second, leaves a class without honest evidence: stop."""

_NAMES = {ALL_FACTS: "file facts"}
_DRAWS = 1000
_MOST_WEIGHTS = 20_000_000


@dataclass(frozen=True)
class Confounds:
    """The table for the page, and the check's outcome."""

    rows: tuple[ConfoundRow, ...]
    outcome: Outcome


def confounds(material: Material, folds: int, confound_auroc: float, seed: int) -> Confounds:
    """Judge every family and class. A row is flagged when its whole 95 % interval lies above `confound_auroc`.

    ok: none flagged; look: any; stop: a class is told by file facts, or by a column that names its origin, with an
    AUROC of 0.95 or more and an interval above 0.8. not_checked: nothing differs between the files, or the classes have
    too few groups. A finding's score is the probability that the most telling family (file facts before columns) gives
    the image's own class; it is flagged when that family tells the class and is right about the image.
    """
    classes, places = kept_classes(material.codes, material.groups, max(folds, FEWEST_GROUPS))
    left_out = [label for c, label in enumerate(material.labels) if c not in set(classes.tolist())]
    families = fact_families(material)
    if len(classes) < 2 or not families:
        return Confounds((), not_checked(CHECK, TITLE, _why_not(material, classes, left_out, families)))
    codes = np.searchsorted(classes, material.codes[places]).astype(np.int64)
    keys = [str(key) for key in material.keys.iloc[places]]
    fold_of = grouped_folds(codes, keys, folds, derive_seed(seed, "confounds"))
    draws = _draws(material.groups[places], codes, derive_seed(seed, "confounds", "draws"))
    names = [material.labels[c] for c in classes]
    shown = [int(np.bincount(codes).argmin())] if len(classes) == 2 else list(range(len(classes)))
    rows: list[tuple[Family, int, ConfoundRow]] = []
    told: dict[str, FloatArray] = {}
    for family in families:
        probabilities = _probabilities(family, places, codes, fold_of)
        told[family.name] = probabilities
        for c in shown:
            interval = _interval(codes, probabilities[:, c], c, material.groups[places], draws)
            is_flagged = family.weight != "shown" and interval.low is not None and interval.low > confound_auroc
            detail = _detail(family, places, codes == c, names[c])
            rows.append((family, c, ConfoundRow(family.name, names[c], interval, is_flagged, detail)))
    outcome = _outcome(material, rows, told, (places, codes), left_out)
    return Confounds(tuple(row for _, _, row in rows), outcome)


def _why_not(material: Material, classes: IntArray, left_out: list[str], families: list[Family]) -> str:
    if len(classes) < 2:
        return f"Fewer than two classes have {FEWEST_GROUPS} groups: {listed(left_out)} have fewer."
    if material.facts is None:
        return "There are no facts of the original files, and no upstream column of few values."
    return "The files do not differ in size, format, quality, EXIF or border, and there is no upstream column."


def _draws(groups: IntArray, codes: IntArray, seed: int) -> PatientDraws:
    count = max(100, min(_DRAWS, _MOST_WEIGHTS // max(1, len(codes))))
    return draw_patients(groups, codes, count, numpy_generator(seed))


def _probabilities(family: Family, places: IntArray, codes: IntArray, fold_of: IntArray) -> FloatArray:
    features = np.stack([fact.values[places] for fact in family.facts], axis=1)
    is_category = [bool(fact.words) for fact in family.facts]
    return out_of_fold(features, codes, fold_of, partial(_fit_trees, is_category=is_category))


def _fit_trees(features: FloatArray, codes: IntArray, is_category: list[bool]) -> Callable[[FloatArray], FloatArray]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rarest = int(np.bincount(codes)[np.unique(codes)].min())
    model = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=max(3, min(20, rarest // 4)),
        l2_regularization=1.0, early_stopping=False, class_weight="balanced", categorical_features=is_category,
        random_state=0,
    )  # fmt: skip
    model.fit(features, codes)
    return lambda held: np.asarray(model.predict_proba(held), dtype=np.float64)


def _interval(codes: IntArray, scores: FloatArray, c: int, groups: IntArray, draws: PatientDraws) -> Interval:
    figures = auroc(codes == c, scores, draws.weights)
    n_positive = len(np.unique(groups[codes == c]))
    found = crossed_share_interval(Draws.of_scores(figures[None]), draws, boundary_count=n_positive)
    bounds = [float(value) if np.isfinite(value) else None for value in (found.value, found.low, found.high)]
    method = "out-of-fold AUROC of boosted trees; 95 % interval from drawing groups"
    return Interval(bounds[0], bounds[1], bounds[2], len(codes), len(np.unique(groups)), method)


def _detail(family: Family, places: IntArray, is_class: np.ndarray, label: str) -> str:
    """In what the class differs most from the rest, in words."""
    gaps = [_difference(fact, fact.values[places], is_class, label) for fact in family.facts]
    detail = max(gaps, key=lambda gap: gap[0])[1]
    if family.weight == "shown":
        detail += "; it also follows what the pictures show, so it is not judged"
    if family.is_one_to_one:
        detail += "; every class has a value of its own: the label under another name, or one source per class"
    return detail


def _difference(fact: Fact, values: FloatArray, is_class: np.ndarray, label: str) -> tuple[float, str]:
    """How far the class lies from the rest in a fact, 0 to 1, and the words for it."""
    if fact.words:
        shares = [
            (float((values[is_class] == place).mean()), float((values[~is_class] == place).mean()), word)
            for place, word in enumerate(fact.words)
        ]
        own, others, word = max(shares, key=lambda share: abs(share[0] - share[1]))
        return abs(own - others), f"{fact.name} {word}: {own:.0%} of {label}, {others:.0%} of the rest"
    own_values, other_values = (part[np.isfinite(part)] for part in (values[is_class], values[~is_class]))
    if not len(own_values) or not len(other_values):
        known = float(np.isfinite(values[is_class]).mean()), float(np.isfinite(values[~is_class]).mean())
        return abs(known[0] - known[1]), f"{fact.name} known: {known[0]:.0%} of {label}, {known[1]:.0%} of the rest"
    truth = np.concatenate([np.ones(len(own_values), np.bool_), np.zeros(len(other_values), np.bool_)])
    area = float(auroc(truth, np.concatenate([own_values, other_values]), np.ones((1, len(truth))))[0])
    medians = _number(float(np.median(own_values))), _number(float(np.median(other_values)))
    return 2 * abs(area - 0.5), f"median {fact.name} {medians[0]} of {label}, {medians[1]} of the rest"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _outcome(
    material: Material, rows: list[tuple[Family, int, ConfoundRow]], told: dict[str, FloatArray],
    judged: tuple[IntArray, IntArray], left_out: list[str],
) -> Outcome:  # fmt: skip
    note = f" Too few groups to judge: {listed(left_out)}." if left_out else ""
    if material.facts is None:
        note += " The original files' facts are not known."
    flagged = [(family, c, row) for family, c, row in rows if row.is_flagged]
    flagged.sort(key=lambda item: (-_severity(item), item[0].weight != "file", -(item[2].auroc.low or 0.0)))
    lead = flagged[0] if flagged else max(
        ((family, c, row) for family, c, row in rows if family.weight != "shown"),
        key=lambda item: item[2].auroc.value or 0.0, default=None,
    )  # fmt: skip
    family_name = lead[0].name if lead else next(iter(told))
    classes = {c for family, c, row in flagged if family.name == family_name}
    if lead is not None and len(told[family_name].T) == 2 and classes:
        classes = {0, 1}
    findings = _findings(material, judged, told[family_name], (family_name, classes))
    n_checked = len(judged[0])
    n_flagged = sum(finding.is_flagged for finding in findings)
    if not flagged or lead is None:
        best = (
            f" The most telling: {_NAMES.get(lead[2].facts, lead[2].facts)}, AUROC {lead[2].auroc.value or 0.0:.2f} "
            f"of {lead[2].label}."
            if lead
            else ""
        )
        return Outcome(
            CheckRow(CHECK, TITLE, "ok", n_checked, 0, f"No class can be told from file facts.{best}{note}"), findings
        )
    state: State = "stop" if _severity(lead) == 2 else "look"
    others = [row for _, _, row in flagged[1:] if row.label != lead[2].label or row.facts != lead[2].facts]
    more = f" Of the table {counted(len(others), 'more row')} {plural(len(others), 'is', 'are')} flagged." * bool(
        others
    )
    advice = (
        f" A classifier needs no disease to know {lead[2].label}: take its images from the sources of the "
        "other classes, or leave the class out."
        if state == "stop"
        else " Compare within one source, or balance the classes over it, before trusting a figure."
    )
    sentence = f"{_told(lead[2])}: {lead[2].detail}.{advice}{more}{note}"
    return Outcome(CheckRow(CHECK, TITLE, state, n_checked, n_flagged, sentence), findings)


def _told(row: ConfoundRow) -> str:
    value, low, high = row.auroc.value, row.auroc.low, row.auroc.high
    bounds = "no interval" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}"
    return f"{row.label} can be told from {_NAMES.get(row.facts, row.facts)} alone (AUROC {value or 0.0:.2f}, {bounds})"


def _severity(item: tuple[Family, int, ConfoundRow]) -> int:
    """2: stop; 1: look."""
    family, _, row = item
    is_sure = (row.auroc.value or 0.0) >= NEARLY_SURE and (row.auroc.low or 0.0) > AT_LEAST
    return 2 if family.weight in ("file", "origin") and is_sure else 1


def _findings(
    material: Material, judged: tuple[IntArray, IntArray], probabilities: FloatArray, about: tuple[str, set[int]]
) -> tuple[Finding, ...]:
    places, codes = judged
    facts, classes = about
    ids = material.image_ids
    own = probabilities[np.arange(len(codes)), codes]
    is_right = probabilities.argmax(axis=1) == codes
    return tuple(
        Finding(
            CHECK, ids[place], float(own[k]), bool(is_right[k]) and int(codes[k]) in classes, (),
            f"{facts} alone give its class {own[k]:.0%}" if is_right[k] and int(codes[k]) in classes else "",
        )
        for k, place in enumerate(places)
    )  # fmt: skip
