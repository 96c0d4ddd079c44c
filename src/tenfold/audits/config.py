"""The audit's configuration: which synthetic set is looked at, and against which real images."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from tenfold.core.config import FolderName, StageConfig


class AuditConfig(StageConfig):
    """Look for copies, missing variety and telltale differences in synthetic/<synthetic>."""

    name: FolderName = Field(description="folder name under audits/")
    synthetic: FolderName = Field(description="folder name under synthetic/")
    training_ids: tuple[str, ...] = Field(
        (), description="real images the generator was fitted on; none: the ancestors the set names"
    )
    false_flag_fraction: float = Field(
        0.01, gt=0.0, lt=0.5, description="share of new real images that a memorization threshold may flag"
    )
    neighbors: PositiveInt = Field(5, description="k of precision, recall, density and coverage")
    resamples: PositiveInt = Field(100, ge=20, description="random draws for fidelity and probe intervals")
    seed: int = Field(0, ge=0, description="seed of the random draws")
