"""Coverage of the crossed interval: simulated studies with known truth (figures in `metrics.bootstrap`)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tenfold.metrics.bootstrap import Draws, crossed_interval, draw_metric, draw_patients
from tenfold.metrics.catalog import METRICS

PATIENTS, IMAGES_PER_PATIENT, STUDIES, DRAWS = 80, 2, 1000, 200
SIGNALS, SEED_SPREAD, PATIENT_SPREAD = (1.0, 1.3), 0.15, 0.6


def simulate(rng: np.random.Generator, seeds: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Two arms' scores for one study: patients' effects and their interaction with the arm are shared by the seeds."""
    patients = np.repeat(np.arange(PATIENTS), IMAGES_PER_PATIENT)
    labels = (patients % 2).astype(np.int64)
    common = rng.normal(0, PATIENT_SPREAD, PATIENTS)[patients]
    arms = []
    for signal in SIGNALS:
        of_arm = rng.normal(0, PATIENT_SPREAD / 2, PATIENTS)[patients]
        strength = signal + rng.normal(0, SEED_SPREAD, seeds)[:, None]
        noise = rng.normal(0, 1, (seeds, len(patients)))
        arms.append(strength * (2 * labels - 1) / 2 + common + of_arm + noise)
    return patients, labels, arms


def truth(metric: str) -> float:
    """The expected difference over patients and seeds, in closed form (scores are normal within a class)."""
    spread = np.sqrt(1 + PATIENT_SPREAD**2 * 1.25)
    strengths, weights = np.polynomial.hermite_e.hermegauss(40)
    values = []
    for signal in SIGNALS:
        distance = (signal + SEED_SPREAD * strengths) / spread
        value = stats.norm.cdf(distance / np.sqrt(2) if metric == "macro_auroc" else distance / 2)
        values.append(float((weights * value).sum() / weights.sum()))
    return values[1] - values[0]


def coverage(metric: str, seeds: int, studies: int = STUDIES) -> float:
    rng = np.random.default_rng(7)
    target, covered = truth(metric), 0
    for _ in range(studies):
        patients, labels, arms = simulate(rng, seeds)
        patient_draws = draw_patients(patients, labels, DRAWS, rng)
        figures = []
        for scores in arms:
            positive = 1 / (1 + np.exp(-scores))
            probs = np.stack([1 - positive, positive], axis=2)
            figures.append(Draws.of_scores(draw_metric(METRICS[metric].compute, labels, probs, patient_draws)))
        interval = crossed_interval(figures[1].minus(figures[0]), patient_draws)
        covered += interval.low <= target <= interval.high
    return covered / studies


def test_quick_coverage_of_five_seeds() -> None:
    """300 studies only, so a wider margin; the slow test runs 1,000 of each kind."""
    assert 0.92 <= coverage("macro_auroc", 5, studies=300) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "macro_auroc"])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_95_percent_interval_covers_about_95_percent(metric: str, seeds: int) -> None:
    assert 0.92 <= coverage(metric, seeds) <= 0.98


@pytest.mark.slow
def test_without_the_seed_part_the_interval_would_cover_too_little() -> None:
    rng = np.random.default_rng(11)
    target, covered, studies = truth("macro_auroc"), 0, 300
    for _ in range(studies):
        patients, labels, arms = simulate(rng, 1)
        patient_draws = draw_patients(patients, labels, DRAWS, rng)
        figures = []
        for scores in arms:
            positive = 1 / (1 + np.exp(-scores))
            probs = np.stack([1 - positive, positive], axis=2)
            figures.append(Draws.of_scores(draw_metric(METRICS["macro_auroc"].compute, labels, probs, patient_draws)))
        interval = crossed_interval(figures[1].minus(figures[0]), patient_draws)
        covered += interval.low <= target <= interval.high
    assert covered / studies < 0.94
