"""What a study will take and can show, before it runs: counts, time, disk and the smallest difference it can see."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from tenfold.metrics.power import detectable_accuracy_difference, detectable_auroc_difference
from tenfold.studies.assembly import Waves
from tenfold.studies.estimates import Rates
from tenfold.studies.parts import StageName
from tenfold.studies.plan import StudyPlan

_STAGE_WORDS: tuple[tuple[StageName, str], ...] = (
    ("dreambooth", "fine-tunings of the base"),
    ("inpainting", "fine-tunings for inpainting"),
    ("super_resolution", "fine-tunings of the upscaler"),
    ("generate", "synthetic sets"),
    ("teacher", "cross-fitted teachers"),
    ("classify", "classifiers"),
    ("audit", "audits"),
)
DISCORDANCE = 0.2


@dataclass(frozen=True)
class StageRow:
    """One stage of a study: how many runs, in words, and their seconds on one worker after another."""

    stage: str
    work: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Detectable:
    """The smallest differences between two arms that the test set can show with 80 % power, two-sided at 5 %."""

    accuracy: float | None
    auroc: dict[str, float]
    text: str


@dataclass(frozen=True)
class Forecast:
    """`plan.json`: `seconds` are the clock's, on so many workers; `megabytes` what it leaves on the disk."""

    cells: int
    generators: int
    synthetic_images: int
    stages: tuple[StageRow, ...]
    workers: int
    seconds: float
    megabytes: float
    basis: str
    test_images: int
    test_patients: int
    minimum_detectable: Detectable
    notes: tuple[str, ...]
    shared: tuple[str, ...] = ()
    """Folders of other studies that this one uses."""


def forecast(plan: StudyPlan, waves: Waves, table: pd.DataFrame, workers: int, rates: Rates) -> Forecast:
    """The forecast of a plan. table: the real manifest with its ``split``."""
    counted: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for part in waves.parts:
        for step in part.steps:
            counted[step.stage] += 1
            seconds[step.stage] += round(step.seconds)
    prior = sum(
        getattr(step.config, "images_per_class", 0) or 0
        for part in waves.parts
        for step in part.steps
        if step.stage == "generate" and part.name == f"{plan.name}-prior"
    )
    images = sum(made.image_count for made in plan.sets) + prior
    rows = [
        StageRow(
            stage,
            f"{counted[stage]} {words}" + (f", {images} images" if stage == "generate" else ""),
            counted[stage],
            float(seconds[stage]),
        )
        for stage, words in _STAGE_WORDS
        if counted[stage]
    ]
    test = table[table["split"] == "test"]
    megabytes = (
        images * rates.kilobytes_per_image / 1000
        + plan.generator_count * rates.megabytes_per_generator
        + len(plan.cells) * rates.megabytes_per_classifier
    )
    return Forecast(
        cells=len(plan.cells),
        generators=plan.generator_count,
        synthetic_images=images,
        stages=tuple(rows),
        workers=workers,
        seconds=clock_seconds(waves, workers),
        megabytes=megabytes,
        basis=f"on {workers} worker{'s' if workers > 1 else ''}, from {rates.basis}",
        test_images=len(test),
        test_patients=len(_patients(test).unique()),
        minimum_detectable=detectable(test),
        notes=plan.notes,
    )


def clock_seconds(waves: Waves, workers: int) -> float:
    """Seconds until the last part is done: each wave's parts go to the first free worker, in their order."""
    return sum(_last_end((part.seconds for part in wave), workers) for wave in waves.waves)


def detectable(test: pd.DataFrame) -> Detectable:
    """What a test set can show, counted by patients."""
    patients = _patients(test)
    accuracy = detectable_accuracy_difference(patients.nunique(), discordance=DISCORDANCE) if len(test) else None
    aurocs = {}
    for label in sorted(map(str, test["label"].unique())):
        of_label = test["label"] == label
        positive, negative = patients[of_label].nunique(), patients[~of_label].nunique()
        if positive and negative:
            aurocs[label] = detectable_auroc_difference(positive, negative)
    if accuracy is None or not aurocs:
        return Detectable(accuracy, aurocs, "The test set is empty or of one class: no difference can be seen.")
    reach = sorted({f"{min(aurocs.values()):.3f}", f"{max(aurocs.values()):.3f}"})
    text = (
        f"With {len(test)} test images of {patients.nunique()} patients, differences between two arms can be seen with "
        f"80 % power from about {100 * accuracy:.1f} points of accuracy ({100 * DISCORDANCE:g} % discordance) and from "
        f"{' to '.join(reach)} of AUROC by class (0.8 AUROC, correlation 0.5); the spread over seeds comes on top."
    )
    return Detectable(accuracy, aurocs, text)


def _patients(test: pd.DataFrame) -> pd.Series[str]:
    """A name per patient; without one the group counts as one, without either the image."""
    names = "patient " + test["patient_id"].astype("string")
    names = names.fillna("group " + test["group_id"].astype("string"))
    return names.fillna("image " + test["image_id"].astype("string"))


def _last_end(seconds: Iterable[float], workers: int) -> float:
    free = [0.0] * max(workers, 1)
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)
