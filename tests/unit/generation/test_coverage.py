"""Coverage: what a set holds, and whether skin tones follow what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, write_manifest
from tenfold.data.phantom_skin import srgb_to_lab
from tenfold.generation.coverage import write_coverage

TONES = {
    1: (238, 213, 197), 2: (225, 190, 166), 3: (205, 165, 135), 4: (172, 128, 96), 5: (128, 88, 62), 6: (84, 56, 42),
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", name="tiny", root_seed=1, data_license="CC-BY-4.0 of nobody")


def _manifest(workspace: Workspace, shown: list[int], asked: list[int | None], **changes: Any) -> Path:
    rows = []
    for number, (tone, skin_type) in enumerate(zip(shown, asked, strict=True)):
        noise = np.random.default_rng(number).normal(0, 2, (24, 24, 3))
        image = np.clip(np.asarray(TONES[tone]) + noise, 0, 255).astype(np.uint8)
        path = workspace.path / f"{number}.png"
        path.write_bytes(encode_png(image))
        rows.append({
            "image_id": f"{number:016x}", "path": path.name, "label": "mole", "source": "synthetic",
            "strategy": "text2img", "skin_type": skin_type, **changes,
        })  # fmt: skip
    write_manifest(make_manifest(rows), workspace.path / "manifest.parquet")
    return workspace.path / "manifest.parquet"


def test_a_faithful_set_follows_the_tones_asked_for(workspace: Workspace) -> None:
    assert srgb_to_lab(np.asarray([TONES[1]], dtype=np.uint8))[0, 0] > 80
    types = [1, 2, 3, 4, 5, 6] * 4
    manifest = _manifest(workspace, types, list(types), site="arm")
    found = write_coverage(manifest, workspace, seed=1)["skin_tone"]
    assert (found["images"], found["sources"]) == (24, 24)
    assert found["low"] <= found["spearman"] <= found["high"] < -0.9
    table = pd.read_csv(workspace.path / "coverage.csv")
    assert list(table.columns[:5]) == ["label", "strategy", "skin_type", "site", "images"]
    assert list(table["images"]) == [4] * 6
    assert table["median_ita_degrees"].is_monotonic_decreasing
    assert write_coverage(manifest, workspace, seed=1)["skin_tone"] == found


def test_a_set_that_ignores_the_tones_shows_no_trend(workspace: Workspace) -> None:
    shown = [1, 6, 3] * 10
    asked: list[int | None] = [*([1] * 15), *([6] * 15)]
    found = write_coverage(_manifest(workspace, shown, asked), workspace, seed=1)["skin_tone"]
    assert found["low"] < 0 < found["high"]


def test_images_of_one_parent_count_as_one_source(workspace: Workspace) -> None:
    types = [1, 6] * 10
    manifest = _manifest(workspace, types, list(types), parent_id="a" * 16)
    found = write_coverage(manifest, workspace, seed=1)["skin_tone"]
    assert (found["images"], found["sources"]) == (20, 1)


@pytest.mark.parametrize(
    ("asked", "changes"),
    [([None] * 12, {}), ([5] * 12, {}), ([1, 6] * 3, {}), ([1, 6] * 6, {"modality": "blood smear"})],
)
def test_no_trend_is_told_where_there_is_none_to_see(
    workspace: Workspace, asked: list[int | None], changes: dict[str, Any]
) -> None:
    shown = [1, 6] * (len(asked) // 2)
    found = write_coverage(_manifest(workspace, shown, asked, **changes), workspace, seed=1)
    assert found == {"skin_tone": None}
    assert pd.read_csv(workspace.path / "coverage.csv")["images"].sum() == len(asked)
