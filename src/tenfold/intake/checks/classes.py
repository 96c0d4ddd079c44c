"""Class sizes and grouping: what each class allows, and what is known of whose images they are."""

from __future__ import annotations

import numpy as np

from tenfold.core.seeds import derive_seed
from tenfold.data.manifest import SPLITS
from tenfold.data.splits import MINIMUM_GROUPS
from tenfold.intake.checks.folds import group_counts
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import Outcome, counted, listed, plural
from tenfold.intake.contents import CheckRow, ClassRow, State
from tenfold.metrics.proportions import wilson_interval

SMALL_CLASS = 20
"""Groups below which a class is called small: its test then holds about five."""

UNEVEN = 10
"""Largest class over smallest class from which they are called uneven."""

_ASSUMED = 0.8


def class_rows(material: Material) -> tuple[ClassRow, ...]:
    """A row per class, sorted by label; `by_split` is filled once the split is sealed."""
    groups = group_counts(material.codes, material.groups, len(material.labels))
    patients, splits = material.manifest["patient_id"], np.array(material.splits, dtype=object)
    rows = []
    for place, label in enumerate(material.labels):
        is_own = material.codes == place
        by_split = {name: int((is_own & (splits == name)).sum()) for name in SPLITS}
        test_groups = len(np.unique(material.groups[is_own & (splits == "test")]))
        n_images, n_groups = int(is_own.sum()), int(groups[place])
        n_patients = int(patients[is_own].nunique()) if material.has_patients else None
        sentence = _allows(n_images, n_groups, material, (by_split, test_groups))
        rows.append(ClassRow(label, n_images, n_patients, n_groups, by_split if material.is_split else {}, sentence))
    return tuple(rows)


def class_sizes(material: Material) -> Outcome:
    """Whether the classes can be split and measured.

    ok: every class has 20 groups or more and the largest is at most 10 times the smallest; look: one has fewer, or they
    are that uneven; stop: fewer than two classes, or a class in fewer than 3 groups, so that no split is possible.
    """
    check, title = "class_sizes", "Class sizes"
    groups = group_counts(material.codes, material.groups, len(material.labels))
    images = np.bincount(material.codes, minlength=len(material.labels))
    word, n_images = material.group_word, len(material.codes)
    if len(material.labels) < 2:
        sentence = f"There is one class only, {listed(material.labels)}: nothing can be told apart."
        return Outcome(CheckRow(check, title, "stop", n_images, n_images, sentence))
    few = {
        label: (int(images[c]), int(groups[c])) for c, label in enumerate(material.labels) if groups[c] < SMALL_CLASS
    }
    hopeless = [label for label, (_, count) in few.items() if count < MINIMUM_GROUPS]
    flagged = int(sum(count for count, _ in few.values()))
    ratio = images.max() / images.min()
    told = listed(f"{label} ({counted(n, 'image')} of {counted(g, word)})" for label, (n, g) in few.items())
    state: State = "ok"
    if hopeless:
        state = "stop"
        sentence = (
            f"{listed(hopeless)} {plural(len(hopeless), 'is', 'are')} in fewer than {MINIMUM_GROUPS} {word}s, one each "
            f"for training, validation and test: add images, or leave the class out. Small: {told}."
        )
    elif few:
        state = "look"
        sentence = (
            f"Small: {told}. Figures of so few mean little: add images, join the class to another, or leave it out."
        )
    elif ratio > UNEVEN:
        state = "look"
        sentence = (
            f"{material.labels[int(images.argmax())]} has {ratio:.0f} times the images of "
            f"{material.labels[int(images.argmin())]}: accuracy alone would hide the small class."
        )
    else:
        sentence = f"{len(material.labels)} classes of {images.min():,} to {images.max():,} images."
    return Outcome(CheckRow(check, title, state, n_images, flagged, sentence))


def grouping(material: Material) -> Outcome:
    """Whose images they are. ok: every image tells its patient, lesion or group; look: some or all do not."""
    check, title = "grouping", "Patients and groups known"
    known = material.is_group_known
    n_images, n_known = len(known), int(known.sum())
    n_patients = int(material.manifest["patient_id"].nunique())
    if n_known == n_images:
        with_patient = int(material.manifest["patient_id"].notna().sum())
        if with_patient == n_images:
            sentence = f"Every image tells its patient ({n_patients:,} patients)."
        elif with_patient:
            sentence = (
                f"{with_patient:,} of {n_images:,} images tell their patient ({n_patients:,} patients), the others "
                "their "
                "lesion or group."
            )
        else:
            n_groups = len(np.unique(material.groups))
            sentence = f"Every image tells its lesion or group ({n_groups:,} groups); patients are not known."
        return Outcome(CheckRow(check, title, "ok", n_images, 0, sentence))
    if not n_known:
        sentence = (
            "No patient, lesion or group is known: groups are near-duplicates only, so images of one patient may "
            "lie on "
            "both sides of the split and figures may be too good. Name the column: --map patient_id=COLUMN."
        )
    else:
        sentence = (
            f"{n_images - n_known:,} of {n_images:,} images tell no patient, lesion or group: each counts as a "
            "group of its "
            "own with its near-duplicates, so figures may be too good."
        )
    return Outcome(CheckRow(check, title, "look", n_images, n_images - n_known, sentence))


def montage(material: Material, images: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Paths of a seeded sample of each class, of different groups as far as they go."""
    ids, paths = material.image_ids, material.texts("path")
    shown: dict[str, tuple[str, ...]] = {}
    for place, label in enumerate(material.labels):
        drawn = sorted(np.flatnonzero(material.codes == place), key=lambda k: derive_seed(seed, "montage", ids[k]))
        seen: dict[int, int] = {}
        turn = []
        for k in drawn:
            group = int(material.groups[k])
            seen[group] = seen.get(group, 0) + 1
            turn.append(seen[group])
        order = sorted(range(len(drawn)), key=lambda n: turn[n])
        shown[label] = tuple(paths[drawn[n]] or "" for n in order[:images])
    return shown


def _allows(n_images: int, n_groups: int, material: Material, test: tuple[dict[str, int], int]) -> str:
    by_split, test_groups = test
    word = material.group_word
    start = f"{counted(n_images, 'image')} of {counted(n_groups, word)}"
    if n_groups < MINIMUM_GROUPS:
        return (
            f"{start}: no split is possible, which takes {MINIMUM_GROUPS} {word}s, one each for training, "
            "validation and "
            "test. Add images, or leave the class out."
        )
    if material.split_fault is not None:
        return f"{start}; no split could be planned."
    made = "" if material.is_split else "planned: "
    parts = f"{made}{by_split['train']} for training, {by_split['val']} for validation, {by_split['test']} for the test"
    if not test_groups:
        return f"{start} ({parts}): it is not in the test."
    if test_groups == 1:
        return (
            f"{start} ({parts}). With one {word} in the test its sensitivity is all or nothing: give it no figure "
            "of its "
            "own, join it to another class, or leave it out."
        )
    low, high = wilson_interval(_ASSUMED, test_groups)
    return f"{start} ({parts}). A sensitivity of {_ASSUMED:.0%} would have an interval of {low:.0%} to {high:.0%}."
