"""The grid: names of an arm's variants with other ratios, shares, transforms or budgets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tenfold.studies.arms import ArmSpec, Budget


@dataclass(frozen=True)
class Dose:
    """What arms take that name no share, ratio or budget of their own."""

    synthetic_ratio: int = 10
    source_ratio: int | None = None
    synthetic_share: float = 0.25
    generator_budget: Budget = "strict"

    def ratio(self, spec: ArmSpec, strategy: str) -> int:
        """Images of a strategy's set for each real image of the cell that it belongs to."""
        if strategy == "autoencoder":
            return 1
        if spec.ratio is not None:
            return spec.ratio
        return self.synthetic_ratio if strategy == "text2img" else self.source_ratio or self.synthetic_ratio

    def share(self, spec: ArmSpec) -> float:
        """Share of a batch that is extra images."""
        if not spec.real:
            return 1.0
        if not (spec.has_extra or spec.duplicate_real):
            return 0.0
        return self.synthetic_share if spec.share is None else spec.share

    def budget(self, spec: ArmSpec) -> Budget:
        """What its generator may see."""
        return spec.budget or self.generator_budget


DEFAULT_DOSE = Dose()


@dataclass(frozen=True)
class Grid:
    """The axes of a grid; None leaves an axis at the arm's own value."""

    ratios: Sequence[int] | None = None
    shares: Sequence[float] | None = None
    transforms: Sequence[str] | None = None
    budgets: Sequence[str] | None = None
    kind: Literal["one_at_a_time", "crossed"] = "one_at_a_time"

    def variants(self, name: str, spec: ArmSpec, dose: Dose) -> tuple[str, ...]:
        """The arm itself, where the grid holds its own values, and its variants, each once."""
        first = spec.sets[0] if spec.sets else "text2img"
        axes = (
            ("r{}", self.ratios if spec.has_extra else None, dose.ratio(spec, first)),
            ("s{:g}", self.shares if spec.has_extra and spec.real else None, dose.share(spec)),
            ("{}", self.transforms, spec.transforms),
            ("{}", self.budgets if spec.is_tuned else None, dose.budget(spec)),
        )
        suffixes = [
            ["" if value == own else "@" + text.format(value) for value in values] if values else [""]
            for text, values, own in axes
        ]
        if self.kind == "crossed":
            found = [name + "".join(parts) for parts in itertools.product(*suffixes)]
        else:
            found = [name, *(name + suffix for axis in suffixes for suffix in axis)]
        return tuple(dict.fromkeys(found))
