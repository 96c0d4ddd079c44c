"""Minimum detectable differences of the test set, before any training: overall, per class and per subgroup."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tenfold.intake.checks.file_families import MISSING, ORIGIN_WORDS, name_words
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import Outcome, counted, listed, not_checked, plural
from tenfold.intake.contents import CheckRow, PowerRow, State, SubgroupRow
from tenfold.metrics.arrays import BoolArray
from tenfold.metrics.power import detectable_accuracy_difference, detectable_auroc_difference

WIDE = 0.1
"""Accuracy difference above which a test set is called small: few methods differ by so much."""

FEWEST_GROUPS = 2
"""Test groups on either side from which an AUROC has a standard error at all."""

MOST_VALUES = 12
SKIN_TYPE_GROUPS = ("I-II", "III-IV", "V-VI")
AGE_BANDS = ((0, 40, "under 40"), (40, 60, "40 to 59"), (60, 200, "60 and over"))
_ATTRIBUTES = ("skin_type_group", "sex", "site", "severity", "modality")
_AUROC, _CORRELATION = 0.8, 0.5


def power_rows(material: Material, discordance: float) -> tuple[PowerRow, ...]:
    """Of the sealed split, or else the planned one: accuracy, then the AUROC of each class against the rest.

    Patients (groups) count, not images, as those of one patient are not independent. Nothing without a split.
    """
    if material.split_fault is not None:
        return ()
    is_test = np.array([split == "test" for split in material.splits], dtype=np.bool_)
    word, is_planned = material.group_word, not material.is_split
    n_groups = _groups(material, is_test)
    tail = f"80 % power, two-sided 5 %, {word}s counted; the spread over training runs comes on top"
    found = detectable_accuracy_difference(n_groups, discordance=discordance)
    assumption = f"one of two classifiers alone is right on {discordance:.0%} of test {word}s; {tail}"
    rows = [PowerRow("accuracy", None, int(is_test.sum()), n_groups, _share(found), assumption, is_planned)]
    for place, label in enumerate(material.labels):
        is_own = is_test & (material.codes == place)
        own, others = _groups(material, is_own), _groups(material, is_test & ~is_own)
        found = math.inf
        if min(own, others) >= FEWEST_GROUPS:
            found = detectable_auroc_difference(own, others, auroc=_AUROC, correlation=_CORRELATION)
        assumption = f"AUROC {_AUROC}, two estimates correlated by {_CORRELATION}; {tail}"
        rows.append(PowerRow("auroc", label, int(is_own.sum()), own, _share(found), assumption, is_planned))
    return tuple(rows)


def power_outcome(material: Material, rows: tuple[PowerRow, ...]) -> Outcome:
    """ok: accuracy differences of 10 points or less can be seen; look: only larger ones; stop: no split is possible."""
    check, title = "power", "Smallest difference the test can show"
    if not rows:
        return Outcome(CheckRow(check, title, "stop", 0, 0, f"No split is possible: {material.split_fault}"))
    overall = rows[0]
    state: State = (
        "ok" if overall.detectable_difference is not None and overall.detectable_difference <= WIDE else "look"
    )
    size = f"{counted(overall.n_test_images, 'test image')} of {counted(overall.n_test_groups, material.group_word)}"
    if overall.is_planned:
        size = f"the planned {size}"
    if overall.detectable_difference is None:
        sentence = f"With {size} no difference between two classifiers can be shown."
    else:
        sentence = (
            f"With {size}, two classifiers must differ by {100 * overall.detectable_difference:.1f} points of "
            "accuracy to "
            "be told apart with 80 % power"
        )
        sentence += "." if state == "ok" else ": fewer gains than that stay unseen; add test patients or images."
    blind = [str(row.label) for row in rows[1:] if row.detectable_difference is None]
    if blind:
        sentence += f" Of {listed(blind)} alone nothing can be told."
    return Outcome(CheckRow(check, title, state, overall.n_test_images, 0, sentence))


def subgroup_rows(material: Material, discordance: float, smallest_subgroup: int) -> tuple[SubgroupRow, ...]:
    """Every subgroup of skin type (given, never estimated), sex, age, site, severity, modality and origin columns.

    Attributes of one value are left out, and of more than 12 values all but the most frequent 12. Underpowered: fewer
    test images than `smallest_subgroup`.
    """
    is_test = np.array([split == "test" for split in material.splits], dtype=np.bool_)
    rows = []
    for attribute, value, is_in in _subgroups(material):
        n_test = int((is_in & is_test).sum())
        test_groups = _groups(material, is_in & is_test)
        found = detectable_accuracy_difference(test_groups, discordance=discordance)
        patients = int(material.manifest.loc[is_in, "patient_id"].nunique()) if material.has_patients else None
        by_label = {label: int((is_in & (material.codes == c)).sum()) for c, label in enumerate(material.labels)}
        rows.append(
            SubgroupRow(
                attribute, value, by_label, int(is_in.sum()), patients, n_test, test_groups, _share(found),
                n_test < smallest_subgroup,
            )
        )  # fmt: skip
    return tuple(rows)


def subgroup_outcome(material: Material, rows: tuple[SubgroupRow, ...], smallest_subgroup: int) -> Outcome:
    """ok: every subgroup has enough test images and images of every class; look: some do not.

    not_checked: no attribute of the patients or images is known. `n_checked` and `n_flagged` count subgroups.
    """
    check, title = "subgroups", "Subgroups"
    if not rows:
        return not_checked(
            check,
            title,
            "No skin type, sex, age, site or origin is known, or all images share one: for whom else a result holds "
            "stays open.",
        )
    weak = [f"{row.attribute} {row.value}" for row in rows if row.is_underpowered]
    missing = [
        f"{row.attribute} {row.value} without {label}" for row in rows for label, n in row.by_label.items() if n == 0
    ]
    types = {row.value for row in rows if row.attribute == "skin_type_group"}
    absent = [name for name in SKIN_TYPE_GROUPS if types and name not in types]
    said = []
    if weak:
        said.append(
            f"{len(weak)} of {counted(len(rows), 'subgroup')} {plural(len(weak), 'has', 'have')} fewer than "
            f"{smallest_subgroup} test images, too few for a figure of {plural(len(weak), 'its', 'their')} own: "
            f"{listed(weak)}."
        )
    if missing:
        said.append(f"No images of some classes: {listed(missing)}.")
    if absent:
        said.append(f"No images of skin type {listed(absent)}: nothing can be said of these patients.")
    if not said:
        sentence = f"{counted(len(rows), 'subgroup')} with {smallest_subgroup} test images or more."
        return Outcome(CheckRow(check, title, "ok", len(rows), 0, sentence))
    return Outcome(CheckRow(check, title, "look", len(rows), len(weak), " ".join(said)))


def _subgroups(material: Material) -> Iterator[tuple[str, str, BoolArray]]:
    for attribute, values in _attributes(material):
        counts = values.value_counts()
        if len(counts) < 2 and attribute != "skin_type_group":
            continue
        kept = sorted(counts.index, key=lambda value: (-int(counts[value]), str(value)))[:MOST_VALUES]
        for value in sorted(str(value) for value in kept):
            yield attribute, value, (values == value).fillna(False).to_numpy(dtype=np.bool_)


def _attributes(material: Material) -> Iterator[tuple[str, pd.Series[str]]]:
    manifest = material.manifest
    for name in _ATTRIBUTES:
        values = manifest[name].astype("string")
        if name == "skin_type_group":
            values = values.where((manifest["skin_type_source"] != "estimated").fillna(True))
        yield name, values
    age = manifest["age"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    bands: pd.Series[str] = pd.Series(pd.NA, index=manifest.index, dtype="string")
    for low, high, name in AGE_BANDS:
        bands[(age >= low) & (age < high)] = name
    yield "age", bands
    for name in manifest.columns:
        if name.startswith("attr.") and name_words(name) & ORIGIN_WORDS:
            values = manifest[name].astype("string")
            if 2 <= values.nunique() <= MOST_VALUES:
                yield name, values.fillna(MISSING)


def _groups(material: Material, is_in: BoolArray) -> int:
    return len(np.unique(material.groups[is_in]))


def _share(difference: float) -> float | None:
    """A difference as a fraction; None for one that cannot be: more than 1."""
    return difference if math.isfinite(difference) and difference <= 1.0 else None
