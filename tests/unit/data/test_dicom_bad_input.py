"""DICOM files that cannot be used: the word and the sentence of each, none of which quotes the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from tenfold.data import dicom_header
from tenfold.data.dicom_header import dicom_image_header, read_dicom_header
from tenfold.data.dicom_pixels import decode_dicom
from tenfold.data.images import ImageError, ImageSource
from tenfold.data.import_items import PixelChoice
from tests.dicom_files import SECRETS, compressed_as, dicom_bytes, gray_ramp, jpeg_baseline, make_dicom, rle
from tests.image_files import random_image, write_image

MPEG4 = "1.2.840.10008.1.2.4.102"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"


def refused(source: ImageSource, choice: PixelChoice | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_dicom(source, choice)
    assert not [secret for secret in SECRETS.values() if secret in str(caught.value)]
    return caught.value


def gray(**tags: object) -> Dataset:
    return make_dicom(gray_ramp().astype(np.uint16), **tags)


def test_an_empty_file_is_told_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"")
    error = refused(tmp_path / "a.dcm")
    assert (error.reason, error.what) == ("empty_file", "the DICOM file is empty: 0 bytes")
    assert error.where == str(tmp_path / "a.dcm")


def test_another_kind_of_file_is_told_as_no_dicom(tmp_path: Path) -> None:
    error = refused(write_image(tmp_path / "a.png", 1).rename(tmp_path / "a.dcm"))
    assert error.reason == "not_an_image"
    assert error.what == "the file is no DICOM file: the mark DICM is missing"


def test_constant_pixels_are_refused() -> None:
    error = refused(dicom_bytes(make_dicom(np.full((8, 8), 7, np.uint16))))
    assert error.reason == "constant_image"
    assert error.what == "the DICOM image is constant: every pixel has the same value"


def test_pixels_all_outside_the_window_are_refused_with_the_window() -> None:
    error = refused(dicom_bytes(gray()), PixelChoice(window=(-5000.0, 80.0)))
    assert error.reason == "constant_image"
    assert error.what == "the DICOM image is constant in the window -5000/80: all its values lie outside"
    own = refused(dicom_bytes(gray(WindowCenter=-5000, WindowWidth=80)))
    assert own.what == "the DICOM image is constant as its own window shows it: all its values lie outside"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(value: float) -> None:
    pixels = gray_ramp().astype(np.float32)
    pixels[3, 3] = value
    error = refused(dicom_bytes(make_dicom(pixels)))
    assert error.reason == "not_finite"
    assert error.what == "the DICOM pixels hold values that are no numbers (NaN or infinite)"


def test_rescale_values_that_are_no_numbers_are_refused() -> None:
    data = dicom_bytes(gray(RescaleSlope="1.25", RescaleIntercept="0"))
    error = refused(data.replace(b"1.25", b"NaN "))
    assert error.reason == "not_finite"
    assert error.what == "the DICOM pixels become no numbers by the file's rescale values"


def test_missing_pixel_data_is_told() -> None:
    error = refused(dicom_bytes(gray(PixelData=None)))
    assert (error.reason, error.what) == ("missing_pixel_data", "the DICOM file has a header but no pixel data")


def test_missing_pixel_data_of_a_large_header_is_told() -> None:
    error = refused(dicom_bytes(make_dicom(np.eye(4, dtype=np.uint16), PixelData=None, PatientComments="x" * 500)))
    assert (error.reason, error.what) == ("missing_pixel_data", "the DICOM file has a header but no pixel data")


def test_a_report_is_told_as_no_image() -> None:
    error = refused(dicom_bytes(make_dicom(None, "SR")))
    assert error.reason == "missing_pixel_data"
    assert error.what.startswith("the DICOM file holds no image (it may be a report, a plan or an index)")


def test_a_compression_that_needs_a_plug_in_names_what_to_install() -> None:
    error = refused(dicom_bytes(compressed_as(JPEGLSLossless)))
    assert error.reason == "unsupported_compression"
    assert "JPEG-LS Lossless Image Compression, for which no decoder is installed" in error.what
    assert 'pip install "tenfold[dicom]"' in error.what


def test_twelve_bit_jpeg_needs_a_plug_in_too() -> None:
    dataset = compressed_as(JPEG_EXTENDED)
    dataset.BitsStored = 12
    error = refused(dicom_bytes(dataset))
    assert error.reason == "unsupported_compression" and 'pip install "tenfold[dicom]"' in error.what


def test_video_is_not_read() -> None:
    error = refused(dicom_bytes(compressed_as(MPEG4)))
    assert error.reason == "unsupported_compression"
    assert "stored as MPEG-4" in error.what and error.expected == "single images: export video clips as frames"


def test_a_file_cut_within_its_pixels_is_told_with_both_sizes() -> None:
    data = dicom_bytes(make_dicom(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)))
    error = refused(data[:4000])
    assert error.reason == "damaged_image"
    assert error.what == "the DICOM file is truncated: it has 4000 bytes, and its pixels alone need 8192"


def test_a_file_cut_a_little_is_told() -> None:
    error = refused(dicom_bytes(gray())[:-100])
    assert error.reason == "damaged_image"
    assert error.what == "the DICOM pixels cannot be decoded: the file is truncated or damaged"


def test_a_file_cut_within_its_header_is_told() -> None:
    error = refused(dicom_bytes(gray())[:420])
    assert error.reason == "damaged_image"
    assert "truncated" in error.what


@pytest.mark.parametrize("is_rle", [True, False])
def test_cut_compressed_pixels_are_told(is_rle: bool) -> None:
    dataset = rle(make_dicom(random_image(1), "XC")) if is_rle else jpeg_baseline(random_image(1))
    error = refused(dicom_bytes(dataset)[:-700])
    assert error.reason == "damaged_image"
    assert error.what == "the DICOM pixels cannot be decoded: the file is truncated or damaged"


def test_damaged_pixels_that_another_decoder_may_read_name_it() -> None:
    error = refused(dicom_bytes(compressed_as("1.2.840.10008.1.2.4.90")))
    assert error.reason == "damaged_image"
    assert error.what.endswith('or it needs another decoder (pip install "tenfold[dicom]")')


def test_a_bomb_is_refused_by_its_header() -> None:
    data = dicom_bytes(gray(Rows=60000, Columns=60000))
    for read in (decode_dicom, read_dicom_header, dicom_image_header):
        with pytest.raises(ImageError) as caught:
            read(data)
        assert caught.value.reason == "too_large"
        assert caught.value.what == "the DICOM image is too large: 60000 x 60000 pixels, refused by its header"


def test_a_deflated_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_header, "MOST_INFLATED_BYTES", 1 << 20)
    dataset = make_dicom(np.zeros((2048, 2048), np.uint16))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    data = dicom_bytes(dataset)
    assert len(data) < 20_000
    error = refused(data)
    assert error.reason == "too_large" and "as a decompression bomb would" in error.what


def test_a_frame_that_is_not_there_is_told() -> None:
    error = refused(dicom_bytes(gray()), PixelChoice(frame=3))
    assert error.what == "the DICOM file has 1 frames, so there is no frame 4"


def test_colors_of_an_unknown_kind_are_told() -> None:
    error = refused(dicom_bytes(make_dicom(random_image(1), "XC", PhotometricInterpretation="HSV")))
    assert error.reason == "unsupported_colors"
    assert error.what == "the DICOM image has colors of a kind that is not read"


def test_a_damaged_table_is_told() -> None:
    dataset = make_dicom(gray_ramp(high=3).astype(np.uint8), "US", PhotometricInterpretation="PALETTE COLOR")
    error = refused(dicom_bytes(dataset))
    assert error.what.startswith("the DICOM pixels cannot be shown: a table or value of the header is damaged")


def test_odd_values_in_the_header_are_passed_over(recwarn: pytest.WarningsRecorder) -> None:
    data = dicom_bytes(gray(InstanceNumber=8812, PatientAge="034Y", SeriesNumber=4))
    header = read_dicom_header(data.replace(b"8812", b"8x1A"))
    assert header.instance_number is None and header.age == "034Y"
    assert not recwarn.list
