"""What each arm of a study is, read from its table of cells, and which classifiers could not be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from tenfold.evaluation.design_contents import ArmDesign, CellFailure
from tenfold.evaluation.predictions import StudyPredictions

ArmDesigns = Mapping[tuple[str, int], ArmDesign]
"""By (arm, training_size)."""

GENERATOR_STRATEGIES = frozenset({"text2img", "img2img", "inpaint", "outpaint", "in_then_outpaint", "upscale"})
"""Strategies in which a generator draws; the others compute images from the real ones."""
CODEC_STRATEGY = "autoencoder"
DOSE_FIELDS = ("synthetic_ratio", "synthetic_share")
OPTION_FIELDS = (
    "strategy", "transforms", "generator_budget", "generator", "schedule", "weighting", "review", "balance_by",
    "synthetic_labels", "is_origin_balanced", "is_fresh", "is_duplicated",
)  # fmt: skip
"""What else can differ between arms."""


def arm_designs(study: StudyPredictions, cells: pd.DataFrame | None) -> ArmDesigns:
    """The design of every arm that was scored; what the table of cells does not hold is read from training.json."""
    rows: dict[tuple[str, int], Mapping[str, Any]] = {}
    if cells is not None and {"arm", "training_size"} <= set(cells.columns):
        for row in cells.drop_duplicates(["arm", "training_size"]).to_dict("records"):
            rows[str(row["arm"]), int(row["training_size"])] = {str(name): value for name, value in row.items()}
    return {key: _design(key, rows.get(key, {}), members.trainings[0]) for key, members in study.arms.items()}


def uses_generator(design: ArmDesign) -> bool:
    """Whether some of its images are drawn by a generator."""
    return bool(GENERATOR_STRATEGIES & set(design.strategy.split("+")))


def needs_no_generator(design: ArmDesign) -> bool:
    """Whether it makes new images, all of them by computation from the real ones."""
    parts = set(design.strategy.split("+"))
    return not parts & {"none", CODEC_STRATEGY, *GENERATOR_STRATEGIES}


def differing_fields(design: ArmDesign, other: ArmDesign) -> list[str]:
    """Names of the fields by which two arms train differently."""
    mine, others = asdict(design), asdict(other)
    return [name for name in (*DOSE_FIELDS, *OPTION_FIELDS) if mine[name] != others[name]]


def failures(results: pd.DataFrame) -> tuple[CellFailure, ...]:
    """The cells of a study's results.parquet that have an error."""
    if "error" not in results.columns:
        return ()
    failed = results[results["error"].notna()]
    return tuple(
        CellFailure(
            cell=str(row["cell"]),
            arm=str(row["arm"]),
            training_size=int(row["training_size"]),
            seed_index=int(row["seed_index"]),
            error=str(row["error"]),
        )
        for row in failed.to_dict("records")
    )


def _design(key: tuple[str, int], row: Mapping[str, Any], training: Mapping[str, Any]) -> ArmDesign:
    arm, size = key
    return ArmDesign(
        arm=arm,
        base_arm=str(_known(row, "base_arm") or arm),
        training_size=size,
        description=str(_known(row, "description") or ""),
        strategy=str(_known(row, "strategy") or training["strategy"]),
        synthetic_ratio=float(_known(row, "synthetic_ratio") or 0.0),
        synthetic_share=float(_known(row, "synthetic_share") or 0.0),
        transforms=_transforms(_known(row, "transforms"), training),
        generator_budget=str(_known(row, "generator_budget") or training["generator_budget"]),
        generator=str(_known(row, "generator") or "none"),
        schedule=str(_known(row, "schedule") or "mixed"),
        weighting=str(_known(row, "weighting") or "none"),
        review=str(_known(row, "review") or "filtered"),
        balance_by=None if (column := _known(row, "balance_by")) is None else str(column),
        synthetic_labels=tuple(str(label) for label in _listed(row, "synthetic_labels")),
        is_origin_balanced=bool(_known(row, "is_origin_balanced") or False),
        is_fresh=bool(_known(row, "is_fresh") or False),
        is_duplicated=bool(_known(row, "is_duplicated") or False),
    )


def _known(row: Mapping[str, Any], name: str) -> Any:
    """The value, None where the table has none."""
    value = row.get(name)
    return None if value is None or bool(pd.isna(value)) else value


def _listed(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return [] if value is None else list(value)


def _transforms(stated: Any, training: Mapping[str, Any]) -> str:
    """Tables of before there were several kinds hold true or false."""
    value = training["settings"].get("transforms", True) if stated is None else stated
    if isinstance(value, str):
        return value
    return "paper" if value else "none"
