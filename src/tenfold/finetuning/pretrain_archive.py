"""The pretraining archive: captioned images, rendered once (phantom) or gathered from a manifest, as one array."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.captions import PHOTO_PREFIX, class_noun
from tenfold.data.images import decode_image, resize_and_crop
from tenfold.data.manifest import read_manifest
from tenfold.data.phantom import make_archive_batch
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.finetuning.pretrain_held_out import MANIFEST, SPLITS, HeldOut, seen_ids, without_held_out

_SHARD_IMAGES = 1024
_IMAGES, _ROWS = "images.npy", "rows.json"


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
    seen_ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What `training_rows.json` tells: ``image_ids`` of the workspace's own images, ``archive_image_ids`` of others."""
    held_out: HeldOut = field(default_factory=lambda: HeldOut(is_checked=False))
    captioned: int = 0
    """Images whose caption somebody wrote, or that a label gave."""

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


def gather_manifest(
    folder: Path, workspace: Workspace, manifest: str, *, image_size_px: int, class_free_caption: str = "a photo"
) -> Archive:
    """Images and captions of a workspace manifest as an archive in ``folder``.

    An image without a caption gets its label's, one without either the class-free caption. Of the workspace's full real
    manifest the training split is taken; of an archive's manifest all but what belongs with validation and test images.

    Raises:
        DataError: a manifest holds rows of the validation or test split, images smaller than asked for, or nothing that
            may be trained on.
    """
    if (folder / _ROWS).is_file():
        return open_archive(folder)
    table, held_out = _training_rows(workspace, manifest)
    if not len(table):
        raise DataError(
            "no image is left to train on", where=manifest, expected=f"training images; {held_out.sentence()}",
            todo="Give an archive of other images.",
        )  # fmt: skip
    rows = table.to_dict("records")
    with write_atomic(folder / _IMAGES) as temporary:
        target = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(rows), image_size_px, image_size_px, 3))
        for number, row in enumerate(rows):
            image = decode_image(workspace.resolve(_text(row["path"])))
            if min(image.shape[:2]) < image_size_px:
                raise _too_small(image.shape[:2], image_size_px, _text(row["path"]))
            target[number] = resize_and_crop(image, image_size_px)
        target.flush()
    columns = {
        "captions": [_caption(row, class_free_caption) for row in rows],
        "kinds": ["" for _ in rows],
        "labels": [_text(row["label"]) for row in rows],
        "attributes": [() for _ in rows],
        "image_ids": [str(row["image_id"]) for row in rows],
        "skin_types": [int(float(_text(row["skin_type"]) or 0)) for row in rows],
        "seen_ids": seen_ids(table, workspace),
        "held_out": asdict(held_out),
        "captioned": int(table["caption"].notna().sum()),
    }
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
        seen_ids=columns.get("seen_ids", {"image_ids": [], "archive_image_ids": []}),
        held_out=HeldOut(**columns["held_out"]) if "held_out" in columns else HeldOut(is_checked=False),
        captioned=columns.get("captioned", len(columns["captions"])),
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


def _training_rows(workspace: Workspace, manifest: str) -> tuple[pd.DataFrame, HeldOut]:
    """Rows that a generator may see. The workspace's own manifest has its split, an archive's has none."""
    table = read_manifest(workspace.resolve(manifest))
    if workspace.relative(manifest) == MANIFEST:
        table = with_split(table, read_sealed_split(workspace.resolve(SPLITS)))
        kept = table[table["split"] == "train"]
        return kept, HeldOut(True, len(table) - len(kept), 0)
    held_out = table[table["split"].notna() & (table["split"] != "train")]
    if len(held_out):
        raise DataError(
            f"{len(held_out)} of {len(table)} rows belong to the validation or test split",
            where=manifest,
            expected="training images only",
            todo="write a manifest without them",
        )
    return without_held_out(table, workspace)


def _caption(row: Mapping[Hashable, object], class_free_caption: str) -> str:
    label = _text(row["label"])
    return _text(row["caption"]) or (f"{PHOTO_PREFIX} {class_noun(label)}" if label else class_free_caption)


def _too_small(shape: tuple[int, ...], image_size_px: int, path: str) -> DataError:
    return DataError(
        f"an image of {shape[1]} x {shape[0]} px would have to be enlarged", where=path,
        expected=f"images of {image_size_px} px or more",
        todo=f"Train at {min(shape)} px, or give the folder of the originals as the archive.",
    )  # fmt: skip


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)
