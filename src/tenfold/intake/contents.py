"""What intake and its checks found, as typed facts: written as data/checks/summary.json, read by the intake page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tenfold.core.plain import from_plain, to_plain

State = Literal["ok", "look", "stop", "not_checked"]
"""ok: nothing found; look: a person should look; stop: no study on this data is honest before it is mended."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval (null where there is none) and what it was computed from."""

    value: float | None
    low: float | None
    high: float | None
    n_images: int
    n_groups: int
    method: str


@dataclass(frozen=True)
class CheckRow:
    """One check over the whole set. `sentence` says in plain words what was found and what to do."""

    check: str
    title: str
    state: State
    n_checked: int
    n_flagged: int
    sentence: str


@dataclass(frozen=True)
class ClassRow:
    """A class: images, patients (null when none is known), groups; images by split, empty before the split.

    `sentence` says what the class allows (of 4 images: no test of its own ...).
    """

    label: str
    n_images: int
    n_patients: int | None
    n_groups: int
    by_split: Mapping[str, int]
    sentence: str


@dataclass(frozen=True)
class ConfoundRow:
    """How well one class can be told from one kind of file facts alone: `facts` is all, image size, attr.origin ..."""

    facts: str
    label: str
    auroc: Interval
    is_flagged: bool
    detail: str


@dataclass(frozen=True)
class SubgroupRow:
    """A subgroup: images by class, test images and patients, and the smallest accuracy difference its test can see."""

    attribute: str
    value: str
    by_label: Mapping[str, int]
    n_images: int
    n_patients: int | None
    n_test_images: int
    n_test_groups: int
    detectable_difference: float | None
    is_underpowered: bool


@dataclass(frozen=True)
class PowerRow:
    """The minimum detectable difference (80 % power, two-sided 5 %) of the test set, as a fraction of 1.

    metric: accuracy, or the AUROC of `label` against the rest. is_planned: the split is not made yet.
    """

    metric: str
    label: str | None
    n_test_images: int
    n_test_groups: int
    detectable_difference: float | None
    assumption: str
    is_planned: bool


@dataclass(frozen=True)
class DuplicateCluster:
    """Images that are one picture: by perceptual hash, by embedding, or both. `crosses`: what they disagree in."""

    kind: Literal["exact", "near"]
    image_ids: tuple[str, ...]
    paths: tuple[str | None, ...]
    labels: tuple[str, ...]
    splits: tuple[str | None, ...]
    patients: tuple[str | None, ...]
    similarity: float
    crosses: tuple[Literal["label", "split", "patient"], ...]


@dataclass(frozen=True)
class SuspectImage:
    """An image that a check would show to a person: a probable label error, an outlier, a blank or tiny image."""

    check: str
    image_id: str
    path: str | None
    label: str
    score: float
    detail: str


@dataclass(frozen=True)
class SkinToneFacts:
    """Skin types given, said to be unknown, and estimated; ITA in degrees of every image where it was measured.

    ita_by_type: Fitzpatrick type as given ('1' to '6', or 'not given') -> ITA values.
    """

    n_given: int
    n_unknown: int
    n_estimated: int
    ita_by_type: Mapping[str, tuple[float, ...]]
    sentence: str


@dataclass(frozen=True)
class QuarantineReason:
    """Why rows were set aside, how many, and the first few (name, line)."""

    reason: str
    n_rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class IntakeFacts:
    """Everything the intake page shows. `answer`: can this data carry the study, in one sentence; state: the worst."""

    state: State
    answer: str
    source_format: str
    data_license: str
    n_rows_in: int
    n_kept: int
    n_quarantined: int
    is_split: bool
    columns: Mapping[str, str]
    column_reasons: Mapping[str, str]
    notes: tuple[str, ...]
    checks: tuple[CheckRow, ...]
    classes: tuple[ClassRow, ...]
    montage: Mapping[str, tuple[str, ...]]
    """Class -> paths of a seeded sample of its images."""
    confounds: tuple[ConfoundRow, ...]
    subgroups: tuple[SubgroupRow, ...]
    power: tuple[PowerRow, ...]
    duplicates: tuple[DuplicateCluster, ...]
    n_duplicate_clusters: int
    """Of which `duplicates` shows the worst."""
    suspects: tuple[SuspectImage, ...]
    quarantine: tuple[QuarantineReason, ...]
    skin_tone: SkinToneFacts | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Checks that could not run, and why."""
    n_patients: int | None = None
    """Patients over all classes (one may have images of several); null when none is known."""
    n_groups: int | None = None
    """Groups over all classes: what a split may not part."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers (a NaN becomes null)."""
        return to_plain(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IntakeFacts:
        """The facts again. Raises KeyError for a missing field, TypeError for a field of the wrong shape."""
        return from_plain(cls, value)
