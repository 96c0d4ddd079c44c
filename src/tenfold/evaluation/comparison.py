"""Differences between arms: the primary family, and secondary families each with Holm's correction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tenfold.evaluation.contents import Comparison, SensitivityWarning
from tenfold.evaluation.designs import DOSE_FIELDS, ArmDesigns, differing_fields, needs_no_generator, uses_generator
from tenfold.evaluation.scoring import ArmKey, Scorer, finite, minimum_detectable
from tenfold.metrics.bootstrap import Interval
from tenfold.metrics.equivalence import equivalence
from tenfold.metrics.paired_tests import holm

SECONDARY_METRICS = ("macro_auroc", "accuracy", "balanced_accuracy", "brier_score")
PRIMARY_FAMILY = "primary"
OTHER_METRICS_FAMILY = "other metrics"
OTHER_SIZES_FAMILY = "other sizes"
GENERATOR_FREE_FAMILY = "without a generator"
OTHER_ARMS_FAMILY = "other arms"
GRID_FAMILY = "the grid"
ONE_CHANGE_FAMILIES = {
    "strategy": "another strategy",
    "transforms": "other transforms",
    "generator_budget": "generator budget",
    "generator": "another generator",
    "schedule": "order of training",
    "weighting": "teacher weights",
    "review": "review",
    "balance_by": "subgroup balance",
    "synthetic_labels": "classes with synthetic images",
    "is_origin_balanced": "origin balance",
    "is_fresh": "fresh images",
    "is_duplicated": "duplicated images",
}
"""By the one field of its design in which an arm differs from the primary one."""
NOTICED_FALL = 0.01
SHOWN_RISE = 0.0005

Pair = tuple[ArmKey, ArmKey, str]
"""(arm, control, metric)."""


@dataclass(frozen=True)
class Primary:
    """The comparison named before the run; `margin` is the difference of the metric that would not matter."""

    metric: str
    arm: str
    training_size: int
    controls: tuple[str, ...]
    margin: float | None = None

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


def all_comparisons(scorer: Scorer, primary: Primary, designs: ArmDesigns) -> list[Comparison]:
    """The primary comparisons, then the secondary families; Holm is applied within each family.

    Families: "primary" (the arm against each control), "other metrics" (the same by other metrics), "other sizes" (the
    same at other training sizes), "without a generator" (every arm with a generator against the controls that make
    images without one), those of `ONE_CHANGE_FAMILIES` (arms that differ from the primary one in that alone, against
    it), "other arms" (every other arm against the first control) and "the grid" (the same for variants by ratio, share
    or transforms); all but the second by the primary metric. A pair without a seed in common is left out.
    """
    families = {
        PRIMARY_FAMILY: [_pair(primary, primary.arm, control) for control in primary.present_controls(scorer)],
        OTHER_METRICS_FAMILY: list(_by_other_metrics(scorer, primary)),
        OTHER_SIZES_FAMILY: list(_at_other_sizes(scorer, primary)),
        GENERATOR_FREE_FAMILY: list(_against_generator_free(primary, designs)),
        **_one_change(primary, designs),
    }
    rest = [
        design for (_, size), design in sorted(designs.items())
        if size == primary.training_size and design.arm not in (primary.arm, primary.controls[0])
    ]  # fmt: skip
    reference = primary.controls[0]
    families[OTHER_ARMS_FAMILY] = [_pair(primary, d.arm, reference) for d in rest if not d.is_variant]
    families[GRID_FAMILY] = [_pair(primary, d.arm, reference) for d in rest if d.is_variant]
    return [row for family, pairs in families.items() for row in _family(scorer, primary, family, pairs)]


def sensitivity_warnings(scorer: Scorer, primary: Primary) -> list[SensitivityWarning]:
    """Classes whose sensitivity falls by a point or more against a control while accuracy rises visibly."""
    found = []
    for control in primary.present_controls(scorer):
        other = (control, primary.training_size)
        accuracy, _ = scorer.difference(primary.key, other, "accuracy")
        if accuracy.value is None or accuracy.value < SHOWN_RISE:
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


def _pair(primary: Primary, arm: str, control: str) -> Pair:
    return (arm, primary.training_size), (control, primary.training_size), primary.metric


def _by_other_metrics(scorer: Scorer, primary: Primary) -> Iterator[Pair]:
    for metric in SECONDARY_METRICS:
        for control in primary.present_controls(scorer):
            if metric != primary.metric:
                yield primary.key, (control, primary.training_size), metric


def _at_other_sizes(scorer: Scorer, primary: Primary) -> Iterator[Pair]:
    for size in scorer.study.sizes_of(primary.arm):
        for control in primary.controls:
            if size != primary.training_size:
                yield (primary.arm, size), (control, size), primary.metric


def _against_generator_free(primary: Primary, designs: ArmDesigns) -> Iterator[Pair]:
    at_size = [design for (_, size), design in sorted(designs.items()) if size == primary.training_size]
    controls = [design.arm for design in at_size if needs_no_generator(design) and not design.is_variant]
    drawn = [d.arm for d in at_size if uses_generator(d) and d.synthetic_share < 1 and not d.is_variant]
    for arm in dict.fromkeys((primary.arm, *drawn)):
        for control in controls:
            if arm != control and (arm != primary.arm or control not in primary.controls):
                yield _pair(primary, arm, control)


def _one_change(primary: Primary, designs: ArmDesigns) -> dict[str, list[Pair]]:
    """Arms that differ from the primary one in one field; another strategy may come with another ratio and generator.

    Of a variant by ratio or share the arm it is a variant of is the reference, as the others share its dose.
    """
    families: dict[str, list[Pair]] = {family: [] for family in ONE_CHANGE_FAMILIES.values()}
    own = designs.get(primary.key)
    own = designs.get((own.base_arm, primary.training_size), own) if own is not None else None
    if own is None or own.strategy == "none":
        return {}
    for (arm, size), design in sorted(designs.items()):
        if size != primary.training_size or design.strategy == "none" or design.synthetic_share == 1:
            continue
        changed = [name for name in differing_fields(own, design) if name not in DOSE_FIELDS]
        is_same_dose = len(changed) == len(differing_fields(own, design))
        if changed in (["strategy"], ["strategy", "generator"]):
            if uses_generator(design) and not design.is_variant:
                families[ONE_CHANGE_FAMILIES["strategy"]].append(_pair(primary, arm, own.arm))
        elif len(changed) == 1 and is_same_dose:
            families[ONE_CHANGE_FAMILIES[changed[0]]].append(_pair(primary, arm, own.arm))
    return families


def _family(scorer: Scorer, primary: Primary, family: str, pairs: Sequence[Pair]) -> list[Comparison]:
    arms, rows = scorer.study.arms, []
    for key, control, metric in pairs:
        if key not in arms or control not in arms or not scorer.common_seeds([key, control]):
            continue
        estimate, interval = scorer.difference(key, control, metric)
        row = Comparison(
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
            half_width=None if estimate.high is None or estimate.low is None else (estimate.high - estimate.low) / 2,
        )
        has_margin = primary.margin is not None and metric == primary.metric
        rows.append(_with_equivalence(row, interval, primary.margin) if has_margin else row)
    adjusted = holm([row.p_value for row in rows])
    return [replace(row, p_value_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _with_equivalence(row: Comparison, interval: Interval, margin: float | None) -> Comparison:
    """All primary metrics are better when higher, so the difference has the sign that the tests expect."""
    if margin is None or row.difference.low is None:
        return row
    found = equivalence(interval.value, interval.standard_error, interval.degrees_of_freedom, margin)
    return replace(
        row,
        margin=margin,
        equivalence=found.word,
        p_non_inferior=finite(found.p_non_inferior),
        p_equivalent=finite(found.p_equivalent),
    )
