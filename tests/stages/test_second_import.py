"""A second import never costs the first one: not by a changed source, not by a bad one, not under a sealed split."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.core.errors import InputError, WorkspaceError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import write_json_atomic
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.intake.config import ExternalConfig, IntakeConfig, SplitConfig
from tenfold.intake.external import run_external
from tenfold.intake.run import run
from tenfold.intake.split import run_split
from tenfold.recipes.data_intake import DataSettings, split_data
from tests.image_files import write_class_folders, write_image

MANIFEST, SPLIT = "data/manifest.parquet", "data/splits.json"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "source", {"df": 8, "vasc": 8})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws", name="ws", root_seed=1, data_license="CC0")


def take(source: Path, workspace: Workspace, **settings: object) -> None:
    run(IntakeConfig(source=str(source), image_size_px=16, **settings), workspace, SerialExecutor(), NullProgress())  # type: ignore[arg-type]


def contents(workspace: Workspace) -> dict[str, bytes]:
    return {
        path.relative_to(workspace.path).as_posix(): path.read_bytes()
        for path in sorted(workspace.path.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_changed_source_under_a_sealed_split_is_refused(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    run_split(SplitConfig(), workspace, SerialExecutor(), NullProgress())
    before = contents(workspace)
    write_image(source / "df/new.png", 99)
    with pytest.raises(WorkspaceError, match="the files or rows of the source have changed"):
        take(source, workspace)
    with pytest.raises(WorkspaceError, match=r"\(modality\) have changed, but the images"):
        take(source, workspace, modality="dermatoscopy")
    assert contents(workspace) == before
    (source / "df/new.png").unlink()
    take(source, workspace)
    assert contents(workspace) == before


def test_an_import_that_cannot_be_kept_leaves_the_earlier_one(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    before = contents(workspace)
    small = write_class_folders(source.parent / "small", {"df": 8, "vasc": 1})
    with pytest.raises(InputError, match="'vasc' has 1 usable image"):
        take(small, workspace)
    (source / "df/broken.png").write_bytes(b"")
    with pytest.raises(InputError, match="the import is strict"):
        take(source, workspace, is_strict=True)
    assert contents(workspace) == before


def test_synthetic_images_that_cannot_be_kept_leave_the_earlier_ones(source: Path, workspace: Workspace) -> None:
    def bring(folder: Path) -> None:
        config = ExternalConfig(source=str(folder), generator="other", image_size_px=16)
        run_external(config, workspace, SerialExecutor(), NullProgress())

    take(source, workspace)
    made = write_class_folders(source.parent / "made", {"DF": 3})
    bring(made)
    assert set(read_manifest(workspace.resolve("synthetic/other/manifest.parquet"))["label"]) == {"df"}
    before = contents(workspace)
    empty = source.parent / "empty" / "df"
    empty.mkdir(parents=True)
    (empty / "a.png").write_bytes(b"")
    with pytest.raises(InputError):
        bring(empty.parent)
    assert contents(workspace) == before


def test_a_study_keeps_its_split_when_the_images_change(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    run_split(SplitConfig(), workspace, SerialExecutor(), NullProgress())
    write_json_atomic(workspace.resolve("studies/main/run.json"), {})
    sealed = workspace.resolve(SPLIT).read_bytes()
    manifest = read_manifest(workspace.resolve(MANIFEST))
    manifest.iloc[:-1].to_parquet(workspace.resolve(MANIFEST), index=False)
    with pytest.raises(WorkspaceError, match="has already used its split"):
        split_data(DataSettings(), workspace.path, SerialExecutor(), NullProgress())
    assert workspace.resolve(SPLIT).read_bytes() == sealed
