"""Where the training images of each class come from: arms in which the synthetic share differs between classes."""

from __future__ import annotations

from collections.abc import Iterable

from tenfold.evaluation.contents import OriginRow
from tenfold.reports import wording

NOTICED_SHARE = 0.01


def confounded_arms(rows: Iterable[OriginRow]) -> list[str]:
    """The arms in which a class has no real image while another class has some."""
    has_real: dict[tuple[str, int], set[bool]] = {}
    for row in rows:
        has_real.setdefault((row.arm, row.training_size), set()).add(row.real_images + row.extra_real_images > 0)
    return sorted({arm for (arm, _), found in has_real.items() if len(found) == 2}, key=wording.arm_order)


def unequal_arms(rows: Iterable[OriginRow]) -> list[str]:
    """The arms in which the share of synthetic images differs between classes by more than `NOTICED_SHARE`."""
    shares: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        total = row.real_images + row.extra_real_images + row.synthetic_images
        if total:
            shares.setdefault((row.arm, row.training_size), []).append(row.synthetic_images / total)
    found = {arm for (arm, _), of_class in shares.items() if max(of_class) - min(of_class) > NOTICED_SHARE}
    return sorted(found, key=wording.arm_order)
