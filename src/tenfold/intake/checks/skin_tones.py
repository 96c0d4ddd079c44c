"""Skin tones: types as given, said to be unknown and estimated, and the measured ITA by type."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import counted
from tenfold.intake.contents import SkinToneFacts

ITA_COLUMN = "attr.ita_degrees"
NOT_GIVEN = "not given"


def skin_tone_facts(material: Material) -> SkinToneFacts | None:
    """What is known of the skin in the images; None when nothing is (images of other kinds)."""
    manifest = material.manifest
    source, types = manifest["skin_type_source"], manifest["skin_type"]
    is_told = manifest["skin_type_group"].notna() | types.notna()
    is_estimated = (source == "estimated").fillna(False)
    is_given = is_told & ~is_estimated
    is_unknown = ~is_told & (source == "given").fillna(False)
    ita = np.full(len(manifest), np.nan)
    if ITA_COLUMN in manifest.columns:
        ita = (
            pd.to_numeric(manifest[ITA_COLUMN], errors="coerce").astype("Float64").to_numpy(np.float64, na_value=np.nan)
        )
    if not (is_told.any() or is_unknown.any() or np.isfinite(ita).any()):
        return None
    by_type: dict[str, list[float]] = {}
    for value, degrees, given in zip(types, ita, is_given & types.notna(), strict=True):
        if np.isfinite(degrees):
            by_type.setdefault(str(int(value)) if given else NOT_GIVEN, []).append(float(degrees))
    n_given, n_unknown, n_estimated = int(is_given.sum()), int(is_unknown.sum()), int(is_estimated.sum())
    sentence = (
        f"Skin type: {counted(n_given, 'image')} as given, {n_unknown:,} given as unknown, {n_estimated:,} estimated"
    )
    sentence += (
        " from the skin's color; estimates depend on light and camera and head no result." if n_estimated else "."
    )
    return SkinToneFacts(
        n_given, n_unknown, n_estimated, {name: tuple(by_type[name]) for name in sorted(by_type)}, sentence
    )
