"""Holm's correction of p-values within one stated family (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the given order; None stays None and does not count as a test."""
    tested = [index for index, p in enumerate(p_values) if p is not None]
    raw = np.array([p_values[index] for index in tested], dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = raw[order] * (len(raw) - np.arange(len(raw)))
    adjusted = np.minimum(np.maximum.accumulate(steps), 1.0) if len(raw) else steps
    result: list[float | None] = [None] * len(p_values)
    for position, index in enumerate(order):
        result[tested[int(index)]] = float(adjusted[position])
    return result
