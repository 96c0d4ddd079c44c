"""Estimates of a set as plain values, beside the findings of single images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class AuditEstimate:
    """A figure of a set with its 95 % interval, in the fields of the evaluation's estimates."""

    value: float | None
    low: float | None
    high: float | None
    n_images: int
    n_patients: int
    method: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; an audit has no seeds of its own, so n_seeds is 1."""
        return {**asdict(self), "n_seeds": 1}
