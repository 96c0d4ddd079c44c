"""The data export: tables with the split filled in and formulas made harmless, and a folder that appears whole."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.import_items import Listing
from tenfold.data.importers import SourceOptions, list_source
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.splits import read_sealed_split, seal_split, with_split
from tenfold.intake import export
from tenfold.intake.export import Export, TrainingSubset, export_data
from tests.tiny_data import make_tiny_workspace


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "ws")


def exported(workspace: Workspace, target: Path) -> Export:
    return export_data(workspace, target, NullProgress())


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_holds_the_manifest_with_its_split(suffix: str, tiny: Workspace, tmp_path: Path) -> None:
    written = exported(tiny, tmp_path / f"out{suffix}")
    assert (written.kind, written.n_images) == (suffix[1:], 16)
    assert written.by_split == {"train": 8, "val": 4, "test": 4}
    table, manifest = read_manifest(written.target), read_manifest(tiny.resolve("data/manifest.parquet"))
    assert table.drop(columns="split").equals(manifest.drop(columns="split"))
    assert table["split"].value_counts().to_dict() == written.by_split


def test_formulas_are_made_harmless(tiny: Workspace, tmp_path: Path) -> None:
    path = tiny.resolve("data/manifest.parquet")
    manifest = read_manifest(path).assign(**{"attr.note": "=cmd()|' /C calc'!A0"})
    manifest["attr.note"] = manifest["attr.note"].astype("string")
    write_manifest(manifest, path)
    exported(tiny, tmp_path / "out.csv")
    exported(tiny, tmp_path / "folder")
    for text in ((tmp_path / "out.csv").read_text(), (tmp_path / "folder/images.csv").read_text()):
        assert "'=cmd()" in text and ",=cmd()" not in text and ',"=cmd()' not in text
    assert set(read_manifest(tmp_path / "out.csv")["attr.note"]) == {"=cmd()|' /C calc'!A0"}


def test_a_folder_is_an_imagefolder_with_a_card(tiny: Workspace, tmp_path: Path) -> None:
    written = exported(tiny, tmp_path / "folder")
    assert (written.kind, written.n_images, written.n_masks) == ("imagefolder", 16, 0)
    for name, count in {"train": 8, "validation": 4, "test": 4}.items():
        rows = pd.read_parquet(tmp_path / "folder" / name / "metadata.parquet")
        assert list(rows.columns[:2]) == ["file_name", "label"]
        assert sorted(rows["file_name"]) == sorted(path.name for path in (tmp_path / "folder" / name).glob("*.png"))
        assert len(rows) == count
        assert {"patient_id", "skin_type", "camera"} <= set(rows.columns)
        assert not {"path", "split", "mask_path", "parent_id"} & set(rows.columns)
    card = (tmp_path / "folder/README.md").read_text()
    assert "CC-BY-4.0 of nobody" in card and "| mole | 4 | 2 | 2 |" in card and "not for diagnosis" in card
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tmp")]


def test_masks_come_along(tiny: Workspace, tmp_path: Path) -> None:
    path = tiny.resolve("data/manifest.parquet")
    manifest = read_manifest(path)
    first = str(manifest["image_id"].iloc[0])
    mask = tiny.resolve(f"data/masks/{first}.png")
    mask.parent.mkdir(parents=True)
    mask.write_bytes(tiny.resolve(str(manifest["path"].iloc[0])).read_bytes())
    manifest.loc[0, "mask_path"] = tiny.relative(mask)
    write_manifest(manifest, path)
    assert exported(tiny, tmp_path / "folder").n_masks == 1
    assert (tmp_path / f"folder/masks/{first}.png").is_file()
    rows = pd.concat(pd.read_parquet(found) for found in (tmp_path / "folder").glob("*/metadata.parquet"))
    assert set(rows["mask"].dropna()) == {f"masks/{first}.png"}


def test_an_exported_folder_can_be_imported_again(tiny: Workspace, tmp_path: Path) -> None:
    exported(tiny, tmp_path / "folder")
    listing: Listing = list_source(tmp_path / "folder", SourceOptions())
    manifest = read_manifest(tiny.resolve("data/manifest.parquet"))
    assert len(listing.items) == 16 and not listing.quarantined
    patients = dict(zip(manifest["image_id"], manifest["patient_id"], strict=True))
    assert {item.path.stem: item.fields["patient_id"] for item in listing.items} == patients
    splits = read_json(tiny.resolve("data/splits.json"))["assignments"]
    words = {"train": "train", "validation": "val", "val": "val", "test": "test"}
    assert {item.path.stem: words[item.fields["attr.split"]] for item in listing.items} == splits


def test_without_a_split_it_says_so(tiny: Workspace, tmp_path: Path) -> None:
    tiny.resolve("data/splits.json").unlink()
    written = exported(tiny, tmp_path / "folder")
    assert written.by_split == {"no split": 16} and "tenfold data split" in written.notes[0]
    assert len(list((tmp_path / "folder/train").glob("*.png"))) == 16


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.xlsx", r"\.xlsx is no format(.|\n)*\.csv, \.jsonl, \.parquet, or a folder"),
        ("there.csv", "something of that name already(.|\n)*never writes over"),
        ("full", "something of that name already"),
    ],
)
def test_bad_targets_are_refused_with_what_to_do(name: str, words: str, tiny: Workspace, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(DataError, match=words):
        exported(tiny, tmp_path / name)
    assert (tmp_path / "there.csv").read_text() == "mine" and (tmp_path / "full/mine.txt").is_file()


def test_an_empty_folder_may_be_written_to(tiny: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert exported(tiny, tmp_path / "empty").kind == "imagefolder"


def test_a_workspace_without_images(tmp_path: Path) -> None:
    bare = Workspace.create(tmp_path / "bare", name="bare", root_seed=0, data_license="x")
    with pytest.raises(DataError, match=r"holds no images yet(.|\n)*tenfold data import"):
        exported(bare, tmp_path / "out.csv")


def test_a_failed_export_leaves_nothing(tiny: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next(tiny.resolve("data/images").iterdir()).unlink()
    with pytest.raises(DataError, match=r"image of the manifest is missing(.|\n)*run the same import again"):
        exported(tiny, tmp_path / "folder")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export.shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        exported(tiny, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ws"]


def test_images_outside_the_split_are_told(tiny: Workspace, tmp_path: Path) -> None:
    manifest = read_manifest(tiny.resolve("data/manifest.parquet"))
    names = with_split(manifest, read_sealed_split(tiny.resolve("data/splits.json")))["split"]
    split = pd.Series(pd.array(names, dtype="string"), index=manifest["image_id"].astype(str))
    split.iloc[int((names == "train").to_numpy().argmax())] = pd.NA
    seal_split(tiny.resolve("data/splits.json"), manifest, split, seed=1)
    done = exported(tiny, tmp_path / "out.csv")
    assert done.n_images == len(manifest) - 1
    assert "1 images are in no part of the split and were left out." in done.notes


def test_subsets_for_a_learning_curve_nest(tiny: Workspace, tmp_path: Path) -> None:
    def training_ids(size: int) -> set[str]:
        target = tmp_path / f"{size}.csv"
        export_data(tiny, target, NullProgress(), subset=TrainingSubset(size, seed=3))
        table = read_manifest(target)
        assert (table["split"] == "test").sum() == n_test
        train = table[table["split"] == "train"]
        assert set(train["label"].value_counts()) == {size}
        return set(train["image_id"].astype(str))

    manifest = read_manifest(tiny.resolve("data/manifest.parquet"))
    n_test = (with_split(manifest, read_sealed_split(tiny.resolve("data/splits.json")))["split"] == "test").sum()
    assert training_ids(1) < training_ids(2)
    with pytest.raises(DataError, match="10000 images per class are not there"):
        training_ids(10_000)
