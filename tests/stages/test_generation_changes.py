"""What changed between an interruption and the next run: a mask, or a file of the set that looks as it did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tenfold.core.errors import StageError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import manifest_rows, read_manifest, write_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


class Log(NullProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def _run(
    workspace: Workspace, base: Path, *, limit: int | None = None, log: Log | None = None, **changes: Any
) -> Result:
    options = {"name": "drawn", "seed": 5, "checkpoint": str(base), "num_inference_steps": 1, "batch_size": 2} | changes
    return run(GenerateConfig.model_validate(options), workspace, SerialExecutor(), log or NullProgress(), limit=limit)


def _disk(radius_px: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[:32, :32]
    return np.where((y - 16) ** 2 + (x - 16) ** 2 <= radius_px**2, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("folder", ["data/masks", "data"])
def test_a_mask_that_changed_begins_the_set_anew(tiny: Workspace, base: Path, folder: str) -> None:
    path = tiny.path / "data/manifest.parquet"
    manifest = read_manifest(path)
    masks = [tiny.path / folder / f"{image_id}.png" for image_id in manifest["image_id"]]
    masks[0].parent.mkdir(exist_ok=True)
    for mask in masks:
        mask.write_bytes(encode_png(_disk(8)))
    write_manifest(manifest.assign(mask_path=[tiny.relative(mask) for mask in masks]), path)
    options = {"strategy": "inpaint", "strength": 1.0}
    assert not _run(tiny, base, limit=2, **options).outputs
    for mask in masks:
        mask.write_bytes(encode_png(_disk(4)))
    resumed = _run(tiny, base, **options)
    told = [
        read_provenance(tiny.resolve(row["path"]))
        for row in manifest_rows(read_manifest(resumed.folder / "manifest.parquet"))
    ]
    assert {sources["parent"].mask_sha256 for image in told for sources in image.sources} == {sha256_file(masks[0])}
    assert _run(tiny, base, **options).was_finished
    (tiny.path / "data/a note.txt").write_text("no mask")
    assert _run(tiny, base, **options).was_finished
    masks[0].write_bytes(encode_png(_disk(6)))
    assert not _run(tiny, base, **options).was_finished


@pytest.mark.parametrize("container", ["folder", "webdataset"])
def test_damage_that_keeps_size_and_time_is_found_before_the_set_is_finished(
    tiny: Workspace, base: Path, container: str
) -> None:
    options = {"prompts": {"mole": ("a mole",)}, "images_per_class": 6, "container": container, "images_per_shard": 2}
    _run(tiny, base, limit=2, **options)
    folder = tiny.path / "synthetic/drawn"
    damaged = next(folder.glob("images/*.png" if container == "folder" else "shards/*.tar"))
    before, facts, data = sha256_file(damaged), damaged.stat(), bytearray(damaged.read_bytes())
    data[700] ^= 1
    damaged.write_bytes(data)
    os.utime(damaged, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    log = Log()
    with pytest.raises(StageError, match="not as they were written"):
        _run(tiny, base, log=log, **options)
    assert "has another SHA-256 than was recorded" in log.messages[0]
    assert not (folder / "run.json").exists()
    assert _run(tiny, base, **options).outputs
    assert sha256_file(damaged) == before
