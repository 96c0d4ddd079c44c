"""What the intake page shows, chosen and counted from the facts; `intake.json` is `to_json()`.

The page may be handed around: patient ids are replaced by numbers within each cluster of duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tenfold.core.plain import to_plain
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS, SPLITS
from tenfold.intake.contents import (
    CheckRow,
    ClassRow,
    ConfoundRow,
    DuplicateCluster,
    IntakeFacts,
    PowerRow,
    State,
    SubgroupRow,
    SuspectImage,
)
from tenfold.reports import wording
from tenfold.reports.config import IntakePageConfig

PAGE_VERSION = 1
MOST_MONTAGE_PICTURES = 240
ALL_FACTS = "all"
STATE_TITLES: Mapping[State, str] = {
    "ok": "Nothing found that stands in the way",
    "look": "Usable with care",
    "stop": "Not ready for a study",
    "not_checked": "Not checked",
}
_SEVERITY: Mapping[State, int] = {"stop": 0, "look": 1, "not_checked": 2, "ok": 3}
_SECTIONS = {
    "unreadable": "rows", "blank": "suspects", "tiny": "suspects", "huge": "suspects", "label_errors": "suspects",
    "outliers": "suspects", "duplicates": "duplicates", "two_labels": "duplicates", "crossing": "duplicates",
    "upstream_crossing": "duplicates", "grouping": "classes", "class_sizes": "classes", "confounds": "confounds",
    "power": "power", "subgroups": "power",
}  # fmt: skip
_CLUSTER_PICTURES = 6
_FEWEST_PER_CLASS = 3
_MOST_CONFOUNDS_OPEN, _FEWEST_CONFOUNDS_OPEN = 12, 4
_ITA_PERCENTILES = (5, 50, 95)


@dataclass(frozen=True)
class Totals:
    """Over all classes. A patient may have images of several classes, so the rows of classes do not add up to these."""

    n_images: int
    n_classes: int
    n_patients: int | None
    n_groups: int | None
    by_split: Mapping[str, int]


@dataclass(frozen=True)
class ItaRow:
    """ITA in degrees of the images of one skin type: median and the middle nine tenths."""

    skin_type: str
    n_images: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class ShownCluster:
    """A cluster of duplicates; `shown` are the positions of the pictures in it, those that disagree first."""

    cluster: DuplicateCluster
    n_images: int
    shown: tuple[int, ...]


@dataclass(frozen=True)
class SuspectGroup:
    """The worst images of one check; `n_flagged` counts all of them, None where the check does not say."""

    check: str
    title: str
    n_flagged: int | None
    images: tuple[SuspectImage, ...]


@dataclass(frozen=True)
class IntakeContents:
    """The whole intake page. `checks` are the worst first, those that could not run among them."""

    title: str
    facts: IntakeFacts
    has_patients: bool
    group_note: str
    checks: tuple[CheckRow, ...]
    totals: Totals
    power: PowerRow | None
    montage: Mapping[str, tuple[str, ...]]
    clusters: tuple[ShownCluster, ...]
    suspects: tuple[SuspectGroup, ...]
    ita: tuple[ItaRow, ...]

    @property
    def attention(self) -> tuple[CheckRow, ...]:
        """The checks that someone should read before anything else."""
        return tuple(row for row in self.checks if row.state in ("stop", "look"))

    def was_checked(self, section: str) -> bool:
        """Whether any check whose findings the section shows was run, so that "none" may be said."""
        return any(row.state != "not_checked" and section_of(row.check) == section for row in self.checks)

    @property
    def subgroups(self) -> Mapping[str, tuple[SubgroupRow, ...]]:
        """The subgroups by attribute, in the facts' order."""
        table: dict[str, tuple[SubgroupRow, ...]] = {}
        for row in self.facts.subgroups:
            table[row.attribute] = (*table.get(row.attribute, ()), row)
        return table

    @property
    def confounds(self) -> tuple[tuple[ConfoundRow, ...], tuple[ConfoundRow, ...]]:
        """Rows to show at once (flagged, and all file facts together; else a few) and the others, strongest first."""
        ordered = sorted(self.facts.confounds, key=_confound_order)
        telling = [row for row in ordered if row.is_flagged or row.facts == ALL_FACTS]
        first = telling[:_MOST_CONFOUNDS_OPEN] or ordered[:_FEWEST_CONFOUNDS_OPEN]
        others = [row for row in ordered if row not in first]
        return (tuple(ordered), ()) if len(others) == 1 else (tuple(first), tuple(others))

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The manifest's columns that the source filled, in the manifest's order."""
        names = [name for name in self._columns if not name.startswith(ATTRIBUTE_PREFIX)]
        return tuple([name for name in COLUMNS if name in names] + [name for name in names if name not in COLUMNS])

    @property
    def upstream_columns(self) -> tuple[str, ...]:
        """The source's other columns."""
        return tuple(name for name in self._columns if name.startswith(ATTRIBUTE_PREFIX))

    @property
    def _columns(self) -> dict[str, None]:
        return dict.fromkeys((*self.facts.columns, *self.facts.column_reasons))

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers: the facts, and what was counted from them for the page."""
        return {"page_version": PAGE_VERSION, **to_plain(self)}


def choose_contents(facts: IntakeFacts, name: str, config: IntakePageConfig) -> IntakeContents:
    """The contents of the page for the workspace `name`."""
    facts = replace(facts, duplicates=tuple(_without_patient_ids(cluster) for cluster in facts.duplicates))
    worst = sorted(facts.duplicates, key=lambda cluster: -len(cluster.crosses))[: config.duplicate_clusters]
    return IntakeContents(
        title=config.title or name,
        facts=facts,
        has_patients=_has_patients(facts),
        group_note=_group_note(facts),
        checks=_checks(facts),
        totals=_totals(facts),
        power=next((row for row in facts.power if row.label is None), None),
        montage=_montage(facts, config.pictures_per_class),
        clusters=tuple(
            ShownCluster(cluster, len(cluster.image_ids), _positions(cluster, _CLUSTER_PICTURES)) for cluster in worst
        ),
        suspects=_suspects(facts, config.suspects_per_check),
        ita=_ita_rows(facts),
    )


def section_of(check: str) -> str | None:
    """The section of the page that shows what a check found, None when the checks' table says it all.

    >>> section_of("two_labels"), section_of("label_errors"), section_of("other")
    ('duplicates', 'suspects', None)
    """
    return _SECTIONS.get(check)


def plain_check(check: str) -> str:
    """A check's name in words.

    >>> plain_check("label_errors")
    'Label errors'
    """
    return wording.capital(check.replace("_", " ").strip())


def _has_patients(facts: IntakeFacts) -> bool:
    return any(row.n_patients is not None for row in facts.classes) or facts.n_patients is not None


def _group_note(facts: IntakeFacts) -> str:
    if _has_patients(facts):
        return (
            "A group is all images of one patient, where patients are told, with everything nearly identical to them: "
            "a split never parts it."
        )
    unknown = "No patient ids are known, so images of one patient may lie on both sides of a split."
    if "lesion_id" in facts.columns:
        return f"{unknown} A group is one lesion with its near-duplicates."
    if "group_id" in facts.columns:
        return (
            f"{unknown} A group is what the column “{facts.columns['group_id']}” holds together, with near-duplicates."
        )
    return f"{unknown} A group is a cluster of near-duplicate images, and nothing more."


def _checks(facts: IntakeFacts) -> tuple[CheckRow, ...]:
    known = {name for row in facts.checks for name in (row.check, row.title)}
    skipped = [
        CheckRow(check, plain_check(check), "not_checked", 0, 0, reason)
        for check, reason in facts.skipped.items()
        if check not in known
    ]
    return tuple(sorted((*facts.checks, *skipped), key=lambda row: (_SEVERITY[row.state], not _is_told(row, facts))))


def _is_told(row: CheckRow, facts: IntakeFacts) -> bool:
    """Whether the answer tells of this check: it then stands first among those of its state."""
    return row.sentence.split(". ")[0].rstrip(".") in facts.answer


def _totals(facts: IntakeFacts) -> Totals:
    return Totals(
        n_images=sum(row.n_images for row in facts.classes),
        n_classes=len(facts.classes),
        n_patients=facts.n_patients,
        n_groups=facts.n_groups,
        by_split={split: sum(row.by_split.get(split, 0) for row in facts.classes) for split in _splits(facts.classes)},
    )


def _splits(classes: Iterable[ClassRow]) -> list[str]:
    """The splits in use, in the usual order; others behind them, by name."""
    found = {split for row in classes for split in row.by_split}
    return [split for split in SPLITS if split in found] + sorted(found - set(SPLITS))


def _montage(facts: IntakeFacts, per_class: int) -> Mapping[str, tuple[str, ...]]:
    shared = MOST_MONTAGE_PICTURES // max(1, len(facts.montage))
    most = min(per_class, max(_FEWEST_PER_CLASS, shared))
    known = [row.label for row in facts.classes if row.label in facts.montage]
    order = known + [label for label in facts.montage if label not in set(known)]
    return {label: facts.montage[label][:most] for label in order}


def _positions(cluster: DuplicateCluster, most: int) -> tuple[int, ...]:
    """Positions to show: one picture of each label, split and patient first, then the others in order."""
    kinds = list(zip(cluster.labels, cluster.splits, cluster.patients, strict=True))
    first = [place for place, kind in enumerate(kinds) if kinds.index(kind) == place]
    others = [place for place in range(len(kinds)) if place not in set(first)]
    return tuple((first + others)[:most])


def _without_patient_ids(cluster: DuplicateCluster) -> DuplicateCluster:
    numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(filter(None, cluster.patients)), 1)}
    return replace(cluster, patients=tuple(numbers.get(name) if name else None for name in cluster.patients))


def _suspects(facts: IntakeFacts, most: int) -> tuple[SuspectGroup, ...]:
    rows = {row.check: row for row in facts.checks}
    by_check: dict[str, list[SuspectImage]] = {}
    for image in sorted(facts.suspects, key=lambda image: -image.score):
        by_check.setdefault(image.check, []).append(image)
    order = {check: place for place, check in enumerate(rows)}
    groups = []
    for check in sorted(by_check, key=lambda check: (order.get(check, len(order)), check)):
        row = rows.get(check)
        title = row.title if row else plain_check(check)
        groups.append(SuspectGroup(check, title, row.n_flagged if row else None, tuple(by_check[check][:most])))
    return tuple(groups)


def _confound_order(row: ConfoundRow) -> tuple[bool, bool, float]:
    bound = row.auroc.low if row.auroc.low is not None else row.auroc.value
    return not row.is_flagged, row.facts != ALL_FACTS, -(bound if bound is not None else -1.0)


def _ita_rows(facts: IntakeFacts) -> tuple[ItaRow, ...]:
    if facts.skin_tone is None:
        return ()
    rows = []
    for skin_type, values in sorted(facts.skin_tone.ita_by_type.items()):
        known = _finite(values)
        if known.size:
            low, median, high = (round(float(value), 1) for value in np.percentile(known, _ITA_PERCENTILES))
            rows.append(ItaRow(skin_type, int(known.size), median, low, high))
    return tuple(rows)


def _finite(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The numbers among the values: a NaN is null in the facts' file."""
    return np.array([value for value in values if value is not None and np.isfinite(value)], dtype=np.float64)
