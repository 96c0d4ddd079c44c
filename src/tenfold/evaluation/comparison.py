"""Differences between arms: the primary family, and secondary families each with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tenfold.evaluation.contents import Comparison, SensitivityWarning
from tenfold.evaluation.scoring import ArmKey, Scorer, finite, minimum_detectable
from tenfold.metrics.paired_tests import holm

SECONDARY_METRICS = ("macro_auroc", "accuracy", "balanced_accuracy", "brier_score")
PRIMARY_FAMILY = "primary"
GENERATOR_FREE_FAMILY = "without a generator"
NOTICED_FALL = 0.01
GENERATOR_ARMS = ("hybrid", "hybrid_outpaint", "hybrid_mix")
GENERATOR_FREE_ARMS = ("real_recolor", "real_composite")
"""Controls that make new images of the real ones by computation alone."""


@dataclass(frozen=True)
class Primary:
    """The comparison named before the run."""

    metric: str
    arm: str
    training_size: int
    controls: tuple[str, ...]

    @property
    def key(self) -> ArmKey:
        return self.arm, self.training_size

    def present_controls(self, scorer: Scorer) -> list[str]:
        """The controls that were run at the primary size with a seed in common with the arm."""
        arms = scorer.study.arms
        if self.key not in arms:
            return []
        keys = [(control, self.training_size) for control in self.controls]
        return [key[0] for key in keys if key in arms and scorer.common_seeds([self.key, key])]

    def best_control(self, scorer: Scorer) -> str | None:
        """The control with the highest primary figure, which is the hardest to beat."""
        present = self.present_controls(scorer)
        figures = {
            control: float(scorer.scores((control, self.training_size), self.metric).points.mean())
            for control in present
        }
        return max(present, key=lambda control: figures[control]) if present else None


def all_comparisons(scorer: Scorer, primary: Primary) -> list[Comparison]:
    """The primary comparisons, then the secondary families; Holm is applied within each family.

    Families: "primary" (the arm against each control), "other metrics" (the same by other metrics), "other sizes"
    (the same at other training sizes), "without a generator" (every arm with a generator against the controls that make
    images without one), "other arms" (every other arm against the first control); the last three by the primary metric.
    """
    arms, size = scorer.study.arms, primary.training_size
    controls = primary.present_controls(scorer)
    families = {PRIMARY_FAMILY: [(primary.key, (control, size), primary.metric) for control in controls]}
    families["other metrics"] = [
        (primary.key, (control, size), metric)
        for metric in SECONDARY_METRICS
        if metric != primary.metric
        for control in controls
    ]
    families["other sizes"] = [
        ((primary.arm, other), (control, other), primary.metric)
        for other in scorer.study.sizes_of(primary.arm)
        for control in primary.controls
        if other != size and (control, other) in arms and scorer.common_seeds([(primary.arm, other), (control, other)])
    ]
    families[GENERATOR_FREE_FAMILY] = [
        ((arm, size), (control, size), primary.metric)
        for arm in (primary.arm, *(name for name in GENERATOR_ARMS if name != primary.arm))
        for control in GENERATOR_FREE_ARMS
        if arm != control
        and (arm != primary.arm or control not in primary.controls)
        and {(arm, size), (control, size)} <= set(arms)
        and scorer.common_seeds([(arm, size), (control, size)])
    ]
    reference = (primary.controls[0], size)
    families["other arms"] = [
        (key, reference, primary.metric)
        for key in sorted(arms)
        if key[1] == size
        and key not in (primary.key, reference)
        and reference in arms
        and scorer.common_seeds([key, reference])
    ]
    return [row for family, pairs in families.items() for row in _family(scorer, family, pairs)]


def sensitivity_warnings(scorer: Scorer, primary: Primary) -> list[SensitivityWarning]:
    """Classes whose sensitivity falls by a point or more against a control while accuracy rises."""
    found = []
    for control in primary.present_controls(scorer):
        other = (control, primary.training_size)
        accuracy, _ = scorer.difference(primary.key, other, "accuracy")
        if accuracy.value is None or accuracy.value <= 0:
            continue
        for label in scorer.study.labels:
            fall, _ = scorer.difference(primary.key, other, f"sensitivity.{label}")
            if fall.value is None or fall.value > -NOTICED_FALL:
                continue
            is_clear = fall.high is not None and fall.high < 0
            text = (
                f"{primary.arm} finds fewer {label} than {control} ({100 * fall.value:+.1f} points of sensitivity, "
                f"{'clearly below zero' if is_clear else 'interval holds zero'}) although its accuracy is higher "
                f"({100 * accuracy.value:+.1f} points)."
            )
            found.append(SensitivityWarning(primary.arm, control, primary.training_size, label, fall, accuracy, text))
    return found


def _family(scorer: Scorer, family: str, pairs: Sequence[tuple[ArmKey, ArmKey, str]]) -> list[Comparison]:
    rows = []
    for key, control, metric in pairs:
        estimate, interval = scorer.difference(key, control, metric)
        rows.append(
            Comparison(
                arm=key[0],
                control=control[0],
                training_size=key[1],
                metric=metric,
                difference=estimate,
                p_value=finite(interval.p_value),
                p_value_holm=None,
                is_primary=family == PRIMARY_FAMILY,
                family=family,
                minimum_detectable_difference=minimum_detectable(interval),
            )
        )
    adjusted = holm([row.p_value for row in rows])
    return [replace(row, p_value_holm=p) for row, p in zip(rows, adjusted, strict=True)]
