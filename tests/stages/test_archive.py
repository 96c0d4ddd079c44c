"""An archive without classes becomes pictures and a manifest; nothing vanishes, held-out images stay out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.finetuning.pretrain_archive import Archive, gather_manifest
from tenfold.finetuning.pretrain_held_out import seen_ids
from tenfold.intake.archive import archive_manifest, run_archive
from tenfold.intake.archive_config import ArchiveConfig
from tests.image_files import write_image
from tests.tiny_data import ids_of, make_tiny_workspace


def _workspace(path: Path) -> Workspace:
    return Workspace.open_or_create(path, name="test", root_seed=1, data_license="own")


def _import(workspace: Workspace, source: Path, **settings: object) -> tuple[Result, pd.DataFrame]:
    config = ArchiveConfig.model_validate({"source": str(source), "image_size_px": 16, **settings})
    with SerialExecutor() as executor:
        result = run_archive(config, workspace, executor, NullProgress())
    return result, read_manifest(workspace.resolve(archive_manifest(config.name)))


def _gather(workspace: Workspace, folder: Path) -> Archive:
    return gather_manifest(folder, workspace, archive_manifest("archive"), image_size_px=16)


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Four pictures in nested folders, one captioned by a text file, a copy, a broken file and a letter."""
    folder = tmp_path / "all"
    for number, name in enumerate(("a.png", "2019/b.jpg", "2019/x/c.png", "d.png")):
        write_image(folder / name, number)
    (folder / "d.txt").write_text("a photo of a\nred rash\n", encoding="utf-8")
    shutil.copy(folder / "a.png", folder / "2019" / "again.png")
    (folder / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "letter.pdf").write_bytes(b"%PDF")
    return folder


def test_a_folder_without_classes_is_taken_whole(nested: Path, tmp_path: Path) -> None:
    result, manifest = _import(_workspace(tmp_path / "ws"), nested)
    assert sorted(manifest["attr.original_path"]) == ["2019/again.png", "2019/b.jpg", "2019/x/c.png", "d.png"]
    assert manifest["label"].isna().all()
    assert manifest["split"].isna().all()
    assert manifest["caption"].dropna().tolist() == ["a photo of a red rash"]
    assert result.summary["quarantine_reasons"] == {"exact_duplicate": 1, "not_an_image": 2}
    assert (result.summary["rows_in"], result.summary["kept"]) == (7, 4)
    assert _import(_workspace(tmp_path / "ws"), nested)[0].was_finished


def test_folder_names_are_classes_only_when_told(tmp_path: Path) -> None:
    for number, name in enumerate(("nevus/a.png", "nevus/b.png", "rash/c.png")):
        write_image(tmp_path / "all" / name, number)
    _, plain = _import(_workspace(tmp_path / "one"), tmp_path / "all")
    assert plain["caption"].isna().all()
    _, labelled = _import(_workspace(tmp_path / "two"), tmp_path / "all", folder_names="labels")
    assert sorted(labelled["caption"]) == ["a photo of nevus", "a photo of nevus", "a photo of rash"]


def test_a_table_needs_no_label_and_gives_captions(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", number)
    rows = ["file,finding text,patient_id", "0.png,a blister,p1", "1.png,,p2", "2.png,an ulcer,p2", "3.png,gone,p3"]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    result, manifest = _import(_workspace(tmp_path / "ws"), table, column_map={"caption": "finding text"})
    assert manifest["caption"].fillna("").tolist() == ["a blister", "", "an ulcer"]
    assert manifest["patient_id"].tolist() == ["p1", "p2", "p2"]
    assert manifest["label"].isna().all()
    assert result.summary["quarantine_reasons"] == {"missing_file": 1}


def test_a_table_with_some_labels_keeps_the_rows_without(tmp_path: Path) -> None:
    for number in range(2):
        write_image(tmp_path / f"{number}.png", number)
    (tmp_path / "table.csv").write_text("image,label\n0.png,rash\n1.png,\n", encoding="utf-8")
    _, manifest = _import(_workspace(tmp_path / "ws"), tmp_path / "table.csv")
    assert manifest["label"].fillna("").tolist() == ["rash", ""]
    assert manifest["caption"].fillna("").tolist() == ["a photo of rash", ""]


def test_another_workspace_gives_its_training_images(tmp_path: Path) -> None:
    other = make_tiny_workspace(tmp_path / "other", image_size_px=16)
    workspace = _workspace(tmp_path / "ws")
    _, manifest = _import(workspace, other.path)
    assert set(manifest["attr.source_image_id"]) == set(ids_of(other, "train"))
    archive = _gather(workspace, tmp_path / "gathered")
    assert not archive.held_out.is_checked
    assert set(archive.seen_ids["archive_image_ids"]) == set(ids_of(other, "train"))


@pytest.mark.parametrize("content", [(), ("letter.pdf",)])
def test_an_archive_without_images_is_refused(tmp_path: Path, content: tuple[str, ...]) -> None:
    (tmp_path / "all").mkdir()
    for name in content:
        (tmp_path / "all" / name).write_bytes(b"%PDF")
    with pytest.raises(DataError, match="holds no image"):
        _import(_workspace(tmp_path / "ws"), tmp_path / "all")


def test_only_broken_images_are_refused_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no image of the archive could be kept") as caught:
        _import(_workspace(tmp_path / "ws"), tmp_path / "all")
    assert "not_an_image" in caught.value.where


def test_held_out_images_their_copies_and_their_patients_are_left_out(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=16)
    manifest = read_manifest(workspace.resolve("data/manifest.parquet")).set_index("image_id")
    train, test = ids_of(workspace, "train")[0], ids_of(workspace, "test")[0]
    folder = tmp_path / "all"
    for number in range(3):
        write_image(folder / f"new_{number}.png", number)
    for name, image_id in (("train", train), ("test", test)):
        shutil.copy(workspace.resolve(manifest.loc[image_id, "path"]), folder / f"{name}.png")
    Image.open(folder / "test.png").resize((32, 32)).save(folder / "enlarged.png")
    patient = manifest.loc[ids_of(workspace, "val")[0], "patient_id"]
    rows = [f"{path.name},{patient if path.stem == 'new_0' else ''}" for path in sorted(folder.glob("*.png"))]
    (folder / "table.csv").write_text("\n".join(["image,patient_id", *rows]) + "\n", encoding="utf-8")
    _import(workspace, folder / "table.csv")
    archive = _gather(workspace, tmp_path / "gathered")
    assert (archive.held_out.same_image, archive.held_out.related) == (1, 2)
    assert len(archive) == 3
    assert archive.seen_ids["image_ids"] == [train]
    assert len(archive.seen_ids["archive_image_ids"]) == 2
    assert set(archive.captions) == {"a photo"}
    assert "3 images were left out" in archive.held_out.sentence()


def test_ids_are_told_apart_by_the_workspace_that_holds_them(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=16)
    own = ids_of(workspace, "train")[0]
    table = pd.DataFrame({"image_id": [own, "f" * 16]})
    assert seen_ids(table, workspace) == {"image_ids": [own], "archive_image_ids": ["f" * 16]}


def test_images_that_would_be_enlarged_are_refused(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=16)
    with pytest.raises(DataError, match="16 x 16 px would have to be enlarged"):
        gather_manifest(tmp_path / "gathered", workspace, "data/manifest.parquet", image_size_px=32)
