"""The generation stage: files, rows and records of each strategy, resume, and equal images whoever draws them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.executor import Executor, ProcessExecutor, SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import manifest_rows, read_manifest, unpack_ancestors
from tenfold.data.manifest_checks import check_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tenfold.models.pipelines import load_components
from tenfold.models.sampling import SamplingSettings, decode_latents, reconstruct, sample_latents
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

PROMPTS = {"mole": ("a photo of ohwx mole", "a photo of ohwx mole, brown"), "rash": ("a photo of zwxq rash",)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options: dict[str, Any] = {
        "name": "drawn",
        "seed": 5,
        "checkpoint": str(base),
        "prompts": PROMPTS,
        "skin_types": (1, 6),
        "images_per_class": 5,
        "num_inference_steps": 2,
        "batch_size": 4,
    }
    return GenerateConfig(**(options | changes))


def _run(workspace: Workspace, config: GenerateConfig, executor: Executor | None = None) -> Result:
    return run(config, workspace, executor or SerialExecutor(), NullProgress())


def _rows(result: Result) -> list[dict[str, Any]]:
    return list(manifest_rows(read_manifest(result.folder / "manifest.parquet")))


def test_text2img_writes_images_with_rows_and_records(tiny: Workspace, base: Path) -> None:
    result = _run(tiny, _config(base))
    manifest = read_manifest(result.folder / "manifest.parquet")
    assert check_manifest(manifest) == []
    rows = _rows(result)
    assert [row["label"] for row in rows] == ["mole"] * 5 + ["rash"] * 5
    assert [row["skin_type"] for row in rows[:5]] == [1, 6, 1, 6, 1]
    assert [row["batch_plan"] for row in rows[3:5]] == ["batch-00000:4/4", "batch-00001:1/4"]
    for row in rows:
        path = tiny.path / row["path"]
        assert sha256_file(path) == row["sha256"]
        assert (row["source"], row["split"], row["review"], row["parent_id"]) == (
            "synthetic",
            "train",
            "unreviewed",
            None,
        )
        assert unpack_ancestors(row["ancestors"]) == ()
        provenance = read_provenance(path)
        assert provenance.request.image_id == row["image_id"]
        assert (provenance.request.seed, provenance.request.prompt) == (row["seed"], row["prompt"])
        assert provenance.environment["threads"] == 1
    assert result.summary["images"] == {"mole": 5, "rash": 5}
    assert decode_image(result.folder / "grid.png").shape[1] == 8 * 34 - 2
    assert "not what a physician saw" in (result.folder / "README.md").read_text()
    assert _run(tiny, _config(base)).was_finished


def test_the_record_in_the_file_suffices_to_draw_the_image_again(tiny: Workspace, base: Path) -> None:
    row = _rows(_run(tiny, _config(base)))[6]
    provenance = read_provenance(tiny.path / row["path"])
    batch, position = provenance.batch, provenance.position
    first = batch.requests[0]
    settings = SamplingSettings(
        num_inference_steps=first.num_inference_steps or 0, guidance_scale=first.guidance_scale or 0
    )
    prompts, seeds = [r.prompt or "" for r in batch.requests], [r.seed or 0 for r in batch.requests]
    components = load_components(base)
    pixels = decode_latents(components, sample_latents(components, prompts, seeds, settings))
    assert np.array_equal(pixels[position], decode_image(tiny.path / row["path"]))


def test_the_autoencoder_returns_each_parent_with_its_label(tiny: Workspace, base: Path) -> None:
    parents = ids_of(tiny, "train")
    config = GenerateConfig(
        name="codec", seed=5, strategy="autoencoder", checkpoint=str(base), reference_ids=parents, batch_size=8
    )
    result = _run(tiny, config)
    assert check_manifest(read_manifest(result.folder / "manifest.parquet")) == []
    real = {row["image_id"]: row for row in manifest_rows(read_manifest(tiny.path / "data/manifest.parquet"))}
    rows = _rows(result)
    originals = np.stack([decode_image(tiny.path / real[parent]["path"]) for parent in parents])
    expected = reconstruct(load_components(base), originals)
    for row, parent, pixels in zip(rows, parents, expected, strict=True):
        assert (row["parent_id"], unpack_ancestors(row["ancestors"])) == (parent, (parent,))
        inherited = ("label", "patient_id", "skin_type", "site", "modality", "caption", "attr.camera")
        assert [row[name] for name in inherited] == [real[parent][name] for name in inherited]
        assert (row["seed"], row["prompt"], row["split"]) == (None, None, "train")
        assert np.array_equal(decode_image(tiny.path / row["path"]), pixels)


def test_an_interrupted_run_keeps_whole_batches_and_ends_the_same(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    whole = _run(tiny, _config(base, name="whole"))
    other = make_tiny_workspace(tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        _run(other, _config(base, name="whole"), StoppingExecutor(2))
    folder = other.path / "synthetic" / "whole"
    assert not (folder / "run.json").exists()
    kept = sorted((folder / "images").iterdir())
    kept[0].write_bytes(b"half a file")

    log = Log()
    resumed = run(_config(base, name="whole"), other, StoppingExecutor(None), log)
    assert dict(resumed.outputs) == dict(whole.outputs)
    assert "1 files are not as they were written and are made again" in log.messages[0]
    assert (folder / "damaged" / "images" / kept[0].name).read_bytes() == b"half a file"
    assert StoppingExecutor.drawn == 2  # of four tasks; one was whole


class StoppingExecutor(SerialExecutor):
    """Is interrupted after so many tasks."""

    drawn = 0

    def __init__(self, tasks: int | None) -> None:
        self._tasks = tasks

    def map(self, function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        StoppingExecutor.drawn = len(tasks)
        for index, task in enumerate(tasks):
            if index == self._tasks:
                raise KeyboardInterrupt
            yield index, function(task)


class Log(NullProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


class BackwardExecutor(SerialExecutor):
    """Draws the last batch first."""

    def map(self, function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        for index in reversed(range(len(tasks))):
            yield index, function(tasks[index])


def test_the_order_of_batches_changes_nothing(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    forward = _run(tiny, _config(base, name="order"))
    backward = _run(make_tiny_workspace(tmp_path / "other"), _config(base, name="order"), BackwardExecutor())
    assert dict(forward.outputs) == dict(backward.outputs)


@pytest.mark.slow
def test_the_same_images_come_from_worker_processes(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    one = _run(tiny, _config(base, name="workers"))
    other = make_tiny_workspace(tmp_path / "other")
    with ProcessExecutor(2) as executor:
        two = _run(other, _config(base, name="workers"), executor)
    assert dict(one.outputs) == dict(two.outputs)


def test_a_changed_checkpoint_makes_other_images(tmp_path: Path, base: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "workspace")
    model = workspace.path / "models" / "mine"
    shutil.copytree(base, model)
    (model / "training_rows.json").write_text(json.dumps({"image_ids": list(ids_of(workspace, "train"))}))
    config = _config(base, checkpoint="models/mine", images_per_class=1)
    first = {row["image_id"] for row in _rows(_run(workspace, config))}
    shutil.rmtree(model / "unet")
    shutil.copytree(make_tiny_stable_diffusion(tmp_path / "another", seed=9) / "unet", model / "unet")
    rows = _rows(_run(workspace, config))
    assert not first & {row["image_id"] for row in rows}
    assert unpack_ancestors(rows[0]["ancestors"]) == tuple(sorted(ids_of(workspace, "train")))
    images = {path.stem for path in (workspace.path / "synthetic/drawn/images").glob("*.png")}
    assert images == {row["image_id"] for row in rows}


def test_prompts_that_are_too_long_are_told(tiny: Workspace, base: Path) -> None:
    log = Log()
    config = _config(base, name="long", prompts={"mole": ("many words " * 9,)}, skin_types=None, images_per_class=1)
    result = run(config, tiny, SerialExecutor(), log)
    assert result.summary["cut_prompts"] == ["many words " * 9]
    assert "longer than the checkpoint reads" in log.messages[0]


def test_half_precision_and_another_sampler_are_drawn_and_recorded(tiny: Workspace, base: Path) -> None:
    config = _config(
        base, name="half", dtype="bfloat16", sampler="dpmsolver++", images_per_class=1, guidance_rescale=0.7
    )
    row = _rows(_run(tiny, config))[0]
    provenance = read_provenance(tiny.path / row["path"])
    assert (row["sampler"], provenance.environment["dtype"]) == ("dpmsolver++", "bfloat16")
    assert provenance.request.guidance_rescale == 0.7
