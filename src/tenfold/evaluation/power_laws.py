"""Power laws through the learning curves: how fast each arm's error falls with more real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.evaluation.contents import Estimate
from tenfold.evaluation.design_contents import PowerLaw
from tenfold.evaluation.scoring import ArmKey, Scorer, finite
from tenfold.evaluation.verdict import MINIMUM_SEEDS
from tenfold.metrics.bootstrap import crossed_covariance
from tenfold.metrics.power_law import Parameter, fit_power_law

GRID_POINTS = 40


def power_laws(scorer: Scorer, metric: str, *, seed: int, draws: int) -> list[PowerLaw]:
    """The fit of every arm that was run at two sizes or more; the metric lies in [0, 1] and is better when higher."""
    arms = dict.fromkeys(arm for arm, _ in sorted(scorer.study.arms) if len(scorer.study.sizes_of(arm)) >= 2)
    return [_power_law(scorer, arm, metric, seed=seed, draws=draws) for arm in arms]


def _power_law(scorer: Scorer, arm: str, metric: str, *, seed: int, draws: int) -> PowerLaw:
    sizes = scorer.study.sizes_of(arm)
    keys = [(arm, size) for size in sizes]
    seeds = scorer.common_seeds(keys)
    none = PowerLaw(arm, metric, None, None, None, (), (), "")
    if len(seeds) < MINIMUM_SEEDS:
        needed = f"{MINIMUM_SEEDS} are needed"
        return replace(none, text=f"not identified: {len(seeds)} seeds are common to all sizes, {needed}")
    figures = [scorer.scores_of_seeds(key, metric, seeds) for key in keys]
    covariance, degrees = crossed_covariance(figures, scorer.patient_draws)
    grid = np.geomspace(sizes[0], sizes[-1], GRID_POINTS)
    found = fit_power_law(
        sizes,
        1.0 - np.array([figure.points.mean() for figure in figures]),
        covariance,
        degrees,
        generator=numpy_generator(derive_seed(seed, "evaluation", "power law", arm)),
        grid=tuple(float(size) for size in grid),
        draws=draws,
    )
    band = found.band
    return PowerLaw(
        arm=arm,
        metric=metric,
        floor=_estimate(scorer, keys, found.floor, len(seeds)),
        scale=_estimate(scorer, keys, found.scale, len(seeds)),
        exponent=_estimate(scorer, keys, found.exponent, len(seeds)),
        sizes=() if band is None else tuple(round(float(size), 3) for size in band.grid),
        fitted=() if band is None else tuple(round(1.0 - float(error), 6) for error in band.value),
        text=found.text,
    )


def _estimate(scorer: Scorer, keys: Sequence[ArmKey], part: Parameter | None, seed_count: int) -> Estimate | None:
    if part is None:
        return None
    return Estimate(
        value=finite(part.value),
        low=finite(part.low),
        high=finite(part.high),
        n_images=len(scorer.truth),
        n_patients=scorer.patient_draws.patient_count,
        n_seeds=seed_count,
        method=f"power law over {len(keys)} training sizes",
    )
