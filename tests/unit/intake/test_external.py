"""Synthetic images made elsewhere: in, flagged, and kept out of strict training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import DataError, FaultsError, WorkspaceError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import write_json_atomic
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import read_manifest
from tenfold.data.manifest_checks import check_ancestors, check_manifest
from tenfold.intake.config import ExternalConfig, SplitConfig
from tenfold.intake.external import run_external
from tenfold.intake.split import run_split
from tests.image_files import write_class_folders, write_image
from tests.unit.intake.import_into import Log, intake, manifest_of


def external(workspace: Workspace, source: Path, log: Log | None = None, **changes: Any) -> Result:
    config = ExternalConfig(source=str(source), **{"generator": "dermt2im", **changes})
    return run_external(config, workspace, SerialExecutor(), log or Log())


@pytest.fixture
def real(tmp_path: Path, workspace: Workspace) -> Path:
    root = write_class_folders(tmp_path / "real", {"df": 6, "vasc": 6})
    intake(workspace, root, resize_mode="pad")
    return root


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "made", {"df": 5, "vasc": 3})


def synthetic(workspace: Workspace) -> pd.DataFrame:
    return read_manifest(workspace.resolve("synthetic/dermt2im/manifest.parquet"))


def test_they_come_in_like_real_ones_and_say_what_is_unknown(real: Path, made: Path, workspace: Workspace) -> None:
    log = Log()
    (made / "df/empty.png").write_bytes(b"")
    result = external(workspace, made, log, data_license="CC-BY-4.0 of nobody")
    rows = synthetic(workspace)
    assert check_manifest(rows) == []
    assert len(rows) == 8 and set(rows["source"]) == {"synthetic"} and set(rows["split"]) == {"train"}
    assert rows["ancestors"].isna().all() and set(rows["strategy"]) == {"external"}
    assert set(rows["checkpoint"]) == {"dermt2im"} and set(rows["review"]) == {"unreviewed"}
    assert set(rows["width_px"]) == {16}, "the size of the real images"
    first = rows.iloc[0]
    assert first["path"] == f"synthetic/dermt2im/images/{first['image_id']}.png"
    assert decode_image(workspace.resolve(first["path"])).shape == (16, 16, 3)
    card = workspace.resolve("synthetic/dermt2im/README.md").read_text()
    assert "made by `dermt2im`" in card and "Ancestors: **unknown**" in card and "CC-BY-4.0 of nobody" in card
    assert "| df | 5 |" in card and "9 rows in = 8 kept + 1 quarantined" in card
    assert result.summary["rows_in"] == 9 == result.summary["kept"] + result.summary["quarantined"]
    quarantined = pd.read_csv(workspace.resolve("synthetic/dermt2im/quarantine.csv"))
    assert quarantined["reason"].tolist() == ["empty_file"]
    assert any("nobody here knows" in line for line in log.lines)
    assert external(workspace, made, data_license="CC-BY-4.0 of nobody").was_finished
    assert read_run_record(workspace.resolve("data/intake")).summary["kept"] == 12, "the real images stay as they are"


def test_no_arm_may_train_on_them_as_strict(real: Path, made: Path, workspace: Workspace) -> None:
    external(workspace, made)
    run_split(SplitConfig(), workspace, SerialExecutor(), Log())
    errors = check_ancestors(synthetic(workspace), manifest_of(workspace))
    assert len(errors) == 1 and "8 synthetic images have unknown ancestors" in errors[0].what
    assert "nobody can tell whether their generator saw the test images" in errors[0].todo


def test_copies_of_real_images_are_set_aside(real: Path, made: Path, workspace: Workspace) -> None:
    shutil.copy(real / "df/image_0.png", made / "df/stolen.png")
    own = manifest_of(workspace).iloc[0]
    shutil.copy(workspace.resolve(own["path"]), made / "df/resized.png")
    result = external(workspace, made)
    assert result.summary["quarantine_reasons"] == {"copy_of_a_real_image": 2}
    assert any("2 images are real ones" in line for line in result.summary["warnings"])
    written = {path.stem for path in workspace.resolve("synthetic/dermt2im/images").iterdir()}
    assert written == set(synthetic(workspace)["image_id"])


def test_other_classes_are_refused_with_the_nearest_names(real: Path, made: Path, workspace: Workspace) -> None:
    write_image(made / "vascular/x.png", 900)
    with pytest.raises(DataError, match=r"classes that the real ones lack: vascular(.|\n)*did you mean 'vasc'"):
        external(workspace, made)
    assert external(workspace, made, classes=["df"]).summary["images"] == {"df": 5}


def test_generated_images_are_never_replaced(real: Path, made: Path, workspace: Workspace) -> None:
    folder = workspace.resolve("synthetic/dermt2im")
    (folder / "images").mkdir(parents=True)
    (folder / "images/x.png").write_bytes(b"a result")
    write_json_atomic(folder / "started.json", {"fingerprint": "another"})
    with pytest.raises(WorkspaceError, match=r"holds images that this workspace made(.|\n)*another --generator name"):
        external(workspace, made)
    assert (folder / "images/x.png").read_bytes() == b"a result"
    assert external(workspace, made, generator="other").summary["kept"] == 8


def test_they_come_into_an_empty_workspace_too(made: Path, workspace: Workspace) -> None:
    external(workspace, made)
    assert set(synthetic(workspace)["width_px"]) == {64}


def test_strict_and_empty_sources(real: Path, made: Path, tmp_path: Path, workspace: Workspace) -> None:
    (made / "df/empty.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 rows cannot be kept(.|\n)*synthetic/dermt2im/quarantine.csv"):
        external(workspace, made, is_strict=True)
    (tmp_path / "none/df").mkdir(parents=True)
    (tmp_path / "none/df/x.png").write_bytes(b"")
    with pytest.raises((DataError, FaultsError), match="no image could be kept"):
        external(workspace, tmp_path / "none")
    with pytest.raises(ValueError, match="generator"):
        ExternalConfig(source="x", generator="../x")
