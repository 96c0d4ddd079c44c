"""Copies that only features tell: joined at import, so that no split parts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.near_duplicates import near_duplicate_clusters
from tenfold.data.split_groups import COPY_COLUMN, NEAR_DUPLICATE_DISTANCE, group_keys, link_words
from tenfold.data.splits import SplitSize, grouped_split, read_sealed_split, with_split
from tenfold.intake import copies
from tenfold.intake.checks import measures
from tenfold.intake.checks.run import SUMMARY, run_checks
from tenfold.intake.config import CheckConfig, IntakeConfig, SplitConfig
from tenfold.intake.contents import IntakeFacts
from tenfold.intake.run import run
from tenfold.intake.split import run_split
from tests.unit.intake.checks.made_material import made_picture

REAL = Path(__file__).resolve().parents[4] / "shared" / "data"
PLANTED = (0, 2, 13)
"""Bright pictures whose copies, as brightening burns them out, have hashes farther apart than near-duplicates'."""
COUNT = 16


def source_with_copies(root: Path, *, planted: tuple[int, ...] = PLANTED) -> Path:
    """Two classes of pictures, each of its own patient; copies, brightened by 20 %, of others that are planted."""
    lines = ["file_name,label,patient_id"]
    for number in range(COUNT):
        gray = made_picture(number, seed=3, side=96).astype(np.float64)
        image = (60 + 0.9 * np.repeat(gray[:, :, None], 3, axis=2)).clip(0, 255)
        write(root, f"{number}.png", image)
        lines.append(f"{number}.png,{'ab'[number % 2]},p{number}")
        if number in planted:
            write(root, f"copy_{number}.jpg", image * 1.2)
            lines.append(f"copy_{number}.jpg,{'ab'[number % 2]},other{number}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def write(root: Path, name: str, image: np.ndarray) -> None:
    root.mkdir(exist_ok=True)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name, quality=60)


def intake(workspace: Workspace, source: Path | str, **changes: Any) -> pd.DataFrame:
    run(IntakeConfig(source=str(source), **changes), workspace, SerialExecutor(), NullProgress())
    return pd.read_parquet(workspace.resolve("data/manifest.parquet"))


def checked(workspace: Workspace) -> IntakeFacts:
    run_checks(CheckConfig(), workspace, SerialExecutor(), NullProgress())
    return IntakeFacts.from_json(read_json(workspace.resolve(SUMMARY)))


def test_copies_of_two_patients_are_never_parted(tmp_path: Path, workspace: Workspace) -> None:
    manifest = intake(workspace, source_with_copies(tmp_path / "s"))
    hashes = manifest["phash"].astype(str).tolist()
    assert len(set(near_duplicate_clusters(hashes, NEAR_DUPLICATE_DISTANCE).tolist())) == len(manifest)
    ids = manifest.set_index("attr.original_path")["image_id"]
    pairs = [{ids[f"{number}.png"], ids[f"copy_{number}.jpg"]} for number in PLANTED]
    found = manifest.dropna(subset=COPY_COLUMN).groupby(COPY_COLUMN)["image_id"]
    assert {min(pair): pair for pair in pairs} == {key: set(ids) for key, ids in found}
    attributes = [name for name in manifest.columns if name.startswith("attr.")]
    assert list(manifest.columns)[-len(attributes) :] == sorted(attributes)
    assert link_words(manifest, sorted(pairs[0])) == "near-duplicates by features"
    given = manifest.assign(group_id=pd.array([None] * len(manifest), dtype="string"))
    for seed in range(20):
        split = grouped_split(given, validation=SplitSize(fraction=0.2), test=SplitSize(fraction=0.3), seed=seed)
        assert all(split[list(pair)].nunique() == 1 for pair in pairs)
    bare = group_keys(given.drop(columns=COPY_COLUMN))
    assert bare.nunique() == len(manifest), "without the column each is a group of its own"


def test_the_checks_take_joined_copies_as_joined_and_measure_nothing_again(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = intake(workspace, source_with_copies(tmp_path / "s"))
    monkeypatch.setattr(measures, "_measure", None)
    facts = checked(workspace)
    rows = {row.check: row for row in facts.checks}
    assert rows["duplicates"].n_flagged == 2 * len(PLANTED)
    assert "each stays on one side of a split" in rows["duplicates"].sentence and rows["crossing"].state == "ok"
    run_split(SplitConfig(test_per_class=3), workspace, SerialExecutor(), NullProgress())
    facts = checked(workspace)
    assert {row.check: row for row in facts.checks}["crossing"].state == "ok"
    assert all("split" not in cluster.crosses for cluster in facts.duplicates)
    assert facts.n_groups == COUNT and facts.n_patients == len(manifest)


def test_an_import_interrupted_at_the_copies_resumes_to_the_same_bytes(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = source_with_copies(tmp_path / "s")
    other = Workspace.create(tmp_path / "other", name="test", root_seed=7, data_license="none")
    intake(other, root)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copies, "copy_links", killed)
        with pytest.raises(KeyboardInterrupt):
            intake(workspace, root)
    assert not workspace.resolve("data/manifest.parquet").exists()
    monkeypatch.setattr(measures, "_measure", None)
    intake(workspace, root)
    for name in ("data/manifest.parquet", "data/quarantine.csv"):
        assert workspace.resolve(name).read_bytes() == other.resolve(name).read_bytes()


def test_without_copies_there_is_no_column(tmp_path: Path, workspace: Workspace) -> None:
    assert COPY_COLUMN not in intake(workspace, source_with_copies(tmp_path / "s", planted=())).columns


def test_the_phantom_is_not_searched(workspace: Workspace) -> None:
    manifest = intake(workspace, "phantom", image_size_px=16, phantom={"images_per_class": 4})
    assert COPY_COLUMN not in manifest.columns and not workspace.resolve("data/features").exists()


def test_an_upstream_column_of_the_same_name_joins_nothing(tmp_path: Path, workspace: Workspace) -> None:
    root = source_with_copies(tmp_path / "s", planted=())
    lines = (root / "metadata.csv").read_text().splitlines()
    (root / "metadata.csv").write_text("\n".join([f"{lines[0]},copy_cluster", *(f"{line},x" for line in lines[1:])]))
    manifest = intake(workspace, root)
    assert COPY_COLUMN not in manifest.columns and set(manifest["attr.upstream_copy_cluster"]) == {"x"}


@pytest.mark.real_data
def test_the_two_pictures_of_one_white_blood_cell_do_not_cross(workspace: Workspace) -> None:
    if not (REAL / "wbc").is_dir():
        pytest.skip("no real images: wbc does not lie beside the checkout")
    manifest = intake(workspace, REAL / "wbc" / "metadata.csv")
    joined = manifest[manifest[COPY_COLUMN].notna()]
    assert len(joined) == 2 and joined["patient_id"].isna().all()
    run_split(SplitConfig(), workspace, SerialExecutor(), NullProgress())
    table = with_split(manifest, read_sealed_split(workspace.resolve("data/splits.json")))
    assert table.loc[joined.index, "split"].nunique() == 1
    rows = {row.check: row for row in checked(workspace).checks}
    assert rows["crossing"].state == "ok" and "could be parted" not in rows["duplicates"].sentence
