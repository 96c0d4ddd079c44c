"""The learning curve of every arm, and what an arm is worth in real images on the best control's curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.evaluation.comparison import Primary
from tenfold.evaluation.contents import CurvePoint, Equivalents
from tenfold.evaluation.designs import ArmDesigns
from tenfold.evaluation.scoring import ArmKey, Scorer
from tenfold.evaluation.verdict import MINIMUM_SEEDS
from tenfold.metrics.bootstrap import crossed_covariance
from tenfold.metrics.curve_fit import EquivalentImages, equivalent_images


def curve_points(scorer: Scorer, metrics: Sequence[str]) -> list[CurvePoint]:
    """Every arm at every size it was run at, by each metric."""
    return [
        CurvePoint(arm, size, metric, scorer.estimate((arm, size), metric))
        for metric in metrics
        for arm, size in sorted(scorer.study.arms)
    ]


def equivalents(scorer: Scorer, primary: Primary, designs: ArmDesigns, *, seed: int, draws: int) -> list[Equivalents]:
    """Of every arm but the control itself: the real images a class worth the same figure.

    Arms of real images alone are read off at the primary size, arms with more than them at every size they were run
    at. The control is the best one at the primary size that was run at two sizes or more.
    """
    control = _curve_control(scorer, primary)
    size = primary.training_size
    keys = [
        key for key in sorted(scorer.study.arms)
        if key[0] != control and (key[1] == size or designs[key].synthetic_ratio > 0)
    ]  # fmt: skip
    return [_equivalent(scorer, primary, control, key, seed=seed, draws=draws) for key in keys]


def _curve_control(scorer: Scorer, primary: Primary) -> str | None:
    with_curve = [control for control in primary.present_controls(scorer) if len(scorer.study.sizes_of(control)) >= 2]
    figures = {
        control: float(scorer.scores((control, primary.training_size), primary.metric).points.mean())
        for control in with_curve
    }
    return max(with_curve, key=lambda control: figures[control]) if with_curve else None


def _equivalent(
    scorer: Scorer, primary: Primary, control: str | None, key: ArmKey, *, seed: int, draws: int
) -> Equivalents:
    if control is None:
        return _wrapped(
            key,
            None,
            primary.metric,
            EquivalentImages.not_estimable("no control was run at two training sizes or more"),
        )
    sizes = scorer.study.sizes_of(control)
    keys = [*((control, size) for size in sizes), key]
    seeds = scorer.common_seeds(keys)
    if len(seeds) < MINIMUM_SEEDS:
        reason = f"only {len(seeds)} seeds are common to all points of the curve, {MINIMUM_SEEDS} are needed"
        return _wrapped(key, control, primary.metric, EquivalentImages.not_estimable(reason))
    figures = [scorer.scores_of_seeds(member, primary.metric, seeds) for member in keys]
    covariance, degrees = crossed_covariance(figures, scorer.patient_draws)
    found = equivalent_images(
        sizes,
        np.array([figure.points.mean() for figure in figures]),
        covariance,
        degrees,
        training_size=key[1],
        generator=numpy_generator(derive_seed(seed, "evaluation", "equivalents", key[0], key[1])),
        draws=draws,
    )
    return _wrapped(key, control, primary.metric, found)


def _wrapped(key: ArmKey, control: str | None, metric: str, found: EquivalentImages) -> Equivalents:
    return Equivalents(key[0], control, key[1], metric, found.text, found.value, found.low, found.high)
