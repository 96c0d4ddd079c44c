"""Images that a process has decoded once stay as they are, within the room there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenfold.classification import resident
from tenfold.classification.resident import ResidentImages, resident_images
from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import load_images
from tenfold.data.images import decode_image
from tenfold.data.manifest import read_manifest
from tests.unit.classification.blobs import SIZE_PX, make_blob_workspace

IMAGE_BYTES = SIZE_PX * SIZE_PX * 3


@pytest.fixture
def blobs(tmp_path: Path) -> Workspace:
    return make_blob_workspace(tmp_path / "workspace", per_class=6, held_out=2)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files decoded."""
    names: list[str] = []
    decode = decode_image

    def counted(path: Path) -> np.ndarray:
        names.append(path.name)
        return decode(path)

    monkeypatch.setattr(resident, "decode_image", counted)
    return names


def test_each_file_is_decoded_once(blobs: Workspace, decoded: list[str]) -> None:
    rows = read_manifest(blobs.resolve("data/manifest.parquet"))
    assert np.array_equal(resident_images(blobs, rows), load_images(blobs, rows))
    again = resident_images(blobs, rows.iloc[::-1])
    assert np.array_equal(again[::-1], load_images(blobs, rows))
    assert len(decoded) == len(rows)
    again[:] = 0  # a caller's own
    assert resident_images(blobs, rows).any()


def test_another_workspace_or_no_hash_is_decoded(blobs: Workspace, decoded: list[str], tmp_path: Path) -> None:
    rows = read_manifest(blobs.resolve("data/manifest.parquet")).iloc[:2]
    resident_images(blobs, rows)
    resident_images(make_blob_workspace(tmp_path / "other", per_class=6, held_out=2), rows)
    assert len(decoded) == 4
    for _ in range(2):
        resident_images(blobs, rows.assign(sha256=None))
    assert len(decoded) == 8


def test_the_least_recently_used_go_when_the_room_is_full(blobs: Workspace, decoded: list[str]) -> None:
    rows = read_manifest(blobs.resolve("data/manifest.parquet"))
    paths = list(zip(rows["path"], rows["sha256"], strict=True))[:4]
    store = ResidentImages(most_bytes=2 * IMAGE_BYTES)
    for number in (0, 1, 0, 2, 0, 1):
        store.decode(blobs, *paths[number])
    assert [f"data/images/{name}" for name in decoded] == [paths[number][0] for number in (0, 1, 2, 1)]


def test_faults_are_told_as_ever(blobs: Workspace) -> None:
    rows = read_manifest(blobs.resolve("data/manifest.parquet")).iloc[:3]
    blobs.resolve(str(rows["path"].iloc[1])).unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be opened"):
            resident_images(blobs, rows)
