"""DICOM pixels as they are shown: gray transforms, windows, colors, frames and compressions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from tenfold.data.dicom_header import dicom_image_header, is_dicom
from tenfold.data.dicom_pixels import decode_dicom
from tenfold.data.import_items import PixelChoice
from tests.dicom_files import (
    dicom_bytes,
    gray_ramp,
    jpeg_baseline,
    lookup_table,
    make_dicom,
    palette_dicom,
    rle,
    write_dicom,
)
from tests.image_files import random_image


def gray_of(dataset: Dataset, choice: PixelChoice | None = None) -> NDArray[np.uint8]:
    picture = decode_dicom(dicom_bytes(dataset), choice)
    assert picture.dtype == np.uint8 and picture.shape == (dataset.Rows, dataset.Columns, 3)
    assert (picture == picture[..., :1]).all()
    return picture[..., 0]


def in_window(values: NDArray[np.float64], center: float, width: float) -> NDArray[np.uint8]:
    """The linear window of DICOM PS3.3 C.11.2.1.2.1, by its three cases."""
    between = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    below, above = values <= center - 0.5 - (width - 1) / 2, values > center - 0.5 + (width - 1) / 2
    return np.rint(np.where(below, 0, np.where(above, 255, between))).astype(np.uint8)


def test_a_file_on_disk_and_its_bytes_give_the_same_picture(tmp_path: Path) -> None:
    dataset = make_dicom(gray_ramp().astype(np.uint16), BitsStored=12, HighBit=11)
    path = write_dicom(tmp_path / "noname", dataset)
    assert (decode_dicom(path) == decode_dicom(path.read_bytes())).all()
    assert is_dicom(path) and is_dicom(path.read_bytes())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_plain_transfer_syntax_gives_the_same_values(syntax: str) -> None:
    pixels = gray_ramp(low=-1000, high=1000).astype(np.int16)
    expected = gray_of(make_dicom(pixels))
    dataset = make_dicom(pixels)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = pixels.astype(">i2").tobytes()
    assert (gray_of(dataset) == expected).all()


def test_signed_values_are_rescaled_and_shown_in_the_window_of_the_file() -> None:
    pixels = gray_ramp(low=-1000, high=1000).astype(np.int16)
    dataset = make_dicom(pixels, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=[40, 0], WindowWidth=[400, 9])
    assert (gray_of(dataset) == in_window(pixels * 2.0 - 100, 40, 400)).all()


def test_a_chosen_window_takes_the_place_of_the_file_s_own() -> None:
    pixels = gray_ramp(low=0, high=2000).astype(np.uint16)
    dataset = make_dicom(pixels, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    shown = gray_of(dataset, PixelChoice(window=(-600.0, 1500.0)))
    assert (shown == in_window(pixels - 1024.0, -600, 1500)).all()


def test_exact_and_sigmoid_windows_follow_their_formulas() -> None:
    pixels = gray_ramp(low=0, high=1000).astype(np.uint16)
    exact = make_dicom(pixels, WindowCenter=500, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    assert (gray_of(exact) == np.rint(np.clip((pixels - 500.0) / 400 + 0.5, 0, 1) * 255)).all()
    sigmoid = make_dicom(pixels, WindowCenter=500, WindowWidth=400, VOILUTFunction="SIGMOID")
    assert (gray_of(sigmoid) == np.rint(255 / (1 + np.exp(-4 * (pixels - 500.0) / 400)))).all()


def test_a_table_of_the_file_comes_before_its_window() -> None:
    pixels = gray_ramp(low=0, high=7).astype(np.uint16)
    table = lookup_table([0, 1, 2, 4, 8, 16, 128, 255], 8)
    dataset = make_dicom(pixels, WindowCenter=4, WindowWidth=2, VOILUTSequence=[table])
    assert set(np.unique(gray_of(dataset))) == {0, 1, 2, 4, 8, 16, 128, 255}


def test_a_modality_table_replaces_slope_and_intercept() -> None:
    pixels = gray_ramp(low=0, high=3).astype(np.uint16)
    table = lookup_table([0, 300, 600, 1000], 16)
    dataset = make_dicom(pixels, ModalityLUTSequence=[table], WindowCenter=500, WindowWidth=1000)
    expected = in_window(np.array([0.0, 300, 600, 1000])[pixels], 500, 1000)
    assert (gray_of(dataset) == expected).all()


def test_monochrome1_is_inverted() -> None:
    pixels = gray_ramp(low=0, high=255).astype(np.uint8)
    plain = gray_of(make_dicom(pixels, "CR"))
    assert (plain == pixels).all()
    assert (gray_of(make_dicom(pixels, "CR", PhotometricInterpretation="MONOCHROME1")) == 255 - pixels).all()


def test_deep_values_without_a_window_span_their_percentiles_whatever_their_outliers() -> None:
    pixels = np.tile(gray_ramp(high=1000), (10, 10)).astype(np.uint16)
    with_outlier = pixels.copy()
    with_outlier[0, 0] = 65535
    assert (
        np.abs(gray_of(make_dicom(pixels, "MR")).astype(int) - gray_of(make_dicom(with_outlier, "MR")))[1:].max() <= 1
    )


def test_twelve_bits_and_a_window_of_no_width_fall_back_to_the_own_range() -> None:
    pixels = gray_ramp(high=4095).astype(np.uint16)
    shown = gray_of(make_dicom(pixels, BitsStored=12, HighBit=11, WindowCenter=0, WindowWidth=0))
    assert shown.min() == 0 and shown.max() == 255 and abs(int(shown[0, 16]) - 131) <= 2


def test_padding_is_black_and_does_not_count_for_the_range() -> None:
    pixels = gray_ramp(low=0, high=1000).astype(np.int16)
    padded = pixels.copy()
    padded[:4] = -2000
    shown = gray_of(make_dicom(padded, "MR", PixelPaddingValue=-2000))
    assert (shown[:4] == 0).all()
    assert (shown[4:] == gray_of(make_dicom(pixels[4:], "MR"))).all()
    inverted = gray_of(make_dicom(padded, "CR", PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"))
    assert (inverted[:4] == 0).all() and inverted[4, 0] == 255


def test_one_frame_of_a_clip_is_shown() -> None:
    clip = np.stack([random_image(number)[..., 0] for number in range(4)])
    dataset = make_dicom(clip, "US")
    assert (gray_of(dataset) == clip[0]).all()
    assert (gray_of(dataset, PixelChoice(frame=2)) == clip[2]).all()
    header = dicom_image_header(dicom_bytes(dataset))
    assert (header.format, header.frames, header.mode) == ("DICOM", 4, "MONOCHROME2 8-bit")
    assert (header.width_px, header.height_px) == (40, 32)


def test_a_frame_of_an_enhanced_file_has_its_own_rescale_and_window() -> None:
    pixels = np.stack([gray_ramp(low=0, high=1000)] * 2).astype(np.uint16)
    dataset = make_dicom(pixels, "CT")
    groups = []
    for intercept in (0, -500):
        rescale, window, group = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = 1, intercept
        window.WindowCenter, window.WindowWidth = 300, 400
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [rescale], [window]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    for frame, intercept in enumerate((0, -500)):
        expected = in_window(pixels[frame] + float(intercept), 300, 400)
        assert (gray_of(dataset, PixelChoice(frame=frame)) == expected).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_is_read_by_pixel_and_by_plane(planar: int) -> None:
    pixels = random_image(3)
    dataset = make_dicom(pixels, "XC", PlanarConfiguration=planar)
    if planar:
        dataset.PixelData = pixels.transpose(2, 0, 1).tobytes()
    assert (decode_dicom(dicom_bytes(dataset)) == pixels).all()


def test_windows_do_not_touch_colors() -> None:
    pixels = random_image(4)
    assert (decode_dicom(dicom_bytes(make_dicom(pixels, "XC")), PixelChoice(window=(40.0, 80.0))) == pixels).all()


def test_deep_colors_are_scaled_by_their_stored_bits() -> None:
    pixels = random_image(5).astype(np.uint16) * 257
    assert (decode_dicom(dicom_bytes(make_dicom(pixels, "XC"))) == random_image(5)).all()


def test_ybr_becomes_rgb() -> None:
    pixels = random_image(6).astype(np.float64)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ybr = np.stack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], axis=-1)
    dataset = make_dicom(np.clip(np.rint(ybr), 0, 255).astype(np.uint8), "US", PhotometricInterpretation="YBR_FULL")
    assert np.abs(decode_dicom(dicom_bytes(dataset)).astype(int) - random_image(6)).max() <= 3


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_become_rgb(bits: int) -> None:
    colors = [(0, 0, 0), (255, 0, 0), (10, 200, 30), (250, 250, 250)]
    indices = gray_ramp(low=0, high=3).astype(np.uint8)
    assert (decode_dicom(dicom_bytes(palette_dicom(indices, colors, bits))) == np.array(colors)[indices]).all()


def test_rle_gives_the_same_pixels() -> None:
    pixels = gray_ramp(low=-500, high=1500).astype(np.int16)
    assert (gray_of(rle(make_dicom(pixels))) == gray_of(make_dicom(pixels))).all()
    clip = np.stack([random_image(number) for number in range(3)])
    assert (decode_dicom(dicom_bytes(rle(make_dicom(clip, "US"))), PixelChoice(frame=1)) == clip[1]).all()


def test_baseline_jpeg_is_decoded_to_rgb() -> None:
    pixels = np.repeat(np.repeat(random_image(7, 10, 8), 16, axis=0), 16, axis=1)
    shown = decode_dicom(dicom_bytes(jpeg_baseline(pixels)))
    assert np.abs(shown.astype(int) - pixels).mean() < 6
