"""Whom validation images come from: patients where every image names one, else groups."""

from __future__ import annotations

from typing import Literal

import pandas as pd

CountedUnit = Literal["patient", "group"]


def count_people(rows: pd.DataFrame) -> tuple[int, CountedUnit]:
    """How many patients, or groups where an image names no patient, and which of the two.

    rows have image_id, patient_id and group_id. An image without a patient counts by its group, else by itself.
    """
    names = [rows[name].astype("string").radd(f"{name}:") for name in ("patient_id", "group_id", "image_id")]
    is_known = bool(rows["patient_id"].notna().all())
    return int(names[0].fillna(names[1]).fillna(names[2]).nunique()), "patient" if is_known else "group"
