"""Parts of a set: shards of a job array, limits, tars, resume, redraws, what is locked and what is told."""

from __future__ import annotations

import os
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import StorageError, WorkspaceError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import load_images
from tenfold.data.image_bytes import image_sha256
from tenfold.data.images import decode_image
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.data.manifest_checks import check_manifest
from tenfold.generation import drawing
from tenfold.generation.config import GenerateConfig
from tenfold.generation.locking import Shard, folder_lock
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

PROMPTS = {"mole": ("a photo of ohwx mole",), "rash": ("a photo of zwxq rash", "another rash")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Result:
    return _run(make_tiny_workspace(tmp_path_factory.mktemp("whole") / "workspace"), _config(base))


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory, base: Path) -> tuple[Workspace, Result]:
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("tars") / "workspace")
    return workspace, _run(workspace, _config(base, container="webdataset", images_per_shard=6))


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options: dict[str, Any] = {
        "name": "drawn", "seed": 5, "checkpoint": str(base), "prompts": PROMPTS, "images_per_class": 6,
        "num_inference_steps": 1, "batch_size": 2,
    }  # fmt: skip
    return GenerateConfig(**(options | changes))


def _run(workspace: Workspace, config: GenerateConfig, **options: Any) -> Result:
    return run(config, workspace, SerialExecutor(), options.pop("progress", NullProgress()), **options)


