"""One figure with its interval and its counts, as every content of an evaluation holds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """One figure. `low` and `high` are the 95 % interval, None where it cannot be had; `method` says how or why."""

    value: float | None
    low: float | None
    high: float | None
    n_images: int
    n_patients: int
    n_seeds: int
    method: str
