"""Dose curves: an arm's figure by synthetic images per real one, or by share of a batch, and where it saturates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from tenfold.evaluation.comparison import Primary
from tenfold.evaluation.design_contents import ArmDesign, DoseCurve, DoseKind, DosePoint
from tenfold.evaluation.designs import ArmDesigns
from tenfold.evaluation.scoring import Scorer
from tenfold.evaluation.verdict import MINIMUM_SEEDS
from tenfold.metrics.bootstrap import crossed_covariance
from tenfold.metrics.saturation import saturation_point

KINDS: tuple[tuple[DoseKind, str], ...] = (("ratio", "synthetic_ratio"), ("share", "synthetic_share"))
LEAST_DOSES = 3
"""Doses, that of 0 among them, from which a saturation point is looked for."""


def dose_curves(scorer: Scorer, primary: Primary, designs: ArmDesigns) -> list[DoseCurve]:
    """Every arm's curve by ratio and by share at each size where it was run with two doses or more.

    The arms of a curve are alike but for the dose; the control is the first one of the primary comparison with a seed
    in common, and stands for a dose of 0.
    """
    curves = []
    for kind, field in KINDS:
        for members in _alike_but_for(field, designs):
            control = _control(scorer, primary, members)
            if control is not None:
                curves.append(_curve(scorer, primary, control, members, (kind, field)))
    return sorted(curves, key=lambda curve: (curve.kind, curve.base_arm != primary.arm, curve.base_arm))


def _alike_but_for(field: str, designs: ArmDesigns) -> list[list[ArmDesign]]:
    """Groups of arms at one size that differ in nothing but `field`, by rising dose, two doses at least."""
    groups: dict[tuple[object, ...], list[ArmDesign]] = {}
    for design in designs.values():
        if design.strategy != "none":
            alike = {name: value for name, value in asdict(design).items() if name not in ("arm", "description", field)}
            groups.setdefault(tuple(alike.values()), []).append(design)
    found = []
    for members in groups.values():
        ordered = sorted(members, key=lambda design: (design.is_variant, design.arm), reverse=True)
        by_dose = {getattr(design, field): design for design in ordered}
        if len(by_dose) >= 2:
            found.append([by_dose[dose] for dose in sorted(by_dose)])
    return found


def _control(scorer: Scorer, primary: Primary, members: Sequence[ArmDesign]) -> str | None:
    """The first control that has a seed in common with all of the arms."""
    size = members[0].training_size
    for control in primary.controls:
        keys = [(control, size), *((member.arm, size) for member in members)]
        if (control, size) in scorer.study.arms and scorer.common_seeds(keys):
            return control
    return None


def _curve(
    scorer: Scorer, primary: Primary, control: str, members: Sequence[ArmDesign], axis: tuple[DoseKind, str]
) -> DoseCurve:
    kind, field = axis
    base, size, metric = members[0].base_arm, members[0].training_size, primary.metric
    points = [DosePoint(control, 0.0, scorer.estimate((control, size), metric), None)]
    for member in members:
        gain, _ = scorer.difference((member.arm, size), (control, size), metric)
        dose = float(getattr(member, field))
        points.append(DosePoint(member.arm, dose, scorer.estimate((member.arm, size), metric), gain))
    curve = DoseCurve(base, kind, size, metric, control, tuple(points), None, None, None, "")
    return _with_saturation(curve, scorer)


def _with_saturation(curve: DoseCurve, scorer: Scorer) -> DoseCurve:
    size, metric = curve.training_size, curve.metric
    keys = [(point.arm, size) for point in curve.points]
    seeds = scorer.common_seeds(keys)
    if curve.kind == "share":
        return replace(curve, saturation_text="not estimated: a share of a batch takes the place of real images")
    if len(keys) < LEAST_DOSES or len(seeds) < MINIMUM_SEEDS:
        needed = f"{LEAST_DOSES} doses and {MINIMUM_SEEDS} seeds in common are needed"
        return replace(curve, saturation_text=f"not estimable: {needed}, {len(keys)} and {len(seeds)} are there")
    control = scorer.scores_of_seeds(keys[0], metric, seeds)
    gains = [scorer.scores_of_seeds(key, metric, seeds).minus(control) for key in keys[1:]]
    covariance, degrees = crossed_covariance(gains, scorer.patient_draws)
    found = saturation_point(
        [point.dose for point in curve.points[1:]],
        np.array([gain.points.mean() for gain in gains]),
        covariance,
        degrees,
    )
    return replace(
        curve,
        saturation=found.value,
        saturation_low=found.low,
        saturation_high=found.high,
        saturation_text=found.text,
    )
