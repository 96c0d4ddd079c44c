"""Simulated studies with a known truth: coverage of the intervals, and Type I error of the tests (docs/statistics.md).

    nice -n 19 python scripts/coverage_study.py coverage --out coverage.jsonl
    nice -n 19 python scripts/coverage_study.py tests --out tests.jsonl
    nice -n 19 python scripts/coverage_study.py readings --out readings.jsonl

What is simulated stands in simulated_studies.py. One JSON row a setting is appended as it is done.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from simulated_studies import CLASSES, SEED_SPREAD, SEEDS, Sample, simulate, truth

from tenfold.metrics.arrays import one_weighting
from tenfold.metrics.bootstrap import (
    Draws,
    crossed_error_interval,
    crossed_interval,
    crossed_share_interval,
    draw_metric,
    draw_patients,
)
from tenfold.metrics.catalog import METRICS
from tenfold.metrics.curve_fit import equivalent_images
from tenfold.metrics.delong import auroc_interval, clustered_delong, delong
from tenfold.metrics.equivalence import equivalence
from tenfold.metrics.paired_tests import clustered_mcnemar, holm, mcnemar, permutation_test
from tenfold.metrics.power_law import fit_power_law
from tenfold.metrics.ranking import auroc
from tenfold.metrics.saturation import saturation_point

LEVEL = 0.95
SIGNALS = (1.6, 2.0)
TEST_DRAWS = 400
SIZES = (30, 60, 100, 200)
SHAPES = {"single": (1, 1), "clustered": (1, 4)}
"""Least and most images a patient."""
CORE = ("accuracy", "macro_auroc", "brier_score")
MORE = (
    "balanced_accuracy",
    "macro_f1",
    "macro_average_precision",
    "macro_sensitivity_at_specificity",
    "log_loss",
    "expected_calibration_error",
)

Setting = tuple[str, tuple[int, int], int]
"""A shape of the test set, its least and most images a patient, and its patients."""


def coverage_rows(settings: list[Setting], studies: int, draws: int) -> Iterator[dict[str, object]]:
    """Of the crossed interval: each figure of one arm, and the difference of two arms."""
    names = (*CORE, *MORE)
    expected = truth(names, SIGNALS)
    for setting in settings:
        is_long = setting[1] != (1, 1) and setting[2] in (30, 100)
        yield from _coverage_of(names if is_long else CORE, expected, setting, studies, draws)


def _coverage_of(
    metrics: tuple[str, ...], expected: dict[str, np.ndarray], setting: Setting,
    studies: int, draws: int,
) -> Iterator[dict[str, object]]:  # fmt: skip
    shape, images, size = setting
    rng = np.random.default_rng([size, images[1]])
    hits: dict[tuple[str, str], list[float]] = defaultdict(list)
    widths: dict[tuple[str, str], list[float]] = defaultdict(list)
    started = time.monotonic()
    for _ in range(studies):
        strengths = np.array(SIGNALS)[:, None] + rng.normal(0, SEED_SPREAD, (2, SEEDS))
        sample = simulate(rng, size, images, strengths)
        patient_draws = draw_patients(sample.patients, sample.labels, draws, rng)
        boundary = len(np.unique(sample.patients)) // CLASSES
        for name in metrics:
            metric = METRICS[name]
            arms = [
                Draws.of_scores(draw_metric(metric.compute, sample.labels, probs, patient_draws))
                for probs in sample.probs
            ]
            if metric.is_share:
                single = crossed_share_interval(arms[1], patient_draws, boundary_count=boundary)
            else:
                single = crossed_error_interval(arms[1], patient_draws)
            difference = crossed_interval(arms[1].minus(arms[0]), patient_draws)
            for kind, interval, target in (
                ("one arm", single, expected[name][1]),
                ("difference", difference, expected[name][1] - expected[name][0]),
            ):
                hits[name, kind].append(interval.low <= target <= interval.high)
                widths[name, kind].append((interval.high - interval.low) / 2)
    for name, kind in hits:
        yield _row(
            "coverage", hits[name, kind], figure=name, kind=kind, shape=shape, patients=size, draws=draws,
            half_width=round(float(np.nanmean(widths[name, kind])), 4), seconds=round(time.monotonic() - started),
        )  # fmt: skip


Test = Callable[[Sample, np.random.Generator], float]


def single_seed_tests() -> dict[str, Test]:
    """p-values of the tests of two trained classifiers, from the first seed of each of two arms."""

    def right(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        first, second = (sample.logits[arm, 0].argmax(axis=1) == sample.labels for arm in (0, 1))
        return first, second

    def scores(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return sample.labels == 1, sample.probs[0, 0, :, 1], sample.probs[1, 0, :, 1]

    def brier(sample: Sample) -> list[np.ndarray]:
        return [((sample.probs[arm, 0] - np.eye(CLASSES)[sample.labels]) ** 2).sum(axis=1) for arm in (0, 1)]

    def permuted(first: np.ndarray, second: np.ndarray, sample: Sample, rng: np.random.Generator) -> float:
        return permutation_test(first, second, sample.patients, generator=rng, draws=1000).p_value

    def bootstrap(name: str) -> Test:
        return lambda sample, rng: crossed_p_value(sample, name, 1, rng)

    return {
        "McNemar, mid-p": lambda s, _: mcnemar(*right(s)).p_value,
        "McNemar, exact": lambda s, _: mcnemar(*right(s), kind="exact").p_value,
        "McNemar, asymptotic": lambda s, _: mcnemar(*right(s), kind="asymptotic").p_value,
        "clustered McNemar (Durkalski)": lambda s, _: clustered_mcnemar(*right(s), s.patients).p_value,
        "permutation of patients, accuracy": lambda s, rng: permuted(*right(s), s, rng),
        "permutation of patients, Brier": lambda s, rng: permuted(*brier(s), s, rng),
        "DeLong": lambda s, _: delong(*scores(s)).p_value,
        "clustered DeLong (Obuchowski)": lambda s, _: clustered_delong(*scores(s), s.patients).p_value,
        "patient bootstrap, one seed, accuracy": bootstrap("accuracy"),
        "patient bootstrap, one seed, AUROC": bootstrap("macro_auroc"),
    }


def crossed_p_value(sample: Sample, name: str, seeds: int, rng: np.random.Generator) -> float:
    """Of the difference of the first two arms over their first seeds."""
    patient_draws = draw_patients(sample.patients, sample.labels, TEST_DRAWS, rng)
    metric = METRICS[name]
    arms = [
        Draws.of_scores(draw_metric(metric.compute, sample.labels, probs[:seeds], patient_draws))
        for probs in sample.probs[:2]
    ]
    return crossed_interval(arms[1].minus(arms[0]), patient_draws).p_value


def test_rows(settings: list[Setting], studies: int, _: int) -> Iterator[dict[str, object]]:
    """Share of p-values below 5 % when both arms are alike, with and without spread over training runs; and coverage
    of the tests' own intervals where the arms differ."""
    single = single_seed_tests()
    with_spread = {name: single[name] for name in ("McNemar, mid-p", "DeLong")}
    truths = fixed_truths()
    for shape, images, size in settings:
        rng = np.random.default_rng([7, size, images[1]])
        found: dict[tuple[str, float], list[float]] = defaultdict(list)
        inside: dict[str, list[float]] = defaultdict(list)
        for _study in range(studies):
            for spread, tests in ((0.0, single), (SEED_SPREAD, with_spread)):
                alike = simulate(rng, size, images, SIGNALS[0] + rng.normal(0, spread, (2, 1)))
                for name, test in tests.items():
                    found[name, spread].append(test(alike, rng) < 1 - LEVEL)
            differing = simulate(rng, size, images, np.array(SIGNALS)[:, None])
            for name, (low, high) in fixed_intervals(differing, rng).items():
                inside[name].append(low <= truths[name.partition(",")[0]] <= high)
        for (name, spread), values in found.items():
            yield _row("type 1", values, test=name, shape=shape, patients=size, seed_spread=spread)
        for name, values in inside.items():
            yield _row("coverage", values, figure=name, kind="fixed classifiers", shape=shape, patients=size)
        yield from _five_seed_rows((shape, images, size), studies)


