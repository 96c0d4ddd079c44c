"""Whether an arm can answer its question: no class told by its origin, shares within reach, counts that exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tenfold.core.errors import DesignError
from tenfold.studies.arms import ArmSpec

_TYPED = 0.01
"""A third is typed as 0.33."""


def check_arm(name: str, spec: ArmSpec, available: Mapping[str, int], *, allows: bool) -> None:
    """Raises DesignError where it cannot.

    Args:
        available: real training images of each class.
        allows: accept a class that is all synthetic while another is not.
    """
    labels = set(available)
    where = f"study: the arm {name}"
    if unknown := sorted({*spec.real_counts, *(spec.synthetic_labels or ())} - labels):
        raise DesignError(
            f"it names classes that the data do not have: {', '.join(unknown)}",
            where=where,
            expected=", ".join(sorted(labels)),
        )
    short = {label: count for label, count in spec.real_counts.items() if count > available[label]}
    if short:
        asked = ", ".join(f"{label} {count}" for label, count in short.items())
        raise DesignError(
            f"it asks for more real training images than there are: {asked}",
            where=where,
            expected=", ".join(f"at most {available[label]} of {label}" for label in short),
        )
    without = {label for label in labels if not spec.real or spec.real_counts.get(label) == 0}
    if 0 < len(without) < len(labels) and not allows:
        raise DesignError(
            f"{', '.join(sorted(without))} would be all synthetic while other classes are real",
            where=where,
            expected="real training images in every class or in none: else the classifier can learn the origin",
            todo="give every class real images, or set classify.allow_origin_confound=true (the report then warns)",
        )
    if bare := sorted(without - _covered(spec, labels)):
        raise DesignError(
            f"{', '.join(bare)} would have no image at all",
            where=where,
            expected="real or synthetic images of every class",
        )
    if spec.sets and spec.share is not None:
        _check_share(where, spec, labels)


def share_in_reach(spec: ArmSpec, share: float, labels: Collection[str]) -> float:
    """The share that is drawn: an arm's own is taken as it is, to the last digit that was typed, another is brought
    within what its classes allow."""
    lowest, highest = _reach(spec, set(labels))
    return min(max(share, lowest), highest) if spec.sets else share


def _covered(spec: ArmSpec, labels: set[str]) -> set[str]:
    """Classes that get synthetic images."""
    if not spec.sets:
        return set()
    return set(spec.synthetic_labels) if spec.synthetic_labels and not spec.origin_balanced else labels


def _reach(spec: ArmSpec, labels: set[str]) -> tuple[float, float]:
    """Batches are balanced over the classes: those without real images are all extra, those without extra all real."""
    without = {label for label in labels if not spec.real or spec.real_counts.get(label) == 0}
    return len(without) / len(labels), len(_covered(spec, labels)) / len(labels)


def _check_share(where: str, spec: ArmSpec, labels: set[str]) -> None:
    lowest, highest = _reach(spec, labels)
    if not lowest - _TYPED <= (spec.share or 0.0) <= highest + _TYPED:
        raise DesignError(
            f"a share of {spec.share:g} extra images is out of reach in batches balanced over {len(labels)} classes",
            where=where,
            expected=f"a share from {lowest:.3g} to {highest:.3g}, as its classes have real or synthetic images",
            todo="give the arm such a share, or none",
        )
