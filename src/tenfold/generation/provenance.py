"""Provenance: the record inside each synthetic image that suffices to make it again, and its mark as synthetic."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.hashing import canonical_json
from tenfold.data.images import encode_jpeg, encode_png, read_header, read_jpeg_comment, read_png_text
from tenfold.generation.plan_reading import Batch
from tenfold.generation.requests import ImageRequest

TEXT_KEY = "tenfold"
IMAGE_SUFFIXES = ("png", "jpg")
JPEG_QUALITY = 95
_XMP_KEY = "XML:com.adobe.xmp"
_FASTEST_PNG = 1
_PACKED = "zlib:"
_LONGEST_COMMENT_BYTES = 65_000  # a JPEG segment holds 65,533

_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"/></rdf:RDF></x:xmpmeta>'
)
"""IPTC's word for how a picture came about, which search engines and archives read."""


@dataclass(frozen=True)
class Redraw:
    """A second draw with other seeds, after the first ones were screened out. faults: of each draw before this one."""

    attempt: int
    seeds: Mapping[str, int]
    """By field of the request, such as `seed`."""
    faults: tuple[str, ...]


@dataclass(frozen=True)
class SourceRecord:
    """A real image that a drawn one starts from: its id, and the SHA-256 of its file and of its mask's."""

    image_id: str
    sha256: str
    mask_sha256: str | None = None


@dataclass(frozen=True)
class Provenance:
    """How one image was made.

    batch: the requests that were drawn together, as the plan has them; a redrawn image was drawn alone, with the seeds
    of `redraw`. environment: versions, device, dtype and threads; nothing that changes between two equal runs.
    sources: by role (parent, background), one mapping for each request of the batch.
    """

    batch: Batch
    position: int
    environment: Mapping[str, Any]
    redraw: Redraw | None = None
    sources: tuple[Mapping[str, SourceRecord], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the strategy, such as the SHA-256 of its first pass."""

    @property
    def request(self) -> ImageRequest:
        """The image's own request, which names it."""
        return self.batch.requests[self.position]

    @property
    def text(self) -> str:
        """The record as JSON: companions by what differs from the image's own request."""
        own = self.request.as_dict()
        record: dict[str, Any] = {
            "image_id": self.request.image_id,
            "synthetic": True,
            "request": {name: value for name, value in own.items() if value is not None},
            "position": self.position,
            "batch": [
                {name: value for name, value in other.as_dict().items() if value != own[name]}
                for other in self.batch.requests
            ],
            "environment": dict(self.environment),
        }
        if self.redraw is not None:
            record["redraw"] = asdict(self.redraw)
        if any(self.sources):
            record["sources"] = [{role: asdict(source) for role, source in one.items()} for one in self.sources]
        if self.notes:
            record["notes"] = dict(self.notes)
        return canonical_json(record)


def image_suffix(request: ImageRequest) -> str:
    """Of the image's file: png or jpg."""
    return "jpg" if request.file_format == "jpeg" else "png"


def encode_synthetic(image: NDArray[np.uint8], provenance: Provenance) -> bytes:
    """The bytes of the PNG or JPEG that the request asks for, with its record and a synthetic image's mark inside."""
    request = provenance.request
    is_composed = request.strategy in ("recolor", "composite")
    mark = _XMP.format(kind="compositeSynthetic" if is_composed else "trainedAlgorithmicMedia")
    if request.file_format == "jpeg":
        return encode_jpeg(image, request.jpeg_quality or JPEG_QUALITY, _packed(provenance.text), mark.encode("ascii"))
    return encode_png(image, {TEXT_KEY: provenance.text, _XMP_KEY: mark}, level=_FASTEST_PNG)


def read_provenance(path: Path) -> Provenance:
    """The record inside an image file or shard member. DataError when it holds none."""
    try:
        if read_header(path).format == "JPEG":
            text = _unpacked(read_jpeg_comment(path))
        else:
            text = read_png_text(path)[TEXT_KEY]
        return _from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise DataError(
            "the image holds no record of how it was made",
            where=str(path),
            expected=f"PNG text named {TEXT_KEY!r} or a JPEG comment, as Tenfold writes it",
            todo="Name an image of a folder under synthetic/; editors and messengers drop such records.",
        ) from error


def _from_json(record: Mapping[str, Any]) -> Provenance:
    own = {"image_size_px": None, **record["request"]}
    requests = tuple(ImageRequest.from_dict({**own, **differing}) for differing in record["batch"])
    redraw = record.get("redraw")
    sources: Sequence[Mapping[str, Any]] = record.get("sources", [])
    return Provenance(
        Batch(0, requests),
        int(record["position"]),
        dict(record["environment"]),
        None if redraw is None else Redraw(**{**redraw, "faults": tuple(redraw["faults"])}),
        tuple({role: SourceRecord(**fields) for role, fields in one.items()} for one in sources),
        dict(record.get("notes", {})),
    )


def _packed(text: str) -> bytes:
    """The text, compressed where it would not fit into a JPEG's comment."""
    data = text.encode("ascii")
    if len(data) > _LONGEST_COMMENT_BYTES:
        data = _PACKED.encode("ascii") + base64.b64encode(zlib.compress(data, 9))
    if len(data) > _LONGEST_COMMENT_BYTES:
        raise DataError(
            "the record of a batch does not fit into a JPEG file",
            expected=f"at most {_LONGEST_COMMENT_BYTES} bytes",
            todo="Draw in smaller batches, or write PNG files.",
        )
    return data


def _unpacked(comment: bytes) -> str:
    text = comment.decode("ascii")
    return zlib.decompress(base64.b64decode(text[len(_PACKED) :])).decode("ascii") if text.startswith(_PACKED) else text