def fixed_intervals(sample: Sample, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Intervals of two trained classifiers, named by the figure, a comma and the method."""
    positive, (a, b) = sample.labels == 1, sample.probs[:, 0, :, 1]
    right = [logits.argmax(axis=1) == sample.labels for logits in sample.logits[:, 0]]
    found = {
        "accuracy difference, McNemar (Bonett-Price)": mcnemar(*right),
        "accuracy difference, clustered McNemar (t)": clustered_mcnemar(*right, sample.patients),
        "accuracy difference, permutation (cluster t)": permutation_test(
            *right, sample.patients, generator=rng, draws=10
        ),
        "AUROC difference, DeLong": delong(positive, a, b),
        "AUROC difference, Obuchowski": clustered_delong(positive, a, b, sample.patients),
        "AUROC, DeLong (logit)": auroc_interval(positive, b),
        "AUROC, Obuchowski (logit)": auroc_interval(positive, b, sample.patients),
    }
    return {name: (interval.low, interval.high) for name, interval in found.items()}


def fixed_truths() -> dict[str, float]:
    """The expected figures without spread over seeds."""
    sample = simulate(np.random.default_rng(5), 200_001, (1, 1), np.array(SIGNALS)[:, None])
    one = one_weighting(len(sample.labels))
    areas = [float(auroc(sample.labels == 1, probs[0, :, 1], one)[0]) for probs in sample.probs]
    shares = [METRICS["accuracy"].point(sample.labels, probs[0]) for probs in sample.probs]
    return {
        "accuracy difference": shares[0] - shares[1],
        "AUROC difference": areas[0] - areas[1],
        "AUROC": areas[1],
    }


def _five_seed_rows(setting: Setting, studies: int) -> Iterator[dict[str, object]]:
    """The crossed bootstrap of five seeds, Holm's family of four tests, and non-inferiority at its margin."""
    shape, images, size = setting
    rng = np.random.default_rng([11, size, images[1]])
    found: dict[str, list[float]] = defaultdict(list)
    expected = truth(("accuracy",), SIGNALS)["accuracy"]
    margin = float(expected[1] - expected[0])
    for _ in range(studies):
        strengths = SIGNALS[0] + rng.normal(0, SEED_SPREAD, (2, SEEDS))
        sample = simulate(rng, size, images, strengths)
        for name in ("accuracy", "macro_auroc"):
            found[f"crossed bootstrap, five seeds, {name}"].append(crossed_p_value(sample, name, SEEDS, rng) < 0.05)
        alike = simulate(rng, size, images, np.full((5, 1), SIGNALS[0]))
        right = alike.logits[:, 0].argmax(axis=2) == alike.labels
        p_values = [clustered_mcnemar(arm, right[0], alike.patients).p_value for arm in right[1:]]
        found["any of four clustered McNemar tests"].append(min(p_values) < 0.05)
        found["any of four, Holm"].append(min(p for p in holm(p_values) if p is not None) < 0.05)
        worse = simulate(rng, size, images, np.array(SIGNALS)[:, None] + rng.normal(0, SEED_SPREAD, (2, SEEDS)))
        draws = draw_patients(worse.patients, worse.labels, TEST_DRAWS, rng)
        better, arm = (
            Draws.of_scores(draw_metric(METRICS["accuracy"].compute, worse.labels, probs, draws))
            for probs in worse.probs[::-1]
        )
        interval = crossed_interval(arm.minus(better), draws)
        word = equivalence(interval.value, interval.standard_error, interval.degrees_of_freedom, margin).word
        found["non-inferior at exactly the margin (2.5 % nominal)"].append(word in ("non_inferior", "equivalent"))
    for name, values in found.items():
        yield _row("type 1", values, test=name, shape=shape, patients=size, seed_spread=SEED_SPREAD)


def reading_rows(_: list[Setting], studies: int, __: int) -> Iterator[dict[str, object]]:
    """Power laws, saturation points and real-image equivalents of points whose covariance is itself estimated."""
    sizes, ratios = np.array([5, 10, 20, 40, 80]), np.array([1.0, 2.0, 5.0, 10.0, 25.0, 50.0])
    errors, gains = 0.1 + 0.8 * sizes**-0.7, 0.05 * (1 - np.exp(-ratios / 3))
    exact = saturation_point(ratios, gains, np.eye(6) * 1e-12, 1e6).value or math.nan
    # an arm at 10 a class that is worth 30: halfway from 20 to 40 in log size
    curve_and_arm = np.append(1 - errors, 1 - np.interp(np.log(30), np.log(sizes), errors))
    for error in (0.003, 0.01):
        rng, hits = np.random.default_rng(3), defaultdict[str, list[float]](list)
        for _study in range(studies):
            law = fit_power_law(sizes, *_noisy(rng, errors, error), generator=rng, draws=500)
            if law.exponent is not None and not law.is_floor_fixed:
                hits["exponent of a power law"].append(law.exponent.low <= 0.7 <= law.exponent.high)
            point = saturation_point(ratios, *_noisy(rng, gains, error))
            if point.low is not None and point.high is not None:
                hits["saturation point"].append(point.low <= exact and (point.high >= exact or point.bounds[2] != ""))
            worth = equivalent_images(
                sizes, *_noisy(rng, curve_and_arm, error), training_size=10, generator=rng, draws=500
            )
            if worth.low is not None and worth.high is not None:
                hits["real-image equivalents"].append(worth.low <= 20 <= worth.high)
        for name, values in hits.items():
            yield _row(
                "coverage", values, figure=name, error=error, given_percent=round(100 * len(values) / studies, 1)
            )


def _noisy(rng: np.random.Generator, mean: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Points around a mean with half of their variance shared, an estimate of their covariance, and its degrees."""
    covariance = error**2 * (0.5 * np.eye(len(mean)) + 0.5)
    samples = rng.multivariate_normal(np.zeros(len(mean)), covariance, 11)
    return mean + rng.multivariate_normal(np.zeros(len(mean)), covariance), np.cov(samples.T), 10.0


def _row(what: str, values: list[float], **settings: object) -> dict[str, object]:
    share = float(np.mean(values)) if values else math.nan
    error = math.sqrt(share * (1 - share) / len(values)) if values else math.nan
    return {
        "what": what,
        "percent": round(100 * share, 2),
        "standard_error": round(100 * error, 2),
        "n": len(values),
        **settings,
    }


PARTS = {"coverage": coverage_rows, "tests": test_rows, "readings": reading_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws a study")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--patients", nargs="+", type=int, default=SIZES)
    options = parser.parse_args()
    settings = [(shape, SHAPES[shape], size) for shape in options.shapes for size in options.patients]
    for row in PARTS[options.part](settings, options.studies, options.draws):
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
