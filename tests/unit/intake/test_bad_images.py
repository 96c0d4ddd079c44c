"""Bad images: each kind is quarantined with its reason, or comes in as well as it can; nothing vanishes."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, StorageError
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tests.dicom_files import gray_ramp, in_series, make_dicom, write_dicom
from tests.image_files import random_image, write_class_folders, write_image
from tests.unit.intake.import_into import by_name, facts_by_name, intake, quarantine_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "s", {"df": 4, "vasc": 4})


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_what_is_no_whole_image_is_quarantined_with_a_reason(root: Path, workspace: Workspace) -> None:
    whole = write_image(root / "df/cut.jpg", 77, 300, 300).read_bytes()
    (root / "df/cut.jpg").write_bytes(whole[: len(whole) // 2])
    png = write_image(root / "df/cut.png", 78, 200, 200).read_bytes()
    (root / "df/cut.png").write_bytes(png[: len(png) // 2])
    (root / "df/empty.jpg").write_bytes(b"")
    (root / "df/text.jpg").write_bytes(b"this is no image")
    (root / "df/bomb.png").write_bytes(bomb(50_000, 50_000))
    Image.fromarray(np.array([[0.5, np.nan]], dtype=np.float32)).save(root / "df/float.tiff")
    result = intake(workspace, root)
    found = quarantine_of(workspace)
    assert found["reason"].to_dict() == {
        "df/cut.jpg": "damaged_image", "df/cut.png": "damaged_image", "df/empty.jpg": "empty_file",
        "df/text.jpg": "not_an_image", "df/bomb.png": "too_large", "df/float.tiff": "damaged_image",
    }  # fmt: skip
    assert "truncated" in found.loc["df/cut.jpg", "detail"]
    assert found.loc["df/empty.jpg", "detail"] == "0 bytes"
    assert "the file is none of PNG, JPEG" in found.loc["df/text.jpg", "detail"]
    assert "refused by its header" in found.loc["df/bomb.png", "detail"]
    assert "no known range" in found.loc["df/float.tiff", "detail"]
    assert (result.summary["rows_in"], result.summary["kept"], result.summary["quarantined"]) == (14, 8, 6)
    assert len(list(workspace.resolve("data/images").iterdir())) == 8


def test_unusual_images_come_in_upright_and_in_color(root: Path, workspace: Workspace) -> None:
    image = Image.fromarray(random_image(1, 60, 40))
    image.convert("CMYK").save(root / "df/cmyk.jpg")
    image.convert("P").save(root / "df/palette.png")
    Image.fromarray(np.full((8, 9), 4095, dtype=np.uint16)).save(root / "df/sixteen.png")
    frames = [Image.fromarray(random_image(number)) for number in (5, 6)]
    frames[0].save(root / "df/animated.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_image(2, 60, 40)).save(root / "df/rotated.jpg", exif=exif, quality=95)
    (root / "df/mislabeled.jpg").write_bytes(write_image(root / "x.png", 9).read_bytes())
    (root / "x.png").unlink()
    Image.fromarray(np.full((5, 5, 3), 255, dtype=np.uint8)).save(root / "df/blank.png")
    assert intake(workspace, root).summary["kept"] == 15
    facts, rows = facts_by_name(workspace), by_name(workspace)
    assert facts.loc["df/cmyk.jpg", "mode"] == "CMYK" and facts.loc["df/palette.png", "mode"] == "P"
    assert facts.loc["df/animated.gif", "frames"] == 2 and facts.loc["df/rotated.jpg", "has_exif"]
    assert facts.loc["df/mislabeled.jpg", "format"] == "PNG", "what the bytes say, not the name"
    assert facts.loc["df/blank.png", "border_fraction"] == 1.0, "blank ones stay: the checks flag them"
    assert (decode_image(workspace.resolve(rows.loc["df/sixteen.png", "path"])) == 255).all()
    upright = np.rot90(random_image(2, 60, 40), k=-1).astype(int)[10:50:5, ::5]
    shown = decode_image(workspace.resolve(rows.loc["df/rotated.jpg", "path"])).astype(int)
    coarse = np.asarray(Image.fromarray(shown.astype(np.uint8)).resize((8, 8), Image.Resampling.BOX)).astype(int)
    assert np.corrcoef(coarse.ravel(), upright.ravel())[0, 1] > 0.6
    assert rows.loc["df/rotated.jpg", "attr.original_width_px"] == "60"


def test_dicom_files_that_show_nothing_are_quarantined(root: Path, workspace: Workspace) -> None:
    whole = gray_ramp().astype(np.uint16)
    flat = np.full((8, 8), 7, dtype=np.uint16)
    files = {"whole": make_dicom(whole), "flat": make_dicom(flat), "none": make_dicom(whole, PixelData=None)}
    for number, (name, dataset) in enumerate(files.items()):
        write_dicom(root / f"df/{name}.dcm", in_series(dataset, f"patient {number}", 1, 1))
    (root / "df/text.dcm").write_bytes(b"no DICOM at all" * 20)
    summary = intake(workspace, root).summary
    reasons = summary["quarantine_reasons"]
    assert summary["rows_in"] == 12 == summary["kept"] + summary["quarantined"]
    assert {"constant_image", "missing_pixel_data", "not_an_image"} <= set(reasons), reasons
    assert workspace.resolve("data/pseudonyms.key").is_file()
    facts = pd_formats(workspace)
    assert facts.count("DICOM") == 1


def pd_formats(workspace: Workspace) -> list[str]:
    return [str(name) for name in facts_by_name(workspace)["format"]]


def test_an_import_without_dicom_makes_no_key(root: Path, workspace: Workspace) -> None:
    intake(workspace, root)
    assert not workspace.resolve("data/pseudonyms.key").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "not permitted")],
)
def test_a_disk_that_cannot_be_written(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    write = Path.write_bytes

    def refusing(path: Path, data: bytes) -> int:
        if "images" in path.parts:
            write(path, data[: len(data) // 2])
            raise OSError(number, os.strerror(number))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", refusing)
    with pytest.raises(StorageError, match=rf"{words}(.|\n)*images(.|\n)*What to do"):
        intake(workspace, root)
    monkeypatch.setattr(Path, "write_bytes", write)
    assert intake(workspace, root).summary["kept"] == 8, "and the same command goes on"
    decoded = [decode_image(path) for path in workspace.resolve("data/images").iterdir()]
    assert len(decoded) == 8, "no file cut short is left"


def test_a_file_that_vanishes_or_cannot_be_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = os.stat

    def refusing(path: Any, **options: Any) -> Any:
        if str(path) == str(root / "df/image_1.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refusing)
    from tenfold.intake.originals import hash_files

    found = hash_files([str(root / name) for name in ("df/image_0.png", "df/image_1.png", "gone.png")])
    assert [one.fault for one in found] == ["", "unreadable_file", "unreadable_file"]
    assert found[1].detail == "Permission denied"


def test_strict_imports_stop_and_name_every_reason(root: Path, workspace: Workspace) -> None:
    (root / "df/empty.jpg").write_bytes(b"")
    (root / "vasc/text.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="2 rows cannot be kept, and the import is strict") as caught:
        intake(workspace, root, is_strict=True)
    told = str(caught.value)
    assert "1 empty_file" in told and "1 not_an_image" in told
    assert "df/empty.jpg: empty_file, 0 bytes" in told and "vasc/text.jpg: not_an_image" in told
    assert "without --strict" in told and "data/quarantine.csv" in told
    assert len(quarantine_of(workspace)) == 2
    assert not workspace.resolve("data/manifest.parquet").exists()
    (root / "df/empty.jpg").unlink()
    (root / "vasc/text.jpg").unlink()
    assert intake(workspace, root, is_strict=True).summary["quarantined"] == 0
