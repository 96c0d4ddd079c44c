"""Coverage: what a set holds by label, strategy and skin type, and whether its skin has the tones asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from tenfold.core.files import write_text_atomic
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import csv_text
from tenfold.data.skin_tone import is_skin_photograph, skin_ita

COVERAGE = "coverage.csv"
_MOST_MEASURED = 500
_FEWEST_MEASURED = 10
_DRAWS = 1000
_BY = ("label", "strategy", "skin_type")
_BY_WHERE_TOLD = ("site", "severity")


def write_asked(coverage: pd.DataFrame, folder: Path) -> None:
    """Write ``coverage.csv`` as the plan has it, before anything is drawn."""
    write_text_atomic(folder / COVERAGE, csv_text(coverage))


def write_coverage(manifest: Path, workspace: Workspace, *, seed: int) -> Mapping[str, Any]:
    """Write ``coverage.csv`` beside the manifest; the trend of measured over asked skin tones, for the run's record.

    Each line counts the images of a label, strategy and skin type, and of a site and severity where the set tells them.
    Of skin photographs at most 500, drawn by seed, are measured: the individual typology angle (ITA) of the skin
    along the border. Cameras and light shift it, so what is told is the trend alone: Spearman's rank correlation of
    skin type and ITA, -1 where each darker type asked for is darker in the picture.

    Returns:
        `skin_tone`: `spearman` with `low` and `high` (95 %, bootstrap over images, or over the real images that they
        start from), `images` measured and `sources`; None where no tones were asked for, or too few are to be seen.
    """
    columns = [*_BY, *_BY_WHERE_TOLD, "path", "modality", "parent_id", "image_id"]
    table = pd.read_parquet(manifest, columns=columns)
    table["ita_degrees"] = _measured(table, workspace, seed=seed)
    by = [*_BY, *(name for name in _BY_WHERE_TOLD if table[name].notna().any())]
    groups = table.groupby(by, dropna=False, sort=True)
    lines = groups.agg(
        images=("image_id", "size"),
        images_measured=("ita_degrees", "count"),
        median_ita_degrees=("ita_degrees", "median"),
    ).reset_index()
    lines["median_ita_degrees"] = lines["median_ita_degrees"].round(1)
    write_text_atomic(manifest.parent / COVERAGE, csv_text(lines))
    return {"skin_tone": _trend(table[table["ita_degrees"].notna()], seed=seed)}


def _measured(table: pd.DataFrame, workspace: Workspace, *, seed: int) -> NDArray[np.float64]:
    """(N,) ITA in degrees; NaN where it was not looked for or not to be seen."""
    found = np.full(len(table), np.nan)
    asked = np.flatnonzero(table["skin_type"].notna().to_numpy())
    modalities = table["modality"].astype(object).where(table["modality"].notna(), None).tolist()
    # Prompts alone tell no modality; who asks for a skin type asks for skin.
    places = [int(place) for place in asked if modalities[place] is None or is_skin_photograph(modalities[place], "")]
    if len(places) > _MOST_MEASURED:
        chosen = numpy_generator(derive_seed(seed, "coverage")).choice(len(places), _MOST_MEASURED, replace=False)
        places = [places[number] for number in sorted(chosen)]
    paths = table["path"].tolist()
    for place in places:
        ita = skin_ita(decode_image(workspace.resolve(paths[place])))
        if ita is not None:
            found[place] = ita
    return found


def _trend(measured: pd.DataFrame, *, seed: int) -> dict[str, Any] | None:
    types = measured["skin_type"].to_numpy(dtype=float)
    itas = measured["ita_degrees"].to_numpy(dtype=float)
    if len(types) < _FEWEST_MEASURED or len(np.unique(types)) < 2:
        return None
    own = measured["parent_id"].where(measured["parent_id"].notna(), measured["image_id"])
    _, sources = np.unique(own.to_numpy(dtype=str), return_inverse=True)
    places_of = np.split(np.argsort(sources, kind="stable"), np.flatnonzero(np.diff(np.sort(sources))) + 1)
    generator = numpy_generator(derive_seed(seed, "coverage", "bootstrap"))
    draws = []
    for _ in range(_DRAWS):
        chosen = generator.integers(len(places_of), size=len(places_of))
        drawn = np.concatenate([places_of[number] for number in chosen])
        draws.append(_spearman(types[drawn], itas[drawn]))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return {
        "spearman": round(_spearman(types, itas), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "images": len(types),
        "sources": len(places_of),
    }


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation; NaN where all of one are equal."""
    ranks = np.stack([rankdata(first), rankdata(second)])
    spread = ranks.std(axis=1)
    if not spread.all():
        return float("nan")
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread.prod())
