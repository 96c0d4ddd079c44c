"""Models compared with a reference: differences with intervals, tests of the trained models as they are, margins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.evaluation.external_contents import ModelComparison, PairedTestRow, PlannedDifference
from tenfold.evaluation.given_predictions import GivenModel
from tenfold.evaluation.model_estimates import Judge, half_width, median, probs_of, run_pairs
from tenfold.evaluation.scoring import finite, minimum_detectable
from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray
from tenfold.metrics.bootstrap import Draws, crossed_interval
from tenfold.metrics.classification import decided
from tenfold.metrics.delong import clustered_delong, delong
from tenfold.metrics.equivalence import equivalence
from tenfold.metrics.paired_tests import PairedTest, clustered_mcnemar, holm, mcnemar, permutation_test
from tenfold.metrics.power import detectable_accuracy_difference, detectable_auroc_difference

OTHER_METRICS = ("macro_auroc", "accuracy", "balanced_accuracy", "macro_f1", "brier_score")
FIRST_FAMILY, OTHER_FAMILY = "the metric named before", "other metrics"
DISCORDANCE = 0.2


def compare_models(
    judge: Judge, models: Sequence[GivenModel], reference: GivenModel, metric: str, margin: float | None
) -> list[ModelComparison]:
    """Every other model against the reference, first by `metric`, for which the margin counts, then by others."""
    others = [model for model in models if model is not reference]
    families = {
        FIRST_FAMILY: [(model, metric) for model in others],
        OTHER_FAMILY: [(model, name) for model in others for name in OTHER_METRICS if name != metric],
    }
    rows = []
    for family, pairs in families.items():
        found = [
            _comparison(judge, model, reference, name, family, margin if family == FIRST_FAMILY else None)
            for model, name in pairs
        ]
        adjusted = holm([row.p_value for row in found])
        rows += [replace(row, p_value_holm=p) for row, p in zip(found, adjusted, strict=True)]
    return rows


def paired_tests(
    judge: Judge, models: Sequence[GivenModel], reference: GivenModel, *, permutations: int, seed: int
) -> list[PairedTestRow]:
    """McNemar's and the permutation test of accuracy, DeLong's of each class's AUROC; Holm within each kind.

    The clustered versions are taken when a patient has several images. Of two classes whose AUROCs are the same number
    the second is left out.
    """
    given = judge.given
    others = [model for model in models if model is not reference]
    classes = range(len(given.labels) - 1) if len(given.labels) == 2 else range(len(given.labels))
    kinds: dict[str, list[PairedTestRow]] = {"mcnemar": [], "permutation": [], "delong": []}
    for model in others:
        names, pairs = (model.name, reference.name), run_pairs(model, reference)
        a, b = probs_of(model)[[i for i, _ in pairs]], probs_of(reference)[[j for _, j in pairs]]
        right_a, right_b = _right(a, given.truth), _right(b, given.truth)
        of_runs = [_accuracy_test(judge, *sides) for sides in zip(right_a, right_b, strict=True)]
        kinds["mcnemar"].append(_row(judge, names, ("mcnemar", None), of_runs))
        generator = numpy_generator(derive_seed(seed, "evaluation", "permutation", *names))
        flipped = permutation_test(
            right_a.astype(np.float64), right_b.astype(np.float64), given.patients, generator=generator,
            draws=permutations,
        )  # fmt: skip
        kinds["permutation"].append(replace(_row(judge, names, ("permutation", None), [flipped]), n_runs=len(pairs)))
        for index in classes:
            of_runs = [
                _auroc_test(judge, index, *sides) for sides in zip(a[:, :, index], b[:, :, index], strict=True)
            ]  # fmt: skip
            kinds["delong"].append(_row(judge, names, ("delong", given.labels[index]), of_runs))
    rows = []
    for found in kinds.values():
        adjusted = holm([row.p_value for row in found])
        rows += [replace(row, p_value_holm=p) for row, p in zip(found, adjusted, strict=True)]
    return rows


def planned_differences(judge: Judge) -> list[PlannedDifference]:
    """What this test set can show at all, from its numbers of patients; before any result is looked at."""
    given = judge.given
    patients = judge.patients_of(np.ones(len(given.truth), dtype=np.bool_))
    rows = [
        PlannedDifference(
            "accuracy", finite(detectable_accuracy_difference(patients, discordance=DISCORDANCE)),
            f"{patients} independent patients; on {100 * DISCORDANCE:.0f} % of them exactly one model is right",
        )
    ]  # fmt: skip
    counts = {
        label: (judge.patients_of(given.truth == index), judge.patients_of(given.truth != index))
        for index, label in enumerate(given.labels)
    }
    label, (positive, negative) = min(
        ((label, pair) for label, pair in counts.items() if min(pair) > 0), key=lambda item: min(item[1])
    )
    rows.append(
        PlannedDifference(
            f"auroc.{label}", finite(detectable_auroc_difference(positive, negative)),
            f"{positive} patients with {label}, the rarest class, and {negative} without; AUROC about 0.8, correlation "
            "of the two models' AUROCs 0.5, one run each",
        )
    )  # fmt: skip
    return rows


def _comparison(
    judge: Judge, model: GivenModel, reference: GivenModel, metric: str, family: str, margin: float | None
) -> ModelComparison:
    pairs = run_pairs(model, reference)
    a, b = judge.scorer.scores(model.key, metric), judge.scorer.scores(reference.key, metric)
    rows_a, rows_b = [i for i, _ in pairs], [j for _, j in pairs]
    figure = Draws(a.points[rows_a], a.draws[rows_a]).minus(Draws(b.points[rows_b], b.draws[rows_b]))
    interval = crossed_interval(figure, judge.scorer.patient_draws)
    estimate = judge.estimate(interval, len(pairs))
    found = None
    if margin is not None:
        found = equivalence(interval.value, interval.standard_error, interval.degrees_of_freedom, margin)
    return ModelComparison(
        model=model.name,
        reference=reference.name,
        metric=metric,
        family=family,
        difference=estimate,
        p_value=finite(interval.p_value),
        p_value_holm=None,
        minimum_detectable_difference=minimum_detectable(interval),
        half_width=half_width(estimate),
        margin=margin,
        equivalence=None if found is None else found.word,
        p_non_inferior=None if found is None else finite(found.p_non_inferior),
        p_equivalent=None if found is None else finite(found.p_equivalent),
    )


def _right(probs: FloatArray, truth: IntArray) -> BoolArray:
    """Whether each run (K, N) decides each image rightly."""
    return np.stack([decided(run) == truth for run in probs])


def _accuracy_test(judge: Judge, right_a: BoolArray, right_b: BoolArray) -> PairedTest:
    if judge.given.has_repeats:
        return clustered_mcnemar(right_a, right_b, judge.given.patients)
    return mcnemar(right_a, right_b)


def _auroc_test(judge: Judge, index: int, scores_a: FloatArray, scores_b: FloatArray) -> PairedTest:
    is_positive = judge.truth == index
    if judge.given.has_repeats:
        return clustered_delong(is_positive, scores_a, scores_b, judge.given.patients)
    return delong(is_positive, scores_a, scores_b)


def _row(
    judge: Judge, names: tuple[str, str], test: tuple[str, str | None], of_runs: Sequence[PairedTest]
) -> PairedTestRow:
    p_value = median([found.p_value for found in of_runs])
    if p_value is not None and len(of_runs) > 1:
        p_value = min(1.0, 2 * p_value)
    return PairedTestRow(
        model=names[0],
        reference=names[1],
        test=test[0],
        label=test[1],
        difference=median([found.difference for found in of_runs]),
        low=median([found.low for found in of_runs]),
        high=median([found.high for found in of_runs]),
        p_value=p_value,
        p_value_holm=None,
        n_runs=len(of_runs),
        n_images=len(judge.truth),
        n_patients=judge.scorer.patient_draws.patient_count,
        method=of_runs[0].method,
    )