class Log(NullProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def _hashes(folder: Path) -> dict[str, str]:
    """By name; without the records of parts and of the run, which hold times."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "parts")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files if path.name != "run.json"}


def test_shards_together_make_the_same_set(tiny: Workspace, base: Path, whole: Result) -> None:
    parts = [_run(tiny, _config(base), shard=Shard(number, 3)) for number in (3, 1, 2)]
    assert [dict(part.outputs) for part in parts[:2]] == [{}, {}]
    assert parts[0].summary == {"images_drawn": 4, "images_planned": 12, "parts": 6, "parts_drawn": 2}
    assert parts[1].summary["images_drawn"] == 8
    assert not (tiny.path / "synthetic/drawn/run.json").exists() or parts[2].outputs
    assert dict(parts[2].outputs) == dict(whole.outputs)
    assert _hashes(parts[2].folder) == _hashes(whole.folder)
    assert _run(tiny, _config(base), shard=Shard(1, 3)).was_finished


def test_a_limit_draws_the_first_parts_and_the_next_run_the_rest(tiny: Workspace, base: Path, whole: Result) -> None:
    log = Log()
    assert _run(tiny, _config(base), limit=3, progress=log).summary["images_drawn"] == 4
    assert log.messages == ["4 of 12 images are drawn; the set is whole when all parts are."]
    first = {path.name: path.stat().st_mtime_ns for path in (tiny.path / "synthetic/drawn/images").iterdir()}
    done = _run(tiny, _config(base))
    assert dict(done.outputs) == dict(whole.outputs)
    assert {name: (done.folder / "images" / name).stat().st_mtime_ns for name in first} == first


def test_tars_hold_the_same_pixels_as_a_folder(tars: tuple[Workspace, Result], whole: Result) -> None:
    workspace, result = tars
    manifest = read_manifest(result.folder / "manifest.parquet")
    assert check_manifest(manifest) == []
    rows = list(manifest_rows(manifest))
    assert [row["path"].split("/")[-2] for row in rows] == ["drawn-000000.tar"] * 6 + ["drawn-000001.tar"] * 6
    pixels = load_images(workspace, manifest)
    for row, image in zip(rows, pixels, strict=True):
        path = workspace.resolve(row["path"])
        assert image_sha256(path) == row["sha256"]
        assert np.array_equal(image, decode_image(whole.folder / "images" / path.name))
        assert read_provenance(path).request.image_id == row["image_id"]
    sums = (result.folder / "shards/SHA256SUMS").read_text().splitlines()
    assert sums[1] == f"{sha256_file(result.folder / 'shards/drawn-000001.tar')}  drawn-000001.tar"
    with tarfile.open(result.folder / "shards/drawn-000001.tar") as tar:
        assert tar.extractfile(f"{rows[6]['image_id']}.cls").read() == b"1"  # type: ignore[union-attr]
    assert decode_image(result.folder / "grid.png").shape[0] > 32


def test_a_damaged_shard_is_set_aside_and_drawn_again(tiny: Workspace, base: Path) -> None:
    config = _config(base, container="webdataset", images_per_shard=6)
    before = _hashes(_run(tiny, config).folder)
    shard = tiny.path / "synthetic/drawn/shards/drawn-000001.tar"
    facts, data = shard.stat(), bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
    os.utime(shard, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    log = Log()
    again = _run(tiny, config, progress=log)
    assert not again.was_finished
    assert "shards/drawn-000001.tar has another SHA-256 than was recorded" in log.messages[0]
    damaged = again.folder / "damaged/shards/drawn-000001.tar"
    assert damaged.read_bytes() == data
    damaged.unlink()
    assert _hashes(again.folder) == before
    assert _run(tiny, config).was_finished


def test_an_image_that_was_lost_from_a_finished_set_is_made_again(tiny: Workspace, base: Path, whole: Result) -> None:
    result = _run(tiny, _config(base))
    lost = sorted((result.folder / "images").glob("*.png"))[3]
    lost.unlink()
    assert dict(_run(tiny, _config(base)).outputs) == dict(whole.outputs)
    assert lost.exists()


def test_kill_at_any_moment_ends_in_the_same_bytes(tiny: Workspace, base: Path, whole: Result) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        child = os.fork()
        if child == 0:  # the parent has torch loaded, so that the moments fall into the run, not into its start
            try:
                _run(tiny, _config(base))
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.01, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert _hashes(_run(tiny, _config(base)).folder) == _hashes(whole.folder)


def test_what_a_killed_process_was_writing_goes(tiny: Workspace, base: Path) -> None:
    _run(tiny, _config(base), limit=2)
    stray = tiny.path / "synthetic/drawn/unfinished/elsewhere-7-images-a.png"
    stray.write_bytes(b"half")
    assert not (_run(tiny, _config(base)).folder / "unfinished").exists()


def test_a_folder_in_use_is_refused_and_its_process_named(tiny: Workspace, base: Path) -> None:
    with (
        folder_lock(tiny.path / "synthetic/drawn"),
        pytest.raises(WorkspaceError, match=f"process {os.getpid()} on .* is drawing into this folder"),
    ):
        _run(tiny, _config(base))


def test_shards_of_other_settings_cannot_join(tiny: Workspace, base: Path) -> None:
    _run(tiny, _config(base), shard=Shard(1, 2))
    before = _hashes(tiny.path / "synthetic/drawn")
    with (
        folder_lock(tiny.path / "synthetic/drawn", Shard(1, 2)),
        pytest.raises(WorkspaceError, match="with other settings: seed, batch_size"),
    ):
        _run(tiny, _config(base, seed=6, batch_size=4), shard=Shard(2, 2))
    assert _hashes(tiny.path / "synthetic/drawn") == before


def test_a_full_disk_is_told_and_the_rest_follows(
    tiny: Workspace, base: Path, tars: tuple[Workspace, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(base, container="webdataset", images_per_shard=6)
    written = tarfile.TarFile.addfile
    count = 0

    def full(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count > 30:
            raise OSError(28, "No space left on device")
        written(*arguments)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(StorageError, match="the disk is full"):
        _run(tiny, config)
    folder = tiny.path / "synthetic/drawn"
    assert [path.name for path in (folder / "shards").iterdir()] == ["drawn-000000.tar"]
    assert not list((folder / "unfinished").iterdir())
    monkeypatch.undo()
    assert _hashes(_run(tiny, config).folder) == _hashes(tars[1].folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_told(tiny: Workspace, base: Path) -> None:
    (tiny.path / "synthetic").mkdir()
    (tiny.path / "synthetic").chmod(0o500)
    with pytest.raises(StorageError, match="writing is not permitted"):
        _run(tiny, _config(base))


def test_the_imagefolder_loader_reads_the_images(whole: Result) -> None:
    datasets = pytest.importorskip("datasets")
    table = pd.read_parquet(whole.folder / "images" / "metadata.parquet").set_index("image_id")
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(whole.folder / "images"), cache_dir=str(whole.folder.parent / "cache")
    )["train"]
    assert sorted(found["image_id"]) == sorted(table.index)
    for row in found:
        assert row["prompt"] == table.loc[row["image_id"], "prompt"]
        path = whole.folder / "images" / f"{row['image_id']}.png"
        assert np.array_equal(np.asarray(row["image"]), decode_image(path))


def test_the_metadata_beside_the_images_name_each_file(whole: Result) -> None:
    table = pd.read_parquet(whole.folder / "images" / "metadata.parquet")
    assert set(table["file_name"]) == {path.name for path in (whole.folder / "images").glob("*.png")}
    assert table["label"].tolist() == ["mole"] * 6 + ["rash"] * 6


def test_a_photograph_may_become_a_jpeg(tiny: Workspace, base: Path) -> None:
    result = _run(tiny, _config(base, file_format="jpeg", jpeg_quality=90, images_per_class=1))
    row = _rows(result)[0]
    assert row["path"].endswith(f"{row['image_id']}.jpg")
    assert read_provenance(tiny.path / row["path"]).request.file_format == "jpeg"
    assert "JPEG, quality 90" in (result.folder / "README.md").read_text()


def test_sources_are_recorded_with_their_hashes(tiny: Workspace, base: Path) -> None:
    parents = ids_of(tiny, "train")[:2]
    config = _config(base, strategy="autoencoder", prompts={}, reference_ids=parents, num_inference_steps=None,
                     images_per_class=None)  # fmt: skip
    row = _rows(_run(tiny, config))[0]
    sources = read_provenance(tiny.path / row["path"]).sources
    real = {row["image_id"]: row for row in manifest_rows(read_manifest(tiny.path / "data/manifest.parquet"))}
    assert [source["parent"].sha256 for source in sources] == [real[parent]["sha256"] for parent in parents]


def test_rows_tell_what_drew_them(whole: Result, base: Path) -> None:
    row = _rows(whole)[0]
    assert row["environment"].startswith('{"device":"cpu","diffusers":')
    assert len(row["checkpoint_sha256"]) == 64 and row["redraws"] == 0


def _rows(result: Result) -> list[dict[str, Any]]:
    return list(manifest_rows(read_manifest(result.folder / "manifest.parquet")))


def test_a_checkpoint_is_loaded_once_for_all_parts(
    tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.models import pipelines

    loaded: list[Path] = []
    original = pipelines.load_components

    def load(path: Path, *others: Any, **options: Any) -> Any:
        loaded.append(path)
        return original(path, *others, **options)

    drawing.forget_checkpoint()
    monkeypatch.setattr(pipelines, "load_components", load)
    _run(tiny, _config(base))
    assert loaded == [base]
