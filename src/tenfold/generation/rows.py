"""Manifest rows of synthetic images: what was asked for, what was written and what it descends from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tenfold.core.files import write_atomic
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS, SKIN_TYPE_GROUPS, make_manifest, pack_ancestors
from tenfold.generation.parts import DrawnImage
from tenfold.generation.plan_reading import Batch
from tenfold.generation.requests import ImageRequest

INHERITED = (
    "group_id", "patient_id", "lesion_id", "skin_type", "skin_type_group", "skin_type_source",
    "severity", "site", "age", "sex", "modality", "caption", "mask_path",
)  # fmt: skip
"""What an image takes over from the real one it starts from."""

_ROWS_AT_ONCE = 8192
_REPEATED = ("ancestors", "environment")
"""Long texts that most rows share: kept once in the file and once in memory."""


@dataclass(frozen=True)
class Descent:
    """What the rows need to know of real images.

    ancestors: those the checkpoint learned from; None when nobody recorded them. parents: manifest rows by image_id.
    """

    ancestors: tuple[str, ...] | None
    parents: Mapping[str, Mapping[str, Any]]
    _cells: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    def ancestors_cell(self, request: ImageRequest) -> str | None:
        """Real images that shaped the one asked for: those it starts from and, where noise was drawn, the checkpoint's.

        Without noise there is only the autoencoder, whose weights fine-tuning leaves alone, or no model at all.
        """
        own = tuple(image_id for image_id in (request.parent_id, request.background_id) if image_id is not None)
        is_drawn = request.num_inference_steps is not None
        if is_drawn and self.ancestors is None:
            return None
        if own not in self._cells:
            self._cells[own] = pack_ancestors([*own, *((self.ancestors or ()) if is_drawn else ())])
        return self._cells[own]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Upstream columns that rows take over."""
        names = {name for row in self.parents.values() for name in row if name.startswith(ATTRIBUTE_PREFIX)}
        return tuple(sorted(names))


def manifest_row(
    descent: Descent, batch: Batch, position: int, image: DrawnImage, place: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of one image; synthetic images belong to the training split, whatever becomes of them later.

    Args:
        place: path, and mask_path where the image has a mask of its own; environment as JSON text.
    """
    request = batch.requests[position]
    parent = None if request.parent_id is None else descent.parents[request.parent_id]
    row = {
        **({} if parent is None else _inherited(parent, request)),
        **(batch.facts[position] if batch.facts else {}),
        **_asked(request),
        "image_id": request.image_id,
        "label": request.label,
        "source": "synthetic",
        "split": "train",
        "width_px": image.width_px,
        "height_px": image.height_px,
        "sha256": image.sha256,
        "phash": image.phash,
        "ancestors": descent.ancestors_cell(request),
        "batch_plan": f"{batch.name}:{position + 1}/{len(batch.requests)}",
        "review": "unreviewed",
        "redraws": image.redraws,
        "quarantine_reason": None if image.fault is None else f"screening: {image.fault}",
        **(image.seeds or {}),
        **place,
    }
    return {name: value for name, value in row.items() if name in COLUMNS or name.startswith(ATTRIBUTE_PREFIX)}


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path, attributes: Sequence[str]) -> None:
    """Write a manifest of rows in order, a few thousand at a time; the same bytes for the same rows.

    `read_manifest` reads it like any other.
    """
    schema = _schema(attributes)
    with write_atomic(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for chunk in _chunks(rows):
            writer.write_table(_table(chunk, schema))


def _schema(attributes: Sequence[str]) -> pa.Schema:
    """That of an empty manifest, so that pandas reads the same types, with repeated texts as dictionaries."""
    empty = make_manifest([]).assign(**{name: pd.Series([], dtype="string") for name in attributes})
    schema = pa.Table.from_pandas(empty, preserve_index=False).schema
    for name in _REPEATED:
        place = schema.get_field_index(name)
        schema = schema.set(place, pa.field(name, pa.dictionary(pa.int32(), pa.large_string())))
    return schema


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = []
    for column in schema:
        cells = [row.get(column.name) for row in rows]
        is_repeated = column.name in _REPEATED
        columns.append(_dictionary(cells, column.type) if is_repeated else pa.array(cells, type=column.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _dictionary(cells: Sequence[str | None], kind: pa.DataType) -> pa.DictionaryArray:
    places: dict[str, int] = {}
    indices = [None if cell is None else places.setdefault(cell, len(places)) for cell in cells]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(places), kind.value_type))


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    chunk: list[Mapping[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _asked(request: ImageRequest) -> dict[str, Any]:
    """The request's fields that are columns too, and what its skin type and prompt say of the image."""
    fields = request.as_dict()
    row = {name: value for name, value in fields.items() if name in COLUMNS and value is not None}
    row["sampler"] = request.sampler or "checkpoint"
    if request.prompt is not None:
        row["caption"] = request.prompt
    if request.skin_type is not None:
        row["skin_type_group"] = SKIN_TYPE_GROUPS[request.skin_type]
        row["skin_type_source"] = "given"
    return row


def _inherited(parent: Mapping[str, Any], request: ImageRequest) -> dict[str, Any]:
    row = {name: parent[name] for name in INHERITED}
    if request.mask not in (None, "lesion"):
        row["mask_path"] = None  # a lesion may have been painted or lost anywhere
    return row | {name: value for name, value in parent.items() if name.startswith(ATTRIBUTE_PREFIX)}
