"""The forecast of a study: counts, the clock's time on several workers, and the smallest difference it can see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.metrics.power import detectable_accuracy_difference, detectable_auroc_difference
from tenfold.studies.assembly import Waves, assemble
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.design import plan_study
from tenfold.studies.estimates import DEFAULT_RATES, Linear, Rates
from tenfold.studies.filling import Filling
from tenfold.studies.forecast import clock_seconds, detectable, forecast
from tenfold.studies.parts import Part, Step
from tenfold.studies.run import design_of
from tests.study_tables import made_up_table

CONFIG = StudyRunConfig.model_validate({
    "arms": ["real_only", "real_autoencoder", "hybrid", "hybrid_weighted", "hybrid@pooled"],
    "curve_arms": ["real_only"],
    "training_sizes": [4, 8],
    "synthetic_training_sizes": [4],
    "seeds": 2,
    "synthetic_ratio": 3,
    "prior": {"images": 5},
    "classify": {"max_train_steps": 10, "batch_size": 8},
})  # fmt: skip


def part(name: str, seconds: float) -> Part:
    return Part(name, (Step("classify", CONFIG, seconds),), Path("/w"), Path("/p"))


def test_the_clock_waits_for_each_wave() -> None:
    waves = Waves(((part("a", 4.0), part("b", 3.0), part("c", 2.0)), (part("d", 5.0),)), {})
    assert clock_seconds(waves, 1) == 14.0
    assert clock_seconds(waves, 2) == 5.0 + 5.0
    assert clock_seconds(waves, 8) == 4.0 + 5.0


def test_counts_time_and_what_can_be_seen() -> None:
    table = made_up_table()
    plan = plan_study(design_of(CONFIG), table, 7)
    rates = Rates(basis="a made-up machine", training=Linear(1.0, 0.1), kilobytes_per_image=1000.0)
    filling = Filling(CONFIG, plan, 7, rates)
    waves = assemble(filling, Path("/w"), Path("/p"))
    found = forecast(plan, waves, table, 2, rates)
    assert (found.cells, found.generators) == (2 * 6, 4)
    # Two classes; per seed 4 round trips, 12 drawn and 12 of the pooled generator, and once the prior images.
    assert found.synthetic_images == 2 * 2 * (4 + 12 + 12) + 5
    counted = {row.stage: row.runs for row in found.stages}
    assert counted == {"dreambooth": 4, "generate": 7, "teacher": 2, "classify": 12, "audit": 4}
    seconds = {row.stage: row.seconds for row in found.stages}
    assert seconds["classify"] == 12 * (1.0 + 10 * 8 * 0.1)
    assert found.megabytes > found.synthetic_images
    assert (found.test_images, found.test_patients) == (20, 20)
    assert "a made-up machine" in found.basis and "2 workers" in found.basis


def test_every_part_comes_after_what_it_needs_and_once() -> None:
    plan = plan_study(design_of(CONFIG), made_up_table(), 7)
    waves = assemble(Filling(CONFIG, plan, 7, DEFAULT_RATES), Path("/w"), Path("/p"))
    number = {part.name: wave for wave, parts in enumerate(waves.waves) for part in parts}
    assert len(number) == len(waves.parts)
    for name, needs in waves.needs.items():
        assert all(number[need] < number[name] for need in needs)
    assert "main-prior" in waves.needs["main-n4-s0"]
    assert waves.needs["main-hybrid-weighted-n4-s0"] == ("main-n4-s0", "main-teacher-n4-s0")
    # Cells without synthetic images fill the wave of the fine-tunings.
    assert number["main-real-only-n8-s0"] == number["main-n4-s0"]


def test_the_smallest_difference_counts_patients() -> None:
    test = made_up_table(test=30).query("split == 'test'").copy()
    test["patient_id"] = [f"p{number // 3}" for number in range(len(test))]
    found = detectable(test)
    assert found.accuracy == pytest.approx(detectable_accuracy_difference(20))
    assert found.auroc == {label: pytest.approx(detectable_auroc_difference(10, 10)) for label in ("a", "b")}
    assert "60 test images of 20 patients" in found.text
    assert "no difference can be seen" in detectable(test.iloc[:0]).text
