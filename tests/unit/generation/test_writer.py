"""The writer: files, shards and records of a part, the same bytes for the same pictures."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, InputError, StorageError
from tenfold.core.hashing import sha256_bytes, sha256_file
from tenfold.data.image_bytes import image_bytes, image_sha256
from tenfold.data.images import decode_image
from tenfold.generation.locking import Shard
from tenfold.generation.parts import (
    DrawnImage,
    Part,
    PartRecord,
    chosen_parts,
    cut_parts,
    discard_unfinished,
    finished_parts,
    read_record,
    write_record,
)
from tenfold.generation.plan_reading import Batch
from tenfold.generation.provenance import Provenance, Redraw, SourceRecord, encode_synthetic, read_provenance
from tenfold.generation.requests import ImageRequest
from tenfold.generation.writer import Encoder, FolderStore, Picture, ShardStore, Store

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
ENVIRONMENT = {"torch": "2", "device": "cpu", "threads": 1}


def _batch(**changes: Any) -> Batch:
    first = ImageRequest(
        "inpaint", "mole", "embedded:base", "0" * 64, "float32", None, prompt="a mole, ü", seed=2**62 + 1,
        guidance_interval=(0.2, 0.8), parent_id="p0", num_inference_steps=2,
    )  # fmt: skip
    first = replace(first, **changes)
    return Batch(4, (first, replace(first, seed=5, prompt="another"), replace(first, seed=6, parent_id="p1")))


def _pictures(batch: Batch, **changes: Any) -> list[Picture]:
    sources = tuple({"parent": SourceRecord(str(request.parent_id), "1" * 64, None)} for request in batch.requests)
    return [
        Picture(PIXELS[place], Provenance(batch, place, ENVIRONMENT, None, sources, {"note": place}), place, **changes)
        for place in range(3)
    ]


def _write(store: Store, pictures: list[Picture], *, with_texts: bool) -> tuple[list[DrawnImage], list[Any]]:
    images = []
    with Encoder(2, with_texts=with_texts) as encoder:
        for future in encoder.submit(pictures):
            store.add(future.result())
            images.append(future.result().image)
    return images, store.close()


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
def test_the_record_in_the_file_is_whole(tmp_path: Path, file_format: str) -> None:
    batch = _batch(file_format=None if file_format == "png" else "jpeg", jpeg_quality=95)
    seeds = {"seed": 2**63 - 5}
    provenance = Provenance(batch, 2, ENVIRONMENT, Redraw(1, seeds, ("black",)), ({}, {}, {}), {"note": 1})
    path = tmp_path / "image"
    path.write_bytes(encode_synthetic(PIXELS[0], provenance))
    found = read_provenance(path)
    assert found.request == batch.requests[2] and found.batch.requests == batch.requests
    assert found.request.image_id == batch.requests[2].image_id
    assert found.redraw == Redraw(1, seeds, ("black",))
    assert (found.environment, found.notes) == (ENVIRONMENT, {"note": 1})
    opened = Image.open(path)
    mark = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"].encode()
    assert b"digitalsourcetype/trainedAlgorithmicMedia" in mark
    if file_format == "png":
        assert np.array_equal(decode_image(path), PIXELS[0])


def test_a_long_record_fits_into_a_jpeg(tmp_path: Path) -> None:
    first = _batch(file_format="jpeg", jpeg_quality=95).requests[0]
    batch = Batch(0, tuple(replace(first, seed=number, prompt=f"{number} " * 80) for number in range(400)))
    path = tmp_path / "image.jpg"
    path.write_bytes(encode_synthetic(PIXELS[0], Provenance(batch, 7, ENVIRONMENT)))
    assert read_provenance(path).batch.requests == batch.requests


@pytest.mark.parametrize("data", [b"", b"no image", "picture"])
def test_a_file_without_a_record_is_told(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "image.png"
    if data == "picture":
        Image.fromarray(PIXELS[0]).save(path)
    else:
        path.write_bytes(data)
    with pytest.raises(DataError):
        read_provenance(path)


def test_a_folder_holds_a_file_for_each_image(tmp_path: Path) -> None:
    mask, first = np.eye(24, dtype=bool), PIXELS[1]
    images, files = _write(FolderStore(tmp_path), _pictures(_batch(), mask=mask, first_pass=first), with_texts=False)
    names = [image.image_id for image in images]
    assert [file.name for file in files[:3]] == [f"{folder}/{names[0]}.png" for folder in
                                                 ("images", "masks", "first_passes")]  # fmt: skip
    for file in files:
        assert (sha256_file(tmp_path / file.name), file.fault(tmp_path)) == (file.sha256, None)
    assert np.array_equal(decode_image(tmp_path / "masks" / f"{names[2]}.png")[..., 0] > 0, mask)
    assert images[0].has_mask and not (tmp_path / "unfinished" / names[0]).exists()


def test_a_shard_is_the_same_bytes_each_time_and_read_like_a_folder(tmp_path: Path) -> None:
    shards = []
    for name in ("one", "two"):
        images, files = _write(ShardStore(tmp_path / name, "set", 7), _pictures(_batch()), with_texts=True)
        shards.append(tmp_path / name / files[0].name)
    assert shards[0].name == "set-000007.tar"
    assert shards[0].read_bytes() == shards[1].read_bytes()
    with tarfile.open(shards[0]) as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
        names = [member.name for member in members[:4]]
        assert names == [f"{images[0].image_id}.{suffix}" for suffix in ("png", "json", "txt", "cls")]
        record = json.loads(tar.extractfile(names[1]).read())  # type: ignore[union-attr]
        assert record["image_id"] == images[0].image_id and record["synthetic"]
    path = shards[0] / f"{images[1].image_id}.png"
    assert np.array_equal(decode_image(path), PIXELS[1])
    assert image_sha256(path) == images[1].sha256 == sha256_bytes(image_bytes(path))
    assert read_provenance(path).request.image_id == images[1].image_id
    with pytest.raises(DataError, match="the shard has no such image"):
        decode_image(shards[0] / "0123456789abcdef.png")


def test_a_damaged_shard_is_told(tmp_path: Path) -> None:
    shard = tmp_path / "set-000000.tar"
    shard.write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match="the shard cannot be read"):
        decode_image(shard / "a.png")


def test_webdataset_reads_a_shard(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    images, files = _write(ShardStore(tmp_path, "set", 0), _pictures(_batch()), with_texts=True)
    dataset = webdataset.WebDataset(str(tmp_path / files[0].name), shardshuffle=False).decode("rgb8")
    samples = list(dataset)
    assert [sample["__key__"] for sample in samples] == [image.image_id for image in images]
    assert [sample["cls"] for sample in samples] == [0, 1, 2]
    assert samples[0]["txt"] == "a mole, ü" and samples[1]["json"]["request"]["seed"] == 5
    assert np.array_equal(samples[2]["png"], PIXELS[2])


def test_records_come_back_and_notice_what_changed(tmp_path: Path) -> None:
    images, files = _write(FolderStore(tmp_path), _pictures(_batch(), fault="black"), with_texts=False)
    part = Part(0, 0, 1, 0, 3)
    record = PartRecord(tuple(images), tuple(files), ENVIRONMENT, {"long prompt": "prompt"})
    write_record(tmp_path, part, record)
    assert read_record(tmp_path, part) == record
    ids = [image.image_id for image in images]
    path = tmp_path / files[0].name

    def state() -> tuple[bool, list[str]]:
        faults: list[str] = []
        ((_, is_done),) = finished_parts(tmp_path, [part], ids, faults)
        return is_done, faults

    assert state() == (True, [])
    os.utime(path)
    assert state() == (True, [])  # another time, but the same bytes
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert state() == (False, [f"{files[0].name} has another SHA-256 than was recorded"])
    assert (tmp_path / "damaged" / files[0].name).read_bytes() == data
    assert state() == (False, [])  # without its record the part is simply not done
    write_record(tmp_path, part, record)
    assert state() == (False, [f"{files[0].name} is missing"])
    assert read_record(tmp_path, part) is None


def test_a_record_of_other_images_or_half_a_record_counts_as_none(tmp_path: Path) -> None:
    images, files = _write(FolderStore(tmp_path), _pictures(_batch()), with_texts=False)
    part = Part(0, 0, 1, 0, 3)
    write_record(tmp_path, part, PartRecord(tuple(images), tuple(files), ENVIRONMENT, {}))
    assert [is_done for _, is_done in finished_parts(tmp_path, [part], ["a", "b", "c"], [])] == [False]
    (tmp_path / "parts" / "part-000000.json").write_text('{"images": [')
    assert read_record(tmp_path, part) is None


def test_parts_are_whole_batches_and_shares_of_them_cover_the_plan() -> None:
    assert [part.images for part in cut_parts([4, 4, 4, 2], 8)] == [8, 6]
    assert [part.images for part in cut_parts([4, 4, 4, 2], 3)] == [4, 4, 4, 2]
    parts = cut_parts([4] * 10 + [3], None)
    assert [(part.first_batch, part.first_image) for part in parts[:3]] == [(0, 0), (1, 4), (2, 8)]
    for count in (1, 2, 3, 4, 11, 20):
        shares = [chosen_parts(parts, Shard(number, count), None) for number in range(1, count + 1)]
        assert [part for share in shares for part in share] == list(parts)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [part.number for part in chosen_parts(parts, Shard(2, 3), 5)] == [3, 4]
    with pytest.raises(InputError, match="draws nothing"):
        chosen_parts(parts, None, 0)


def test_a_full_disk_in_mid_shard_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ShardStore(tmp_path, "set", 0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(StorageError, match="the disk is full"), Encoder(1, with_texts=True) as encoder:
        for future in encoder.submit(_pictures(_batch())):
            store.add(future.result())
    discard_unfinished(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "unfinished" / "elsewhere-1-images-a.png"
    other.parent.mkdir()
    other.write_bytes(b"half")
    discard_unfinished(tmp_path)
    assert other.exists()
    discard_unfinished(tmp_path, of_all=True)
    assert not other.exists()
