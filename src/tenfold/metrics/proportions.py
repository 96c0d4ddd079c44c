"""Wilson's interval for a share of independent patients (Wilson 1927)."""

from __future__ import annotations

import math

from scipy import stats


def wilson_interval(share: float, count: float, *, level: float = 0.95) -> tuple[float, float]:
    """Low and high of a share seen in `count` independent patients (images only when there is one a patient).

    share: in [0, 1]; count may be an effective number, and above 0. Never leaves [0, 1]; not empty at 0 or 1.
    """
    if count <= 0 or not 0.0 <= share <= 1.0:
        raise ValueError(f"a share in [0, 1] of a positive count is needed, not {share} of {count}")
    z = float(stats.norm.ppf(0.5 + level / 2))
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return 0.0 if share == 0 else max(0.0, center - half), 1.0 if share == 1 else min(1.0, center + half)
