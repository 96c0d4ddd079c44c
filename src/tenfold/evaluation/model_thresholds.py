"""Thresholds and temperatures fitted on each run's validation images, and what they do on the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tenfold.evaluation.estimate import Estimate
from tenfold.evaluation.external_contents import Calibration, OperatingPoint, PrevalencePoint, ReliabilityBin
from tenfold.evaluation.given_predictions import GivenModel, Scored
from tenfold.evaluation.model_curves import reliability_bins
from tenfold.evaluation.model_estimates import Judge, probs_of
from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, WeightedMetric
from tenfold.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    tempered,
)
from tenfold.metrics.classification import decided, sensitivity_per_class, specificity_per_class
from tenfold.metrics.prevalence import npv_at_prevalence, ppv_at_prevalence
from tenfold.metrics.thresholds import (
    NpvAtThreshold,
    PpvAtThreshold,
    SensitivityAtThreshold,
    SpecificityAtThreshold,
    Threshold,
    threshold_at_sensitivity,
    threshold_at_specificity,
    youden_threshold,
)

MOST_PROBABLE = "the most probable class"
_FIGURES = {"expected_calibration_error": expected_calibration_error, "brier_score": brier_score, "log_loss": log_loss}
Rule = Callable[[BoolArray, FloatArray], Threshold]


def threshold_rules(sensitivity: float, specificity: float) -> dict[str, Rule]:
    """The rules by which thresholds are chosen, by the words that a reader sees."""
    return {
        f"specificity {specificity:g} on validation": lambda is_positive, scores: threshold_at_specificity(
            is_positive, scores, specificity
        ),
        f"sensitivity {sensitivity:g} on validation": lambda is_positive, scores: threshold_at_sensitivity(
            is_positive, scores, sensitivity
        ),
        "Youden's index on validation": youden_threshold,
    }


def operating_points(
    judge: Judge, model: GivenModel, rules: Mapping[str, Rule], prevalence: Mapping[str, float]
) -> tuple[list[OperatingPoint], list[PrevalencePoint], list[str]]:
    """Each class at each rule's thresholds, its predictive values at a stated prevalence, and notes.

    Without validation rows, or where a run's hold no image of a class (or no other), there is no point of that class;
    predictive values of the most probable class need no threshold.
    """
    labels, probs = judge.given.labels, probs_of(model)
    points: list[OperatingPoint] = []
    forecasts: list[PrevalencePoint] = []
    notes: list[str] = []
    rates = judge.draws(sensitivity_per_class, probs), judge.draws(specificity_per_class, probs)
    for index, label in enumerate(labels):
        is_class = judge.truth == index
        if not is_class.any():
            continue
        called = np.stack([decided(run) == index for run in probs])
        if label in prevalence:
            pair = rates[0][..., index], rates[1][..., index]
            forecasts.append(_forecast(judge, (model.name, label, MOST_PROBABLE), prevalence[label], pair, called))
        validations = [run.validation for run in model.runs if run.validation is not None]
        if len(validations) < len(model.runs):
            continue
        of_class = [int((validation.truth == index).sum()) for validation in validations]
        if not all(0 < count < len(validation.truth) for count, validation in zip(of_class, validations, strict=True)):
            notes.append(
                f"{model.name}: no threshold for {label}, as validation images of it or of others are missing."
            )
            continue
        for rule, choose in rules.items():
            fitted = [choose(validation.truth == index, validation.probs[:, index]) for validation in validations]
            point, pair, above = _point(judge, index, fitted, probs)
            points.append(
                OperatingPoint(
                    model=model.name, label=label, rule=rule,
                    thresholds=tuple(threshold.value for threshold in fitted),
                    n_validation_images=float(np.mean([len(validation.truth) for validation in validations])),
                    n_validation_positive=float(np.mean(of_class)),
                    **point,
                )
            )  # fmt: skip
            if label in prevalence:
                forecasts.append(_forecast(judge, (model.name, label, rule), prevalence[label], pair, above))
    return points, forecasts, notes


def calibration(judge: Judge, model: GivenModel, bins: int) -> Calibration:
    """How far the probabilities can be believed, as given and after a temperature fitted on validation images."""
    probs = probs_of(model)
    temperatures: tuple[float, ...] = ()
    calibrated: dict[str, Estimate] = {}
    calibrated_bins: tuple[ReliabilityBin, ...] = ()
    if model.has_validation:
        fitted = [(run.test, run.validation) for run in model.runs if run.validation is not None]
        temperatures = tuple(_temperature(validation) for _, validation in fitted)
        cooled = np.stack([tempered(test.logits, t) for (test, _), t in zip(fitted, temperatures, strict=True)])
        calibrated = _figures(judge, cooled)
        calibrated_bins = reliability_bins(judge, cooled, bins)
    return Calibration(
        model=model.name,
        temperatures=temperatures,
        given=_figures(judge, probs),
        calibrated=calibrated,
        given_bins=reliability_bins(judge, probs, bins),
        calibrated_bins=calibrated_bins,
    )


def _temperature(validation: Scored) -> float:
    return fit_temperature(validation.logits, validation.truth)


def _figures(judge: Judge, probs: FloatArray) -> dict[str, Estimate]:
    return {name: judge.error(judge.draws(kernel, probs), name) for name, kernel in _FIGURES.items()}


def _point(
    judge: Judge, index: int, fitted: Sequence[Threshold], probs: FloatArray
) -> tuple[dict[str, Estimate], tuple[FloatArray, FloatArray], BoolArray]:
    is_class = judge.truth == index
    # The class alone, as class 0: the other columns would be counted in vain.
    labels: IntArray = np.where(is_class, 0, 1).astype(np.int64)
    own = probs[:, :, [index]]
    called = np.stack([run[:, index] >= threshold.value for run, threshold in zip(probs, fitted, strict=True)])
    some, spared = _ever(called), _ever(~called)
    kernels: dict[str, tuple[Callable[[tuple[float, ...]], WeightedMetric], BoolArray]] = {
        "sensitivity": (SensitivityAtThreshold, is_class),
        "specificity": (SpecificityAtThreshold, ~is_class),
        "ppv": (PpvAtThreshold, some),
        "npv": (NpvAtThreshold, spared),
    }
    scores = {
        figure: np.stack(
            [
                kernel((threshold.value,))(labels, run, judge.weights)[..., 0]
                for threshold, run in zip(fitted, own, strict=True)
            ]
        )
        for figure, (kernel, _) in kernels.items()
    }
    estimates = {figure: judge.share(scores[figure], rests_on) for figure, (_, rests_on) in kernels.items()}
    return estimates, (scores["sensitivity"], scores["specificity"]), called


def _forecast(
    judge: Judge, name: tuple[str, str, str], prevalence: float, rates: tuple[FloatArray, FloatArray], called: BoolArray
) -> PrevalencePoint:
    """Predictive values from drawn sensitivities and specificities (K, 1 + D); `called` (K, N)."""
    model, label, rule = name
    some, spared = _ever(called), _ever(~called)
    is_class = judge.truth == judge.given.labels.index(label)
    return PrevalencePoint(
        model=model,
        label=label,
        rule=rule,
        prevalence=prevalence,
        test_prevalence=float(is_class.mean()),
        ppv=judge.share(ppv_at_prevalence(*rates, prevalence), some),
        npv=judge.share(npv_at_prevalence(*rates, prevalence), spared),
    )


def _ever(called: BoolArray) -> BoolArray:
    """The images (N,) that any run calls so, of (K, N)."""
    return np.asarray(called.any(axis=0), dtype=np.bool_)
