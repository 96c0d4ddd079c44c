"""DICOM headers: what is read of a file before its pixels, and the few tags that are read at all.

Only the tags listed in `_TAGS` are looked at. Names, birth dates, accession numbers, institutions and private tags
never leave the file; of what is read, identifiers go no further than `dicom_series`, which hashes them.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from tenfold.data.images import MAX_PIXELS, SUFFIXES, ImageError, ImageFault, ImageHeader, ImageSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
"""The usual suffixes; many exports name files without any."""

DEFLATED = b"1.2.840.10008.1.2.1.99"
MOST_INFLATED_BYTES = 1 << 30
"""Deflated files that would grow beyond this are refused, as archive bombs."""

_CUT = "the DICOM file ends within its header: it is truncated"
_META_START = 144  # preamble, mark and the first element, whose value is the length of the other meta elements
_STEP_BYTES = 1 << 20

INSTALL_HINT = 'pip install "tenfold[dicom]"'

_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "FileSetID", "Modality", "ImageType", "BurnedInAnnotation", "PatientID",
    "PatientName", "PatientSex", "PatientAge", "BodyPartExamined", "StudyInstanceUID", "SeriesInstanceUID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames", "Rows", "Columns",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "WindowCenter", "WindowWidth", "SharedFunctionalGroupsSequence", "VOILUTSequence",
)  # fmt: skip


@dataclass(frozen=True)
class DicomHeader:
    """One file's header. Identifiers are not shown in its text, and are never written as they are.

    position: the corner of the image (mm), normal: the direction of the stack; None where the file does not say.
    window: the file's own (center, width). chosen: values of the tags asked for by keyword.
    """

    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    instance_uid: str = field(repr=False)
    instance_number: int | None
    modality: str
    class_uid: str
    image_type: tuple[str, ...]
    transfer_syntax: str
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    is_palette: bool
    position: tuple[float, ...] | None
    normal: tuple[float, ...] | None
    age: str
    sex: str
    body_part: str
    burnt_in: str
    window: tuple[float, float] | None
    has_voi_table: bool
    chosen: dict[str, str] = field(default_factory=dict, repr=False)


def is_dicom(source: ImageSource) -> bool:
    """Whether a file (or its bytes) has the mark of DICOM after its preamble, or a usual suffix of DICOM."""
    if isinstance(source, bytes):
        return source[128:132] == b"DICM"
    suffix = source.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        return source.is_file() or not source.exists()
    if suffix in SUFFIXES:
        return False
    try:
        if not source.is_file():  # a pipe would keep its reader waiting
            return False
        with open(source, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom_header(source: ImageSource, keywords: Sequence[str] = ()) -> DicomHeader:
    """The header of a DICOM image, with the text of more tags by their keywords; the pixels are not touched.

    ImageError when the file is empty, no DICOM, damaged, above `MAX_PIXELS` per frame, or holds no image.
    """
    dataset = read_dataset(source, [*_TAGS, *keywords])
    check_image(dataset, source)
    with quiet_reading(source):
        return _header(dataset, keywords)


def _header(dataset: Dataset, keywords: Sequence[str]) -> DicomHeader:
    position, normal = _geometry(dataset)
    colors = text_of(dataset, "PhotometricInterpretation").upper()
    return DicomHeader(
        patient_id=text_of(dataset, "PatientID"), patient_name=text_of(dataset, "PatientName"),
        study_uid=text_of(dataset, "StudyInstanceUID"), series_uid=text_of(dataset, "SeriesInstanceUID"),
        instance_uid=text_of(dataset, "SOPInstanceUID"), instance_number=whole(dataset, "InstanceNumber"),
        modality=text_of(dataset, "Modality").upper(), class_uid=text_of(dataset, "SOPClassUID"),
        image_type=tuple(text_of(dataset, "ImageType").upper().split("\\")),
        transfer_syntax=transfer_syntax(dataset), frames=frame_count(dataset),
        rows=whole(dataset, "Rows") or 0, columns=whole(dataset, "Columns") or 0,
        samples=whole(dataset, "SamplesPerPixel") or 1, bits=whole(dataset, "BitsStored") or 8,
        is_palette=colors == "PALETTE COLOR", position=position, normal=normal,
        age=text_of(dataset, "PatientAge").upper(), sex=text_of(dataset, "PatientSex").upper(),
        body_part=text_of(dataset, "BodyPartExamined"), burnt_in=text_of(dataset, "BurnedInAnnotation").upper(),
        window=_header_window(dataset),
        has_voi_table="VOILUTSequence" in dataset, chosen={keyword: text_of(dataset, keyword) for keyword in keywords},
    )  # fmt: skip


def dicom_image_header(source: ImageSource) -> ImageHeader:
    """Size, frames and kind of pixels of a DICOM image, e.g. mode ``MONOCHROME2 12-bit``; ImageError as above."""
    dataset = read_dataset(source, list(_TAGS))
    check_image(dataset, source)
    mode = f"{text_of(dataset, 'PhotometricInterpretation')} {whole(dataset, 'BitsStored') or 0}-bit"
    width, height = whole(dataset, "Columns") or 0, whole(dataset, "Rows") or 0
    return ImageHeader("DICOM", width, height, mode, frame_count(dataset))


def read_dataset(source: ImageSource, tags: Sequence[str] | None = None, *, with_pixels: bool = False) -> Dataset:
    """The data set of a file, up to its pixels or with them; of the tags those listed. ImageError when unreadable."""
    from pydicom import dcmread

    with quiet_reading(source), opened(source) as stream:
        start = stream.read(132)
        if not start:
            raise fault("empty_file", "the DICOM file is empty: 0 bytes", source)
        if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00"):
            raise fault("not_an_image", "the file is no DICOM file: the mark DICM is missing", source)
        stream.seek(0)
        _refuse_archive_bomb(stream, source)
        listed = None if tags is None else list(tags)
        dataset = dcmread(stream, force=True, stop_before_pixels=not with_pixels, specific_tags=listed)
    if not len(dataset):
        raise fault("damaged_image", _CUT, source)
    return dataset


def check_image(dataset: Dataset, source: ImageSource) -> None:
    """ImageError when a data set describes no image, or one that is too large to be decoded."""
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        is_nameless = "Modality" not in dataset and "SOPClassUID" not in dataset and "FileSetID" not in dataset
        if is_nameless or "Image Storage" in uid_of(text_of(dataset, "SOPClassUID")).name:
            raise fault("damaged_image", _CUT, source)
        what = "the DICOM file holds no image (it may be a report, a plan or an index): it has no rows and columns"
        raise fault("missing_pixel_data", what, source)
    if rows * columns > MAX_PIXELS:
        raise fault(
            "too_large",
            f"the DICOM image is too large: {columns} x {rows} pixels, refused by its header",
            source,
            expected=f"at most {MAX_PIXELS // 1_000_000} million pixels in a frame",
        )


def transfer_syntax(dataset: Dataset) -> str:
    """The UID of how the file is encoded; where the file does not say, plain implicit or explicit little endian."""
    found = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "")
    if found:
        return found
    is_implicit = dataset.original_encoding[0]
    return "1.2.840.10008.1.2" if is_implicit else "1.2.840.10008.1.2.1"


def uid_of(text: str) -> UID:
    """A UID whatever its text; pydicom's remark on a malformed one, which quotes the header, is dropped."""
    from pydicom.uid import UID

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return UID(text)


