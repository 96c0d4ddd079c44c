"""ROC, precision-recall and calibration curves of a model with pointwise bands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tenfold.evaluation.external_contents import CurveBand, ReliabilityBin
from tenfold.evaluation.given_predictions import GivenModel
from tenfold.evaluation.model_estimates import Judge, probs_of
from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.bands import Band, pr_band, reliability_band, roc_band

_DIGITS = 6


def with_curves(
    judge: Judge, models: Sequence[GivenModel], reference: GivenModel, metric: str, most: int
) -> list[GivenModel]:
    """The reference and the best of the others by the metric, at most `most`: bands of all of many models take long."""
    others = [model for model in models if model is not reference]
    others.sort(key=lambda model: -(judge.scorer.estimate(model.key, metric).value or 0.0))
    return [reference, *others[: most - 1]]


def curve_bands(judge: Judge, model: GivenModel) -> list[CurveBand]:
    """Both curves of every class that has test images and others beside them."""
    given, draws, probs = judge.given, judge.scorer.patient_draws, probs_of(model)
    curves = []
    for index, label in enumerate(given.labels):
        is_positive = judge.truth == index
        if not is_positive.any() or is_positive.all():
            continue
        scores = probs[:, :, index]
        bands = {
            "roc": (roc_band(is_positive, scores, given.patients, draws), f"auroc.{label}"),
            "precision_recall": (
                pr_band(is_positive, scores, given.patients, draws),
                f"average_precision.{label}",
            ),
        }
        curves += [_curve(judge, model, (label, kind), band, area) for kind, (band, area) in bands.items()]
    return curves


def reliability_bins(judge: Judge, probs: FloatArray, bins: int) -> tuple[ReliabilityBin, ...]:
    """Of runs' probabilities (K, N, C): the top probability against the share named rightly."""
    found = reliability_band(judge.truth, probs, judge.given.patients, judge.scorer.patient_draws, bins=bins)
    band = found.band
    return tuple(
        ReliabilityBin(
            confidence=_number(found.predicted[place]), accuracy=_number(band.value[place]),
            low=_number(band.low[place]), high=_number(band.high[place]), share=float(found.share[place]),
        )
        for place in range(bins)
    )  # fmt: skip


def _curve(judge: Judge, model: GivenModel, name: tuple[str, str], band: Band, area: str) -> CurveBand:
    label, kind = name
    y, low, high = (tuple(_number(value) for value in values) for values in (band.value, band.low, band.high))
    return CurveBand(
        model=model.name,
        label=label,
        kind=kind,
        x=tuple(round(float(value), _DIGITS) for value in band.grid),
        y=y,
        low=low,
        high=high,
        area=judge.scorer.estimate(model.key, area),
    )


def _number(value: np.float64) -> float | None:
    return round(float(value), _DIGITS) if math.isfinite(value) else None
