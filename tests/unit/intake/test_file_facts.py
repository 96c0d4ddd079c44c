"""File facts: what is read off a file beside its picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from tenfold.data.images import decode_picture
from tenfold.data.jpeg_quality import jpeg_quality_of
from tenfold.intake.file_facts import FileFacts, border_fraction, facts_of, file_facts_table, folder_of
from tests.image_files import random_image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def facts(data: bytes) -> FileFacts:
    return facts_of(*decode_picture(data), len(data))


def test_the_quality_of_a_jpeg_is_read_off_its_table() -> None:
    picture = Image.fromarray(random_image(1))
    for quality in (1, 20, 49, 50, 75, 90, 95, 100):
        assert facts(encoded(picture, "JPEG", quality=quality)).jpeg_quality == quality
    assert facts(encoded(picture, "PNG")).jpeg_quality is None
    assert jpeg_quality_of([1] * 64) == 100 and jpeg_quality_of([255] * 64) == 1


def test_exif_profile_mode_and_size() -> None:
    picture = Image.fromarray(random_image(2, 50, 30))
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Camera of nobody"
    found = facts(encoded(picture, "JPEG", exif=exif, icc_profile=b"profile"))
    assert (found.has_exif, found.has_icc, found.format, found.mode) == (True, True, "JPEG", "RGB")
    assert (found.width_px, found.height_px, found.frames) == (50, 30, 1)
    assert "Camera" not in str(found), "of EXIF only whether it is there"
    plain = encoded(picture, "PNG")
    assert facts(plain).file_bytes == len(plain) and not facts(plain).has_exif
    assert facts(encoded(picture.convert("CMYK"), "JPEG")).mode == "CMYK"


def test_gray_pictures_are_seen_in_any_mode() -> None:
    picture = Image.fromarray(random_image(3))
    gray = picture.convert("L")
    assert not facts(encoded(picture, "PNG")).is_gray
    for shown in (gray, gray.convert("RGB")):
        assert facts(encoded(shown, "PNG")).is_gray and facts(encoded(shown, "JPEG")).is_gray


def test_borders_are_bands_of_one_color_and_black_corners() -> None:
    image = random_image(4, 80, 80).copy()
    assert border_fraction(image) == 0.0
    image[:, :10], image[:, -6:] = 255, 250
    assert border_fraction(image) == 0.2
    grid = np.mgrid[:80, :80] - 39.5
    outside = np.hypot(*grid) > 50
    round_view = random_image(4, 80, 80).copy()
    round_view[outside] = 5
    assert abs(border_fraction(round_view) - outside.mean()) < 0.01
    dark_middle = random_image(4, 80, 80).copy()
    dark_middle[30:50, 30:50] = 0
    assert border_fraction(dark_middle) == 0.0, "a dark lesion is no border"
    assert border_fraction(np.zeros((8, 8, 3), dtype=np.uint8)) == 1.0


def test_large_pictures_are_sampled() -> None:
    picture = Image.new("RGB", (800, 400), "white")
    picture.paste(Image.fromarray(random_image(5, 400, 400)), (200, 0))
    assert abs(facts(encoded(picture, "PNG")).border_fraction - 0.5) < 0.03


def test_the_table_has_a_row_per_image_and_its_folder() -> None:
    found = facts(encoded(Image.fromarray(random_image(6)), "PNG"))
    drawn = FileFacts("drawn", "RGB", 8, 8, None, None, False, False, 0.0, False, 1)
    table = file_facts_table([("a", found, "images"), ("b", drawn, "")])
    assert list(table.columns) == [
        "image_id", "format", "mode", "width_px", "height_px", "file_bytes", "jpeg_quality", "has_exif", "has_icc",
        "border_fraction", "is_gray", "frames", "folder",
    ]  # fmt: skip
    assert table["file_bytes"].isna().tolist() == [False, True]
    assert len(file_facts_table([])) == 0
    assert folder_of("part_1/df/sub/x.jpg", "df") == "part_1/sub" and folder_of("x.jpg", "df") == ""