def frame_count(dataset: Dataset) -> int:
    """The number of frames, 1 where the file does not say."""
    return max(1, whole(dataset, "NumberOfFrames") or 1)


def fault(
    reason: ImageFault, what: str, source: ImageSource, *, expected: str = "a complete DICOM image"
) -> ImageError:
    """An `ImageError` with its reason. Texts never quote the header: a value there may be a person's name."""
    where = f"{len(source)} bytes in memory" if isinstance(source, bytes) else str(source)
    error = ImageError(what, where=where, expected=expected)
    error.reason = reason
    return error


@contextmanager
def opened(source: ImageSource) -> Iterator[BinaryIO]:
    """The bytes of a file as a stream."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
        yield stream


@contextmanager
def quiet_reading(
    source: ImageSource, what: str = "the DICOM header cannot be read: it is damaged or truncated"
) -> Iterator[None]:
    """Turn what pydicom raises over a damaged file into an ImageError; its remarks, which quote values, are dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (ImageError, FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # pydicom raises nearly every type over a damaged file
            raise fault("damaged_image", f"{what} ({type(error).__name__})", source) from None


def group_value(dataset: Dataset, frame: int | None, sequence: str) -> Dataset | None:
    """The item of an enhanced file's functional group: of this frame, else shared by all; None where there is none."""
    places = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if frame is not None and per_frame is not None and frame < len(per_frame):
        places.append(per_frame[frame])
    places += list(dataset.get("SharedFunctionalGroupsSequence") or ())[:1]
    for place in places:
        items = place.get(sequence)
        if items:
            found: Dataset = items[0]
            return found
    return None


def file_window(dataset: Dataset, index: int = 0) -> tuple[float, float] | None:
    """The (center, width) that a data set proposes, of several the one at `index`; None without one that can be used.

    A width that is not above 0 shows nothing, so such a window counts as none.
    """
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if centers and widths and index < min(len(centers), len(widths)) and widths[index] > 0:
        return centers[index], widths[index]
    return None


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The finite numbers of a tag; none when it is missing or any of them is no finite number."""
    try:
        found = tuple(float(part) for part in text_of(dataset, keyword).split("\\") if part)
    except ValueError:
        return ()
    return found if all(math.isfinite(number) for number in found) else ()


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The first whole number of a tag; None when there is none."""
    found = numbers(dataset, keyword)
    return int(found[0]) if found else None


def text_of(dataset: Dataset, keyword: str) -> str:
    """A tag's text, values parted by a backslash; empty when it is missing or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: Any = dataset.get(keyword)
    except Exception:  # pydicom raises nearly every type over a value that its tag does not allow
        return ""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(part).strip() for part in value)
    return str(value).strip(" \0\t\r\n")


def _geometry(dataset: Dataset) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    position, axes = numbers(dataset, "ImagePositionPatient"), numbers(dataset, "ImageOrientationPatient")
    if len(position) != 3 or len(axes) != 6:
        return None, None
    (a, b, c), (d, e, f) = axes[:3], axes[3:]
    return position, (b * f - c * e, c * d - a * f, a * e - b * d)


def _header_window(dataset: Dataset) -> tuple[float, float] | None:
    group = group_value(dataset, None, "FrameVOILUTSequence")
    return file_window(dataset) or (None if group is None else file_window(group))


def _refuse_archive_bomb(stream: BinaryIO, source: ImageSource) -> None:
    """pydicom inflates a deflated file whole, so its size is measured first, in small steps."""
    start = stream.read(1024)
    if start[128:132] == b"DICM" and DEFLATED in start:
        stream.seek(_META_START + int.from_bytes(start[_META_START - 4 : _META_START], "little"))
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (packed := inflater.unconsumed_tail or stream.read(_STEP_BYTES)) and not inflater.eof:
            size += len(inflater.decompress(packed, _STEP_BYTES))
            if size > MOST_INFLATED_BYTES:
                raise fault(
                    "too_large",
                    "the deflated DICOM file is too large: it grows beyond 1 GiB, as a decompression bomb would",
                    source,
                    expected="at most 1 GiB of data",
                )
    stream.seek(0)
