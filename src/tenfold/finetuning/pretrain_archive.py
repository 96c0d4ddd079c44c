"""The pretraining archive: captioned images, rendered once (phantom) or gathered from a manifest, as one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, resize_and_crop
from tenfold.data.manifest import read_manifest
from tenfold.data.phantom import make_archive_batch
from tenfold.data.splits import read_sealed_split, with_split

_SHARD_IMAGES = 1024
_IMAGES, _ROWS = "images.npy", "rows.json"
SPLITS = "data/splits.json"


@dataclass(frozen=True)
class Archive:
    """Images with what is known of each; all sequences have one entry per image.

    images: (N, H, W, 3) uint8 sRGB, memory-mapped. kinds and labels: "" where unknown. skin_types: 1 to 6, 0 where
    unknown.
    """

    images: NDArray[np.uint8]
    captions: Sequence[str]
    kinds: Sequence[str]
    labels: Sequence[str]
    attributes: Sequence[Sequence[str]]
    skin_types: NDArray[np.int64]
    image_ids: Sequence[str] = ()
    """Of a workspace's images; empty for the phantom's archive."""

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class _Shard:
    folder: Path
    start: int
    count: int
    seed: int
    image_size_px: int

    @property
    def images_path(self) -> Path:
        return self.folder / f"shard-{self.start:07d}-{self.count}.npy"

    @property
    def rows_path(self) -> Path:
        return self.folder / f"shard-{self.start:07d}-{self.count}.json"


def render_phantom_archive(
    folder: Path, count: int, *, seed: int, image_size_px: int, executor: Executor, progress: Progress
) -> Archive:
    """Render archive images 0 to ``count`` of the phantom; shards that an interrupted run finished are kept."""
    starts = range(0, count, _SHARD_IMAGES)
    shards = [_Shard(folder, start, min(_SHARD_IMAGES, count - start), seed, image_size_px) for start in starts]
    if not (folder / _ROWS).is_file():
        missing = [shard for shard in shards if not shard.rows_path.is_file()]
        with progress.task("render the archive", len(shards)) as task:
            task.advance(len(shards) - len(missing))
            for _ in executor.map(_render_shard, missing):
                task.advance()
        _gather(folder, shards)
    return open_archive(folder)


def gather_manifest(folder: Path, workspace: Workspace, manifest: str, *, image_size_px: int) -> Archive:
    """Images and captions of a workspace manifest as an archive in ``folder``; rows without caption get their label's.

    Of the workspace's full real manifest the training split is taken. Raises DataError when another manifest holds
    rows of the validation or test split, or a row has neither a caption nor a label.
    """
    table = _training_rows(workspace, manifest)
    rows = table.to_dict("records")
    labels = [_text(row["label"]) for row in rows]
    captions = [_text(row["caption"]) or f"a photo of {label}" for row, label in zip(rows, labels, strict=True)]
    if "a photo of " in captions:
        raise DataError(
            "some rows have neither a caption nor a label", where=manifest, expected="one of the two in every row"
        )
    images = [resize_and_crop(decode_image(workspace.resolve(_text(row["path"]))), image_size_px) for row in rows]
    columns = {
        "captions": captions,
        "kinds": ["" for _ in rows],
        "labels": labels,
        "attributes": [() for _ in rows],
        "image_ids": [str(row["image_id"]) for row in rows],
        "skin_types": [int(float(_text(row["skin_type"]) or 0)) for row in rows],
    }
    with write_atomic(folder / _IMAGES) as temporary, open(temporary, "wb") as stream:
        np.save(stream, np.stack(images))
    write_json_atomic(folder / _ROWS, columns)
    return open_archive(folder)


def open_archive(folder: Path) -> Archive:
    """The archive that a folder holds."""
    columns = read_json(folder / _ROWS)
    return Archive(
        images=np.load(folder / _IMAGES, mmap_mode="r", allow_pickle=False),
        captions=columns["captions"],
        kinds=columns["kinds"],
        labels=columns["labels"],
        attributes=columns["attributes"],
        skin_types=np.array(columns["skin_types"], dtype=np.int64),
        image_ids=columns.get("image_ids", []),
    )


def _render_shard(shard: _Shard) -> None:
    batch = make_archive_batch(shard.start, shard.count, seed=shard.seed, image_size_px=shard.image_size_px)
    with write_atomic(shard.images_path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, batch.images)
    rows = {
        "captions": batch.captions,
        "kinds": batch.kinds,
        "labels": [label or "" for label in batch.labels],
        "attributes": batch.attributes,
        "skin_types": batch.skin_types,
    }
    write_json_atomic(shard.rows_path, rows)


def _gather(folder: Path, shards: Sequence[_Shard]) -> None:
    """One memory-mapped file of all images, so that processes that train together share its pages."""
    columns: dict[str, list[object]] = {}
    shape = (sum(shard.count for shard in shards), shards[0].image_size_px, shards[0].image_size_px, 3)
    with write_atomic(folder / _IMAGES) as temporary:
        target = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for shard in shards:
            target[shard.start : shard.start + shard.count] = np.load(shard.images_path, allow_pickle=False)
            for name, values in read_json(shard.rows_path).items():
                columns.setdefault(name, []).extend(values)
        target.flush()
    write_json_atomic(folder / _ROWS, columns)


def _training_rows(workspace: Workspace, manifest: str) -> pd.DataFrame:
    """Rows that a generator may see; rows without a split get theirs from the sealed split."""
    table = read_manifest(workspace.resolve(manifest))
    if table["split"].isna().any():
        table = with_split(table, read_sealed_split(workspace.resolve(SPLITS)))
        return table[table["split"] == "train"]
    held_out = table[table["split"] != "train"]
    if len(held_out):
        raise DataError(
            f"{len(held_out)} of {len(table)} rows belong to the validation or test split",
            where=manifest,
            expected="training images only",
            todo="write a manifest without them",
        )
    return table


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)
