"""Small DICOM files for tests, written by pydicom: gray, color, clips, series, compressed, and damaged ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
)

SECRETS = {
    "PatientName": "PLANTED^NAME", "PatientBirthDate": "19630417", "AccessionNumber": "ACC7734512",
    "InstitutionName": "Planted General Hospital", "ReferringPhysicianName": "REFERRER^PLANTED",
    "StudyDate": "20190823", "StudyID": "STUDY99821", "OtherPatientIDs": "OTHER55512", "StationName": "PLANTEDSTATION",
    "PatientAddress": "12 Planted Street", "OperatorsName": "OPERATOR^PLANTED", "DeviceSerialNumber": "SERIAL4491",
    "PatientComments": "planted comment",
}  # fmt: skip
"""What every file here carries and no result may: keyword -> value."""

ROOT_UID = "1.2.826.0.1.3680043.9.7777"
_CLASSES = {
    "CT": CTImageStorage, "MR": MRImageStorage, "US": UltrasoundMultiFrameImageStorage, "SR": BasicTextSRStorage,
    "SEG": SegmentationStorage,
}  # fmt: skip


def gray_ramp(height: int = 24, width: int = 32, low: int = 0, high: int = 4095) -> NDArray[np.int64]:
    """Values that rise from left to right, from low to high."""
    return np.repeat(np.rint(np.linspace(low, high, width))[None, :], height, axis=0).astype(np.int64)


def make_dicom(pixels: NDArray[Any] | None, modality: str = "CT", **tags: Any) -> Dataset:
    """A data set of pixels (H, W), (H, W, 3), (frames, H, W) or (frames, H, W, 3 with `PhotometricInterpretation`).

    Unsigned 8 or 16 bits, or signed 16 bits, as the array's type says; other tags are set or replaced by keyword, None
    removes one. All the `SECRETS` are in it, in a private tag and a nested item too.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _CLASSES.get(modality, SecondaryCaptureImageStorage)
    dataset.SOPInstanceUID = f"{ROOT_UID}.1.1.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT_UID}.1", f"{ROOT_UID}.1.1"
    dataset.Modality, dataset.PatientID, dataset.InstanceNumber = modality, "PAT4477001", 1
    for keyword, value in SECRETS.items():
        setattr(dataset, keyword, value)
    dataset.private_block(0x0011, "TENFOLD TEST", create=True).add_new(1, "LO", SECRETS["PatientName"])
    item = Dataset()
    item.PatientID, item.AccessionNumber = "PAT4477001", SECRETS["AccessionNumber"]
    dataset.RequestAttributesSequence = [item]
    if pixels is not None:
        _set_pixels(dataset, pixels)
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def write_dicom(path: Path, dataset: Dataset) -> Path:
    """Write a data set as a DICOM file with preamble and meta information."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dicom_bytes(dataset))
    return path


def dicom_bytes(dataset: Dataset) -> bytes:
    """The bytes of the file."""
    buffer = io.BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def in_series(dataset: Dataset, patient: str, series: int, number: int, study: int = 1) -> Dataset:
    """The data set as one of a patient's, with UIDs of their own."""
    digits = int.from_bytes(patient.encode()[-6:], "big")
    dataset.PatientID = patient
    dataset.StudyInstanceUID = f"{ROOT_UID}.{digits}.{study}"
    dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.{series}"
    dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
    dataset.InstanceNumber = number
    return dataset


def slice_of(patient: str, number: int, count: int, *, modality: str = "CT", series: int = 1, **tags: Any) -> Dataset:
    """Slice `number` from 1 of a series: its values rise with its number, and it lies 2.5 mm above the one before.

    Instance numbers run against the positions, so that the two orders differ.
    """
    pixels = gray_ramp(low=100 * number, high=1000 + 100 * number).astype(np.int16)
    dataset = make_dicom(pixels, modality)
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    in_series(dataset, patient, series, count + 1 - number)
    for keyword, value in tags.items():
        delattr(dataset, keyword) if value is None else setattr(dataset, keyword, value)
    return dataset


def clip_of(patient: str, frames: int = 6, **tags: Any) -> Dataset:
    """An ultrasound clip whose frames differ; without a word on burnt-in text."""
    pixels = np.stack([gray_ramp(low=frame, high=200 + frame) for frame in range(frames)]).astype(np.uint8)
    return in_series(make_dicom(pixels, "US", **tags), patient, 1, 1)


def rle(dataset: Dataset) -> Dataset:
    """The same, compressed by RLE."""
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def jpeg_baseline(pixels: NDArray[np.uint8], quality: int = 95) -> Dataset:
    """A color image (H, W, 3) compressed by JPEG baseline, as YBR_FULL_422."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    dataset = make_dicom(pixels, "XC", PhotometricInterpretation="YBR_FULL_422")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([buffer.getvalue()])
    return dataset


def compressed_as(syntax: str, data: bytes = b"\xff\xd8 no picture \xff\xd9 ") -> Dataset:
    """A file that says it is compressed so; its pixels are no picture."""
    dataset = make_dicom(gray_ramp().astype(np.uint16))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([data])
    return dataset


def palette_dicom(indices: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]], bits: int = 8) -> Dataset:
    """Palette colors: `colors` are 8-bit, stored in tables of 8 or 16 bits."""
    dataset = make_dicom(indices, "US", PhotometricInterpretation="PALETTE COLOR")
    scale = 1 if bits == 8 else 257
    for name, channel in zip(("Red", "Green", "Blue"), np.array(colors).T, strict=True):
        table = (channel * scale).astype(np.uint8 if bits == 8 else "<u2").tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [len(colors), 0, bits])
        setattr(dataset, f"{name}PaletteColorLookupTableData", table)
    return dataset


def lookup_table(values: Sequence[int], bits: int) -> Dataset:
    """The item of a modality or VOI table for stored values from 0."""
    table = Dataset()
    table.LUTDescriptor = [len(values), 0, bits]
    table.LUTData = np.array(values, "<u2").tobytes()
    return table


def _set_pixels(dataset: Dataset, pixels: NDArray[Any]) -> None:
    is_color = pixels.ndim >= 3 and pixels.shape[-1] == 3
    frames = pixels.shape[0] if pixels.ndim == (4 if is_color else 3) else None
    if frames is not None:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if is_color else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if is_color else 1
    dataset.PhotometricInterpretation = "RGB" if is_color else "MONOCHROME2"
    if is_color:
        dataset.PlanarConfiguration = 0
    if pixels.dtype.kind == "f":
        dataset.BitsAllocated = 32
        dataset.FloatPixelData = pixels.astype("<f4").tobytes()
        return
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"] = _pixel_element(data + b"\0" * (len(data) % 2), bits)


def _pixel_element(data: bytes, bits: int) -> Any:
    from pydicom.dataelem import DataElement

    return DataElement(0x7FE00010, "OB" if bits == 8 else "OW", data)
