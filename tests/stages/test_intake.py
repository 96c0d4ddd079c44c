"""Intake and split as stages: counts, quarantine, resume, determinism and bad input.

This file is long because each kind of bad input has its own test on its message.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, InputError
from tenfold.core.executor import ProcessExecutor, SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, decode_picture
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.data.manifest_checks import check_manifest
from tenfold.data.splits import group_keys, read_sealed_split, with_split
from tenfold.intake import preparation
from tenfold.intake.config import IntakeConfig, PhantomConfig, SplitConfig
from tenfold.intake.run import run
from tenfold.intake.split import run_split
from tests.image_files import write_class_folders, write_image


class Log(NullProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def intake(workspace: Workspace, source: Path | str, log: Log | None = None, **changes: Any) -> Result:
    config = IntakeConfig(source=str(source), image_size_px=16, **changes)
    return run(config, workspace, SerialExecutor(), log or Log())


def manifest_of(workspace: Workspace) -> pd.DataFrame:
    return read_manifest(workspace.resolve("data/manifest.parquet"))


def quarantine_of(workspace: Workspace) -> pd.DataFrame:
    return pd.read_csv(workspace.resolve("data/quarantine.csv"))


def bytes_of(workspace: Workspace) -> dict[str, bytes]:
    names = ["data/manifest.parquet", "data/quarantine.csv", "data/file_facts.parquet"]
    names += sorted(workspace.relative(path) for path in workspace.resolve("data/images").iterdir())
    return {name: workspace.resolve(name).read_bytes() for name in names}


@pytest.fixture
def other(tmp_path: Path) -> Workspace:
    """Another workspace of the same root seed."""
    return Workspace.create(tmp_path / "other", name="test", root_seed=7, data_license="CC0-1.0")


def test_the_phantom_comes_in_with_masks_and_captions(workspace: Workspace, other: Workspace) -> None:
    phantom = PhantomConfig(images_per_class={"annulosis": 6, "nevus": 9}, skin_types=(5, 6))
    changes = {"classes": ["annulosis", "nevus"], "phantom": phantom, "class_nouns": {"nevus": "mole"}}
    result = intake(workspace, "phantom", **changes)
    manifest = manifest_of(workspace)
    assert check_manifest(manifest) == []
    assert result.summary["images_per_class"] == {"annulosis": 6, "nevus": 9}
    assert set(manifest["skin_type"]) <= {5, 6} and set(manifest["skin_type_group"]) == {"V-VI"}
    assert manifest["patient_id"].notna().all() and manifest["group_id"].notna().all()
    assert manifest["split"].isna().all()
    moles = manifest[manifest["label"] == "nevus"]
    assert moles["caption"].str.startswith("a photo of mole").all()
    for row in manifest_rows(manifest.head(3)):
        assert decode_image(workspace.resolve(row["path"])).shape == (16, 16, 3)
        assert decode_image(workspace.resolve(row["mask_path"])).shape == (16, 16, 3)
    intake(other, "phantom", **changes)
    assert bytes_of(other) == bytes_of(workspace)
    assert intake(workspace, "phantom", **changes).was_finished


def test_the_phantom_has_emerging_conditions_by_default(workspace: Workspace) -> None:
    intake(workspace, "phantom", phantom=PhantomConfig(images_per_class=4))
    assert sorted(set(manifest_of(workspace)["label"])) == ["annulosis", "satellosis", "targetosis", "umbilicosis"]
    with pytest.raises(DataError, match=r"unknown classes: 'anulosis'(.|\n)*did you mean 'annulosis'"):
        intake(workspace, "phantom", classes=["anulosis"])
    with pytest.raises(DataError, match="no number for annulosis; not among the classes: nevus"):
        intake(workspace, "phantom", classes=["annulosis"], phantom=PhantomConfig(images_per_class={"nevus": 3}))


def test_folders_come_in_and_the_missing_grouping_is_told(tmp_path: Path, workspace: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 5, "vasc": 6, "akiec": 4}, ".jpg")
    (root / "df/image_1.txt").write_text("seen early")
    log = Log()
    result = intake(workspace, root, log, classes=["df", "vasc"], class_nouns={"df": "dermatofibroma"}, modality="x")
    manifest = manifest_of(workspace)
    assert check_manifest(manifest) == []
    assert log.lines[0] == "Intake: 11 rows in = 11 kept + 0 quarantined"
    assert any("no patient, lesion or group is known" in line for line in log.lines)
    assert result.summary["rows_of_other_classes"] == {"akiec": 4}
    assert result.summary["data_license"] == workspace.data_license
    first, second = list(manifest_rows(manifest))[:2]
    assert (first["caption"], second["caption"]) == ("a photo of dermatofibroma", "seen early")
    assert first["attr.original_path"] == "df/image_0.jpg" and first["attr.original_width_px"] == "40"
    assert (first["width_px"], first["height_px"], first["modality"]) == (16, 16, "x")
    assert first["group_id"] == f"group_{first['image_id']}"


def test_tables_group_by_what_they_know(tmp_path: Path, workspace: Workspace) -> None:
    write_class_folders(tmp_path / "s/images", {"df": 4, "vasc": 4})
    lines = ["image,label,patient_id,group_id"]
    for label in ("df", "vasc"):
        lines += [f"{label}/image_{k}.png,{label},p{k // 2}," + ("g" if k == 0 else "") for k in range(4)]
    (tmp_path / "s/metadata.csv").write_text("\n".join(lines))
    result = intake(workspace, tmp_path / "s")
    manifest = manifest_of(workspace)
    assert result.summary["grouped_by"] == ["group_id", "patient_id", "near-duplicates"]
    assert result.summary["warnings"] == []
    groups = manifest.groupby("patient_id")["group_id"].agg(["nunique", "first"])
    assert groups["nunique"].tolist() == [1, 1] and groups.loc["p0", "first"] == "g"


def test_what_cannot_be_used_is_quarantined_and_counted(tmp_path: Path, workspace: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 6, "vasc": 6}, ".jpg")
    whole = write_image(root / "df/big.jpg", 77, 300, 300).read_bytes()
    (root / "df/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "df/empty.jpg").write_bytes(b"")
    (root / "df/fake.jpg").write_bytes(b"MZ no image at all")
    shutil.copy(root / "df/image_0.jpg", root / "df/image_9.jpg")
    shutil.copy(root / "df/image_1.jpg", root / "vasc/image_9.jpg")
    result = intake(workspace, root)
    found = quarantine_of(workspace)
    assert dict(zip(found["path"], found["reason"], strict=True)) == {
        "df/cut.jpg": "damaged_image", "df/empty.jpg": "empty_file", "df/fake.jpg": "not_an_image",
        "df/image_9.jpg": "exact_duplicate", "df/image_1.jpg": "conflicting_labels",
        "vasc/image_9.jpg": "conflicting_labels",
    }  # fmt: skip
    assert found.loc[found["path"] == "df/image_9.jpg", "detail"].item() == "the same bytes as df/image_0.jpg"
    assert "df/image_1.jpg (df)" in found.loc[found["path"] == "vasc/image_9.jpg", "detail"].item()
    assert (result.summary["rows_in"], result.summary["kept"], result.summary["quarantined"]) == (18, 12, 6)
    assert "twin of another class" in " ".join(result.summary["warnings"])
    assert not {"df/image_1.jpg", "vasc/image_9.jpg"} & set(manifest_of(workspace)["attr.original_path"])


def test_table_rows_keep_their_line_in_the_quarantine(tmp_path: Path, workspace: Workspace) -> None:
    write_class_folders(tmp_path / "s/images", {"df": 3, "vasc": 3})
    (tmp_path / "s/images/df/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = ["image,label", "gone.png,df", "bad.png,df", "../x.png,vasc", '"=cmd()",vasc']
    lines += [f"{label}/image_{k},{label}" for label in ("df", "vasc") for k in range(3)]
    (tmp_path / "s/metadata.csv").write_text("\n".join(lines))
    log = Log()
    intake(workspace, tmp_path / "s", log)
    found = quarantine_of(workspace)
    assert list(zip(found["line"], found["path"], found["reason"], strict=True)) == [
        (2, "gone.png", "missing_file"), (3, "images/df/bad.png", "not_an_image"),
        (4, "../x.png", "leaves_source_root"), (5, "'=cmd()", "missing_file"),
    ]  # fmt: skip
    assert any("2 image files are missing" in line for line in log.lines)


def test_small_classes_say_what_is_possible_and_the_quarantine_stays(tmp_path: Path, workspace: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 4, "rare": 1, "vasc": 4})
    (root / "rare/broken.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'rare' has 1 usable image\n(.|\n)*at least 3(.|\n)*--classes df,vasc"):
        intake(workspace, root)
    assert quarantine_of(workspace)["path"].tolist() == ["rare/broken.png"]
    with pytest.raises(DataError, match="two classes of this size are the least"):
        intake(workspace, root, classes=["df", "rare"])
    assert intake(workspace, root, classes=["df", "vasc"]).summary["kept"] == 8


def test_a_source_without_one_usable_image(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "s/a").mkdir(parents=True)
    (tmp_path / "s/a/x.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image could be kept(.|\n)*1 empty_file(.|\n)*quarantine.csv"):
        intake(workspace, tmp_path / "s")


def test_an_interrupted_import_keeps_its_finished_batches(
    tmp_path: Path, workspace: Workspace, other: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 20, "vasc": 20}, ".jpg")
    intake(other, root)
    decoded: list[Any] = []

    def counting(source: Any) -> Any:
        if len(decoded) == 25 and not resumed:
            raise KeyboardInterrupt
        decoded.append(source)
        return decode_picture(source)

    monkeypatch.setattr(preparation, "_BATCH_IMAGES", 8)
    monkeypatch.setattr(preparation, "decode_picture", counting)
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        intake(workspace, root)
    written = sorted(workspace.resolve("data/images").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(written) == 25
    written[0].write_bytes(written[0].read_bytes()[:60])
    resumed = True
    intake(workspace, root)
    assert len(decoded) == 25 + (40 - 24) + 8, "the batch that was cut short, those after it, and the damaged one"
    assert bytes_of(workspace) == bytes_of(other)
    assert not workspace.resolve("data/intake/prepared").exists()


def test_changed_sources_and_settings_start_anew(tmp_path: Path, workspace: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 4, "vasc": 4})
    intake(workspace, root)
    assert intake(workspace, root).was_finished
    (root / "df/image_0.txt").write_text("a caption")
    assert not intake(workspace, root).was_finished
    (root / "df/image_0.png").unlink()
    assert intake(workspace, root).summary["kept"] == 7
    assert len(list(workspace.resolve("data/images").iterdir())) == 7
    run(IntakeConfig(source=str(root), image_size_px=20, resize_mode="pad"), workspace, SerialExecutor(), Log())
    assert {row["width_px"] for row in manifest_rows(manifest_of(workspace))} == {20}


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(tmp_path: Path, workspace: Workspace, other: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 20, "vasc": 20})
    intake(workspace, root)
    with ProcessExecutor(2) as executor:
        run(IntakeConfig(source=str(root), image_size_px=16), other, executor, Log())
    assert bytes_of(workspace) == bytes_of(other)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["good", "empty", "broken", "twin", "foe", "gone"]), max_size=12))
def test_rows_in_are_rows_kept_and_quarantined(tmp_path_factory: pytest.TempPathFactory, kinds: list[str]) -> None:
    root = write_class_folders(tmp_path_factory.mktemp("s") / "s", {"a": 4, "b": 4})
    lines = ["image,label", *[f"{label}/image_{k}.png,{label}" for label in "ab" for k in range(4)]]
    for number, kind in enumerate(kinds):
        target = root / "a" / f"{kind}_{number}.png"
        if kind == "good":
            write_image(target, 5000 + number)
        elif kind in ("twin", "foe"):
            shutil.copy(root / ("a" if kind == "twin" else "b") / "image_0.png", target)
        elif kind != "gone":
            target.write_bytes(b"" if kind == "empty" else b"no image")
        lines.append(f"a/{target.name},a")
    (root / "metadata.csv").write_text("\n".join(lines))
    workspace = Workspace.create(root.parent / "w", name="t", root_seed=1, data_license="none")
    summary = intake(workspace, root).summary
    assert summary["rows_in"] == len(lines) - 1 == summary["kept"] + summary["quarantined"]
    assert len(manifest_of(workspace)) == summary["kept"]
    assert len(quarantine_of(workspace)) == summary["quarantined"]
    lost = {"empty_file", "not_an_image", "exact_duplicate", "conflicting_labels", "missing_file"}
    assert set(summary["quarantine_reasons"]) <= lost


def test_the_split_is_sealed_and_joined(workspace: Workspace) -> None:
    intake(workspace, "phantom", phantom=PhantomConfig(images_per_class=24))
    log = Log()
    config = SplitConfig(test_per_class=5, validation_fraction=0.2)
    result = run_split(config, workspace, SerialExecutor(), log)
    sealed = read_sealed_split(workspace.resolve("data/splits.json"))
    table = with_split(manifest_of(workspace), sealed)
    assert result.summary["test_sha256"] == sealed.test_sha256
    assert set(sealed.counts["test"].values()) == {5}
    parts = pd.DataFrame({"key": group_keys(table), "patient": table["patient_id"], "split": table["split"]})
    for name in ("key", "patient"):
        assert (parts.groupby(name)["split"].nunique() == 1).all()
    assert any(line.startswith("Split test: annulosis 5") for line in log.lines)
    assert run_split(config, workspace, SerialExecutor(), Log()).was_finished
    other = run_split(SplitConfig(test_per_class=5, seed=3), workspace, SerialExecutor(), Log())
    assert other.summary["sha256"] != result.summary["sha256"]


def test_split_faults(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="there is no such manifest"):
        run_split(SplitConfig(), workspace, SerialExecutor(), Log())
    intake(workspace, write_class_folders(tmp_path / "s", {"df": 5}))
    with pytest.raises(DataError, match="only 'df'"):
        run_split(SplitConfig(), workspace, SerialExecutor(), Log())
    with pytest.raises(ValueError, match="not both"):
        SplitConfig(test_per_class=3, test_fraction=0.2)
    intake(workspace, write_class_folders(tmp_path / "t", {"df": 8, "vasc": 8}))
    with pytest.raises(InputError, match=r"cannot give 40 images for the test split(.|\n)*at most 6"):
        run_split(SplitConfig(test_per_class=40), workspace, SerialExecutor(), Log())


REAL: Mapping[str, tuple[dict[str, Any], Mapping[str, int], int]] = {
    "ham5": ({"classes": ["df", "vasc", "akiec"]}, {"akiec": 321, "df": 104, "vasc": 142}, 0),
    "bccd_crops": ({}, {"Platelets": 100, "RBC": 101, "WBC": 100}, 0),
    "wbc": ({}, {"basophil": 4, "eosinophil": 34, "lymphocyte": 89, "monocyte": 63, "neutrophil": 209}, 1),
    "cxr_covid": ({"classes": ["pneumonia", "no_findings"]}, {"no_findings": 151, "pneumonia": 150}, 0),
}


@pytest.fixture
def real_folder() -> Callable[[str], Path]:
    folder = Path(__file__).parents[3] / "shared" / "data"

    def of(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real images: {folder / name} is not there")
        return folder / name

    return of


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_real_sets_come_in(name: str, workspace: Workspace, real_folder: Callable[[str], Path]) -> None:
    changes, counts, quarantined = REAL[name]
    summary = intake(workspace, real_folder(name), **changes).summary
    assert summary["images_per_class"] == counts
    assert summary["quarantined"] == quarantined
    run_split(SplitConfig(), workspace, SerialExecutor(), Log())
    table = with_split(manifest_of(workspace), read_sealed_split(workspace.resolve("data/splits.json")))
    for column in ("group_id", "patient_id", "lesion_id"):
        assert (table.groupby(column)["split"].nunique() <= 1).all()
    assert read_run_record(workspace.resolve("data/split")).summary["images"]["test"].keys() == counts.keys()


@pytest.mark.real_data
def test_the_two_tables_and_the_folder_of_ham5_agree(
    workspace: Workspace, other: Workspace, real_folder: Callable[[str], Path]
) -> None:
    chosen = {"classes": ["df", "vasc"]}
    intake(workspace, real_folder("ham5"), **chosen)
    table = manifest_of(workspace).set_index("image_id").sort_index()
    for source, kind in [(real_folder("ham5") / "HAM10000_metadata.csv", "auto"), (real_folder("ham5"), "folder")]:
        intake(other, source, format=kind, **chosen)
        found = manifest_of(other).set_index("image_id").sort_index()
        assert found["label"].equals(table["label"]) and found["sha256"].equals(table["sha256"])
        assert kind == "folder" or found["lesion_id"].equals(table["lesion_id"])
