"""Finishing: when every part is drawn, the manifest, the metadata beside the images, checksums, a grid and the card."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tenfold.core.errors import StageError
from tenfold.core.files import write_atomic, write_bytes_atomic, write_text_atomic
from tenfold.core.hashing import canonical_json
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png, image_grid
from tenfold.data.manifest import ATTRIBUTE_PREFIX, manifest_rows, read_manifest, select_images
from tenfold.generation.origins import MANIFEST as REAL_MANIFEST
from tenfold.generation.parts import Part, PartRecord, read_record
from tenfold.generation.plan_reading import fact_columns, read_batches
from tenfold.generation.provenance import image_suffix
from tenfold.generation.rows import Descent, manifest_row, write_rows
from tenfold.generation.shards import CHECKSUMS, SHARDS, shard_name

REQUESTS = "requests.parquet"
GRID = "grid.png"
MANIFEST = "manifest.parquet"
METADATA = "images/metadata.parquet"

_GRID_COLUMNS = 8
GRID_IMAGES_PER_LABEL = 2 * _GRID_COLUMNS
_METADATA_COLUMNS = [
    "path", "image_id", "label", "caption", "strategy", "skin_type", "parent_id", "prompt", "seed", "checkpoint",
    "quarantine_reason",
]  # fmt: skip


@dataclass(frozen=True)
class DrawnSet:
    """A set that is planned and drawn part by part.

    in_shards: whether images lie in tars. ancestors: the real images that the checkpoint learned from; None when nobody
    recorded them.
    """

    workspace: Workspace
    folder: Path
    name: str
    parts: tuple[Part, ...]
    in_shards: bool
    ancestors: tuple[str, ...] | None

    @property
    def requests(self) -> Path:
        """The plan's file."""
        return self.folder / REQUESTS

    def image_ids(self) -> list[str]:
        """Names of all images, in order."""
        ids: list[str] = pq.read_table(self.requests, columns=["image_id"])["image_id"].to_pylist()
        return ids

    def counts(self) -> dict[str, int]:
        """Images by label, in the plan's order of labels."""
        counted = pq.read_table(self.requests, columns=["label"])["label"].combine_chunks().value_counts()
        return {str(one["values"]): int(one["counts"]) for one in counted.to_pylist()}

    def record(self, part: Part) -> PartRecord:
        """The part's record. Raises StageError when it went away meanwhile."""
        found = read_record(self.folder, part)
        if found is None:
            raise StageError(
                f"the record of {part.name} is gone while the run went on",
                where=str(self.folder),
                todo="Leave the folder alone and run the same command again: the part is drawn anew.",
            )
        return found


@dataclass
class Findings:
    """What the records tell of the whole set."""

    cut_prompts: dict[str, str]
    redrawn: int = 0
    refused: int = 0
    """Images whose last redraw was screened out too: kept, with a `quarantine_reason`."""


def write_manifest_files(drawn: DrawnSet) -> tuple[list[Path], Findings]:
    """Write the manifest and what belongs beside the images; the files written, and what the records told."""
    folder = drawn.folder
    findings = Findings({})
    descent = Descent(drawn.ancestors, _parents(drawn))
    told = {name for name in fact_columns(drawn.requests) if name.startswith(ATTRIBUTE_PREFIX)}
    write_rows(_rows(drawn, descent, findings), folder / MANIFEST, sorted({*descent.attributes, *told}))
    if drawn.in_shards:
        written = [folder / SHARDS / CHECKSUMS]
        _write_checksums(drawn)
    else:
        written = [folder / METADATA]
        _write_metadata(drawn)
    return [folder / MANIFEST, *written], findings


def write_grid(drawn: DrawnSet) -> Path:
    """The first images of each label, in lines of 8."""
    folder = drawn.folder
    columns = pq.read_table(folder / MANIFEST, columns=["label", "path"])
    chosen: dict[str, list[str]] = {}
    for label, path in zip(columns["label"].to_pylist(), columns["path"].to_pylist(), strict=True):
        paths = chosen.setdefault(label, [])
        if len(paths) < GRID_IMAGES_PER_LABEL:
            paths.append(path)
    pictures: list[Any] = []
    for paths in chosen.values():
        images = [decode_image(drawn.workspace.resolve(path)) for path in paths]
        empty = -len(images) % _GRID_COLUMNS if len(chosen) > 1 else 0
        pictures += [*images, *[np.full_like(images[0], 255)] * empty]
    write_bytes_atomic(folder / GRID, encode_png(image_grid(np.stack(pictures), _GRID_COLUMNS)))
    return folder / GRID


def _rows(drawn: DrawnSet, descent: Descent, findings: Findings) -> Iterator[dict[str, Any]]:
    home = drawn.workspace.relative(drawn.folder)
    batches = read_batches(drawn.requests, range(sum(part.batches for part in drawn.parts)))
    for part in drawn.parts:
        record = drawn.record(part)
        images = iter(record.images)
        environment = canonical_json(dict(record.environment))
        inside = f"{home}/{SHARDS}/{shard_name(drawn.name, part.number)}"
        findings.cut_prompts.update(record.cut_prompts)
        for batch in itertools.islice(batches, part.batches):
            for position, request in enumerate(batch.requests):
                image = next(images)
                findings.redrawn += image.redraws > 0
                findings.refused += image.fault is not None
                name = f"{image.image_id}.{image_suffix(request)}"
                place = {
                    "path": f"{inside if drawn.in_shards else f'{home}/images'}/{name}",
                    "environment": environment,
                }
                if image.has_mask:
                    mask = f"{image.image_id}.mask.png" if drawn.in_shards else f"{image.image_id}.png"
                    place["mask_path"] = f"{inside if drawn.in_shards else f'{home}/masks'}/{mask}"
                yield manifest_row(descent, batch, position, image, place)


def _parents(drawn: DrawnSet) -> Mapping[str, Mapping[str, Any]]:
    """Manifest rows of the real images that are started from, by id."""
    ids = pq.read_table(drawn.requests, columns=["parent_id"])["parent_id"].unique().drop_null().to_pylist()
    if not ids:
        return {}
    real = read_manifest(drawn.workspace.resolve(REAL_MANIFEST))
    return {str(row["image_id"]): row for row in manifest_rows(select_images(real, ids))}


def _write_checksums(drawn: DrawnSet) -> None:
    """As `sha256sum -c` reads them, in the shards' folder."""
    files = (file for part in drawn.parts for file in drawn.record(part).files)
    lines = (f"{file.sha256}  {file.name.rpartition('/')[2]}\n" for file in files)
    write_text_atomic(drawn.folder / SHARDS / CHECKSUMS, "".join(lines))


def _write_metadata(drawn: DrawnSet) -> None:
    """`metadata.parquet` beside the images, which the Hugging Face imagefolder loader reads."""
    source = pq.ParquetFile(drawn.folder / MANIFEST)
    writer: pq.ParquetWriter | None = None
    with write_atomic(drawn.folder / METADATA) as temporary:
        for rows in source.iter_batches(columns=_METADATA_COLUMNS):
            table = rows.select(_METADATA_COLUMNS)
            names = [path.rpartition("/")[2] for path in table["path"].to_pylist()]
            columns: Sequence[Any] = [names, *table.columns[1:]]
            made = pa.table(dict(zip(["file_name", *_METADATA_COLUMNS[1:]], columns, strict=True)))
            writer = writer or pq.ParquetWriter(temporary, made.schema)
            writer.write_table(made)
        if writer is not None:
            writer.close()
