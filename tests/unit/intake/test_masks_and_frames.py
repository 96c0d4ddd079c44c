"""Masks follow their images into the workspace; frames of one file are images of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tenfold.core.hashing import sha256_bytes, sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.import_items import ImportItem, PixelChoice
from tenfold.intake.originals import Original, without_duplicates
from tests.dicom_files import clip_of, write_dicom
from tests.image_files import write_class_folders
from tests.unit.intake.import_into import Log, by_name, intake, manifest_of


def mask_file(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def masked_source(tmp_path: Path) -> Path:
    root = write_class_folders(tmp_path / "s/images", {"df": 4, "vasc": 4})
    levels = np.zeros((32, 40), dtype=np.uint8)
    levels[8:24, 8:32], levels[12:20, 16:24] = 128, 255
    mask_file(root.parent / "masks/df/image_0.png", levels)
    mask_file(root.parent / "masks/df/image_1.png", levels[::2, ::2])
    mask_file(root.parent / "masks/df/image_2.png", levels[:, :20])
    (root.parent / "masks/vasc").mkdir()
    (root.parent / "masks/vasc/image_0.png").write_bytes(b"no image")
    colored = np.zeros((32, 40, 3), dtype=np.uint8)
    colored[:16] = 255
    mask_file(root.parent / "masks/vasc/image_1.png", colored)
    return root.parent


def test_masks_are_cut_like_their_images_and_keep_their_levels(tmp_path: Path, workspace: Workspace) -> None:
    source, log = masked_source(tmp_path), Log()
    result = intake(workspace, source, log)
    rows = by_name(workspace)
    path = rows.loc["images/df/image_0.png", "mask_path"]
    assert path == f"data/masks/{rows.loc['images/df/image_0.png', 'image_id']}.png"
    with Image.open(workspace.resolve(path)) as image:
        mask = np.asarray(image)
    assert mask.shape == (16, 16) and set(np.unique(mask)) == {0, 128, 255}
    assert mask[0, 0] == 0 and mask[8, 8] == 255 and mask[4, 8] == 128
    assert path in result.outputs
    assert result.summary["masks"] == 3 and result.summary["kept"] == 8
    assert rows.loc[["images/df/image_2.png", "images/vasc/image_0.png"], "mask_path"].isna().all()
    note = next(line for line in log.lines if "mask files are not used" in line)
    assert note.startswith("2 mask files") and "20 x 32 pixels does not fit the image of 40 x 32" in note
    colored = Image.open(workspace.resolve(rows.loc["images/vasc/image_1.png", "mask_path"]))
    assert set(np.unique(np.asarray(colored))) == {0, 255}


def test_a_changed_mask_changes_the_import(tmp_path: Path, workspace: Workspace) -> None:
    source = masked_source(tmp_path)
    intake(workspace, source)
    assert intake(workspace, source).was_finished
    mask_file(source / "masks/df/image_0.png", np.full((32, 40), 200, dtype=np.uint8))
    assert not intake(workspace, source).was_finished
    with Image.open(workspace.resolve(by_name(workspace).loc["images/df/image_0.png", "mask_path"])) as image:
        assert (np.asarray(image) == 200).all()


def test_padded_masks_are_padded_like_their_images(tmp_path: Path, workspace: Workspace) -> None:
    intake(workspace, masked_source(tmp_path), resize_mode="pad")
    rows = by_name(workspace)
    with Image.open(workspace.resolve(rows.loc["images/vasc/image_1.png", "mask_path"])) as image:
        mask = np.asarray(image)
    assert mask.shape == (16, 16) and (mask[:7] == 255).all() and (mask[9:] == 0).all()


def test_frames_of_a_file_have_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "clip.dcm"
    path.write_bytes(b"frames")
    sha256 = sha256_file(path)
    choices = [None, PixelChoice(frame=0), PixelChoice(frame=3), PixelChoice(window=(40.0, 80.0))]
    originals = [Original(ImportItem(str(path), f"{k}", "df", choice=one), sha256, 6) for k, one in enumerate(choices)]
    assert originals[0].image_id == originals[3].image_id == sha256[:16]
    assert originals[2].image_id == sha256_bytes(f"{sha256}:3".encode())[:16]
    kept, refused = without_duplicates(originals)
    assert [one.item.name for one in kept] == ["0", "1", "2"]
    assert [row.reason for row in refused] == ["exact_duplicate"]


def test_chosen_frames_of_a_clip_come_in_as_images_of_one_patient(tmp_path: Path, workspace: Workspace) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 4, "vasc": 4})
    write_dicom(root / "df/clip.dcm", clip_of("patient 1", frames=6))
    summary = intake(workspace, root, dicom={"frames": 3}).summary
    manifest = manifest_of(workspace)
    clip = manifest[manifest["patient_id"].notna()]
    assert len(clip) == 3 and clip["patient_id"].nunique() == 1 and clip["group_id"].nunique() == 1
    assert clip["image_id"].is_unique and clip["sha256"].nunique() == 3
    assert summary["rows_in"] == summary["kept"] + summary["quarantined"]
    facts = pd.read_parquet(workspace.resolve("data/file_facts.parquet")).set_index("image_id")
    assert set(facts.loc[clip["image_id"], "frames"]) == {6} and set(facts.loc[clip["image_id"], "format"]) == {"DICOM"}
    written = workspace.resolve("data/intake_plan.jsonl").read_text() + manifest.to_csv()
    assert "patient 1" not in written
    again = intake(workspace, root, dicom={"frames": 3})
    assert again.was_finished, "the same key gives the same pseudonyms"
