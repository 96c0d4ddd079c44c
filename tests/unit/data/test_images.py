"""Images: one way to decode, resize and write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.data.images import (
    ImageError,
    decode_gray,
    decode_image,
    encode_png,
    image_grid,
    read_header,
    read_png_text,
    resize_and_crop,
    square_picture,
)
from tests.image_files import random_image, write_image


def test_png_bytes_repeat_and_give_the_pixels_back() -> None:
    image = random_image(1)
    text = {"seed": "7", "prompt": "a photo of naïve — skin"}
    assert encode_png(image, text) == encode_png(image.copy(), dict(reversed(text.items())))
    assert np.array_equal(decode_image(encode_png(image, text)), image)
    assert read_png_text(encode_png(image, text)) == text
    assert read_png_text(encode_png(image)) == {}
    assert b"tIME" not in encode_png(image)


def test_masks_are_written_in_gray() -> None:
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[2:4] = 255
    assert np.array_equal(decode_image(encode_png(mask))[..., 0], mask)


def test_every_mode_becomes_upright_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(random_image(2))
    for mode, name in [("CMYK", "c.jpg"), ("L", "l.png"), ("P", "p.png"), ("1", "b.png"), ("RGB", "a.webp")]:
        image.convert(mode).save(tmp_path / name)
        assert decode_image(tmp_path / name).shape == (32, 40, 3)
    image.save(tmp_path / "r.jpg", exif=_rotated())
    assert decode_image(tmp_path / "r.jpg").shape == (40, 32, 3)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.save(tmp_path / "t.png")
    assert (decode_image(tmp_path / "t.png") == 255).all()
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "m.gif", save_all=True, append_images=frames[1:])
    assert read_header(tmp_path / "m.gif").frames == 2
    assert decode_image(tmp_path / "m.gif")[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bit_gray_keeps_its_range(tmp_path: Path) -> None:
    for full in (4095, 65535):
        values = np.array([[0, full // 2], [full, full]], dtype=np.uint16)
        Image.fromarray(values).save(tmp_path / "g.png")
        assert decode_image(tmp_path / "g.png")[..., 0].tolist() == [[0, 127], [255, 255]]
    Image.fromarray(np.array([[0.5]], dtype=np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(ImageError, match="no known range"):
        decode_image(tmp_path / "f.tiff")


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    whole = write_image(tmp_path / "a.jpg", 3, 200, 200).read_bytes()
    cases = {
        "empty_file": b"",
        "not_an_image": b"%PDF-1.4 hello",
        "damaged_image": whole[: len(whole) // 2],
        "too_large": _png_header(20_000, 20_000),
    }
    for reason, data in cases.items():
        (tmp_path / "x.png").write_bytes(data)
        for source in (tmp_path / "x.png", data):
            with pytest.raises(ImageError) as caught:
                decode_image(source)
            assert caught.value.reason == reason
    assert "refused by its header" in caught.value.what
    with pytest.raises(ImageError, match="refused by its header"):
        read_header(_png_header(13_400, 13_400))
    with pytest.raises(ImageError, match="cannot be opened"):
        decode_image(tmp_path / "none.png")


def test_postscript_is_no_image_here() -> None:
    with pytest.raises(ImageError, match="none of"):
        read_header(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")


def test_center_crop_and_pad() -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, :10], wide[:, 20:] = 50, 200
    assert (resize_and_crop(wide, 10) == 0).all()
    padded = resize_and_crop(wide, 30, "pad")
    assert padded.shape == (30, 30, 3)
    assert (padded[:, 0] == 50).all() and (padded[:, -1] == 200).all()
    square = random_image(4, 16, 16)
    assert resize_and_crop(square, 16) is square
    assert resize_and_crop(np.full((1, 1, 3), 9, dtype=np.uint8), 16).shape == (16, 16, 3)


def test_large_pictures_are_reduced_first_and_look_the_same() -> None:
    soft = Image.fromarray(random_image(5)).resize((1600, 1200), Image.Resampling.BICUBIC)
    exact = soft.resize((64, 64), Image.Resampling.LANCZOS, (200, 0, 1400, 1200))
    difference = np.abs(square_picture(soft, 64).astype(int) - np.asarray(exact).astype(int))
    assert difference.mean() < 0.5 and difference.max() <= 4
    small = soft.resize((380, 380))
    assert np.array_equal(square_picture(small, 64), np.asarray(small.resize((64, 64), Image.Resampling.LANCZOS)))


def test_masks_are_decoded_with_their_own_levels(tmp_path: Path) -> None:
    levels = np.array([[0, 1], [128, 255]], dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "m.png")
    assert np.array_equal(np.asarray(decode_gray(tmp_path / "m.png")), levels)
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    assert np.array_equal(np.asarray(decode_gray(tmp_path / "wide.png")), levels)
    Image.fromarray(np.stack([levels] * 3, axis=-1)).save(tmp_path / "rgb.png")
    assert np.array_equal(np.asarray(decode_gray(tmp_path / "rgb.png")), levels)
    Image.fromarray(levels > 100).save(tmp_path / "one_bit.png")
    assert np.asarray(decode_gray(tmp_path / "one_bit.png")).tolist() == [[0, 0], [255, 255]]
    Image.fromarray(np.array([[70_000]], dtype=np.int32)).save(tmp_path / "deep.tiff")
    with pytest.raises(ImageError, match="more than 16 bits"):
        decode_gray(tmp_path / "deep.tiff")


def test_the_header_tells_quality_exif_and_profile(tmp_path: Path) -> None:
    Image.fromarray(random_image(6)).save(tmp_path / "a.jpg", quality=83, exif=_rotated(), icc_profile=b"profile")
    header = read_header(tmp_path / "a.jpg")
    assert (header.jpeg_quality, header.has_exif, header.has_icc) == (83, True, True)
    assert (header.width_px, header.height_px) == (40, 32), "before the rotation"


def test_grid_places_images_row_by_row_on_white() -> None:
    images = np.stack([np.full((2, 2, 3), value, dtype=np.uint8) for value in (1, 2, 3)])
    grid = image_grid(images, 2, gap_px=1)
    assert grid.shape == (5, 5, 3)
    assert [grid[0, 0, 0], grid[0, 3, 0], grid[3, 0, 0], grid[3, 3, 0]] == [1, 2, 3, 255]
    with pytest.raises(DataError, match="no grid"):
        image_grid(images[:0], 2)


def test_png_text_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no PNG text"):
        read_png_text(write_image(tmp_path / "a.jpg", 1))


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
