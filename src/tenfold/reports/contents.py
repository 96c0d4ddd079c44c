"""The typed contents of a report: everything the page shows, before it is drawn; `report.json` is `to_json()`.

Nothing here depends on when or where the run was made: durations, memory and the host are `Timings`, kept apart, so
that the same run folders give the same bytes of `report.json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from tenfold.evaluation.contents import Estimate, Evaluation
from tenfold.reports.review_views import ReviewView

GuardState = Literal["kept", "attention", "not_shown"]
CountedUnit = Literal["patient", "group"]
CONTENTS_VERSION = 1


@dataclass(frozen=True)
class Picture:
    """One image of the workspace; `path` is relative to it."""

    image_id: str
    path: str
    label: str


@dataclass(frozen=True)
class SyntheticPicture:
    """A synthetic image with the training image nearest to it, as the audit found it (None without an audit)."""

    picture: Picture
    nearest: Picture | None
    prompt: str
    is_flagged: bool
    detail: str


@dataclass(frozen=True)
class ClassGallery:
    """The pictures of one class: the guide images given to the generator and some of what it drew."""

    label: str
    guides: tuple[Picture, ...]
    synthetic: tuple[SyntheticPicture, ...]
    n_guides: int
    n_synthetic: int
    n_flagged: int | None


@dataclass(frozen=True)
class Gallery:
    """The pictures of one synthetic set."""

    synthetic_set: str
    checkpoint: str
    strategy: str
    training_size: int
    classes: tuple[ClassGallery, ...]


@dataclass(frozen=True)
class FidelityRow:
    """Precision, recall, density and coverage of `name` against real images, all with `n_images` on each side."""

    name: str
    is_reference: bool
    metrics: Mapping[str, Estimate]
    n_images: int


@dataclass(frozen=True)
class CopyTest:
    """The search for copies in one space (features or pixels).

    `statistic` names what is compared, the lower the nearer; flags begin at `threshold`, read off `n_null` real images.
    """

    space: str
    statistic: str
    n_flagged: int
    n_null: int
    expected_false_flag_fraction: float | None
    median: float | None
    lowest: float | None
    null_median: float | None
    null_lowest: float | None
    threshold: float | None


@dataclass(frozen=True)
class ProbeRow:
    """How well a classifier tells real from synthetic images of one class (AUC 0.5: cannot, 1: always).

    The reference row tells real images from other real ones.
    """

    label: str
    is_reference: bool
    auroc: Estimate


@dataclass(frozen=True)
class Audit:
    """What the audits found in one synthetic set; `missing` says by part why one is not shown."""

    name: str
    synthetic_set: str
    n_synthetic: int
    n_training: int
    n_unseen: int
    n_flagged: int | None
    copy_tests: tuple[CopyTest, ...]
    fidelity: tuple[FidelityRow, ...]
    probe: tuple[ProbeRow, ...]
    notes: tuple[str, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Guard:
    """One safeguard: kept, needing attention, or not to be told from the run, and why."""

    name: str
    state: GuardState
    text: str


@dataclass(frozen=True)
class CountRow:
    """Images by split of one value (a class, a skin type); `n_patients` over all splits."""

    attribute: str
    value: str
    train: int
    val: int
    test: int
    n_images: int
    n_patients: int


@dataclass(frozen=True)
class QuarantineReason:
    """How many rows were set aside for one reason, with the first of them."""

    reason: str
    n_rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class DataSummary:
    """The data the study used."""

    license: str
    source: str
    image_size_px: int | None
    modality: str
    counts: tuple[CountRow, ...]
    n_images: int
    n_patients: int
    n_unsplit: int
    quarantine: tuple[QuarantineReason, ...]
    n_quarantined: int
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """What replays the run."""

    command: str
    command_note: str
    recipe: str
    root_seed: int
    seeds: tuple[Mapping[str, int], ...]
    design: Mapping[str, str]
    n_real_training_images: int
    n_real_validation_images: int


@dataclass(frozen=True)
class ChecklistItem:
    """An item of a reporting guideline; `answer` is None when it is for the authors, `section` the page's anchor."""

    guideline: str
    number: str
    name: str
    answer: str | None
    section: str | None


@dataclass(frozen=True)
class Headline:
    """The top of the page; `further` holds what else the verdict rests on: a choice, a margin, a wider budget."""

    title: str
    question: str
    verdict_title: str
    sentences: tuple[str, str]
    trimmed: tuple[str, ...]
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportContents:
    """The whole page; `class_names` has a name for each label, `missing` says by part why one is not shown.

    `unit` is what every `n_patients` and `n_test_patients` counts: groups where not every image names its patient.
    """

    study: str
    class_names: Mapping[str, str]
    headline: Headline
    evaluation: Evaluation
    best_control: str | None
    gallery: Gallery | None
    audits: tuple[Audit, ...]
    guards: tuple[Guard, ...]
    data: DataSummary | None
    record: Record
    checklists: tuple[ChecklistItem, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    unit: CountedUnit = "patient"
    review: ReviewView | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; every estimate with its interval, images and patients."""
        plain = cast(dict[str, Any], _plain(self))
        return {"contents_version": CONTENTS_VERSION, **plain, "evaluation": self.evaluation.to_json()}


@dataclass(frozen=True)
class StageTiming:
    """All runs of one stage: how many, their seconds added up, the largest peak memory, the hash of their outputs."""

    stage: str
    n_runs: int
    seconds: float
    peak_memory_bytes: int
    outputs_sha256: str


@dataclass(frozen=True)
class Timings:
    """What differs from run to run and machine to machine: `report/timings.json` and the page's last section."""

    stages: tuple[StageTiming, ...]
    started_at: str
    finished_at: str
    environment: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return cast(dict[str, Any], _plain(self))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
