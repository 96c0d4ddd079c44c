"""The estimate of a plan: counts by what is asked, time by steps that were measured, and nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.generation import plan_estimate
from tenfold.generation.config import WITHOUT_GENERATOR, GenerateConfig
from tenfold.generation.plan_estimate import dry_run
from tenfold.generation.planning import plan
from tenfold.generation.run import run
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options = {"name": "some", "seed": 3, "checkpoint": str(base), "device": "cpu", **changes}
    return GenerateConfig.model_validate(options)


def _files(workspace: Workspace) -> list[Path]:
    return sorted(workspace.path.rglob("*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": {"mole": ("a mole",)}, "skin_types": (1, 6), "num_inference_steps": 4, "images_per_class": 4},
        {"strategy": "in_then_outpaint", "mask": "center", "guidance_interval": (0.2, 0.7)},
        {"strategy": "img2img", "num_inference_steps": 2, "strength": 0.5, "file_format": "jpeg"},
        {"strategy": "recolor", "skin_types": (5,)},
        {"strategy": "autoencoder"},
    ],
)
def test_a_dry_run_tells_counts_time_and_disk_and_writes_nothing(
    tiny: Workspace, base: Path, changes: dict[str, Any]
) -> None:
    before = _files(tiny)
    found = dry_run(_config(base, **changes), tiny, device="cpu", progress=NullProgress())
    assert found.images == sum(row.images for row in found.rows) > 0
    assert found.seconds and found.megabytes and found.bytes_per_image and found.bytes_per_image > 500
    assert {row.strategy for row in found.rows} == {changes.get("strategy", "text2img")}
    assert found.as_dict()["images"] == found.images
    assert _files(tiny) == before


def test_time_grows_with_steps_passes_and_guided_ones(base: Path, tiny: Workspace, monkeypatch: Any) -> None:
    drawn: list[int] = []

    def timed(batch: Any, origins: Any, models: Any) -> tuple[float, list[Any]]:
        request = batch.requests[0]
        drawn.append(request.num_inference_steps)
        return 1.0 + sum(plan_estimate._passes(request, request.num_inference_steps)), []

    monkeypatch.setattr(plan_estimate, "_timed", timed)
    batch = plan(_config(base, strategy="in_then_outpaint", mask="center"), tiny).batch(0)
    seconds, _ = plan_estimate._probe(batch, [], None)  # type: ignore[arg-type]
    assert drawn == [2, 2, 4]
    assert seconds == pytest.approx(1.0 + int(20 * 0.97) + int(20 * 0.95))
    config = _config(base, prompts={"mole": ("a mole",)}, num_inference_steps=10, guidance_interval=(0.0, 0.6))
    narrow = plan(config, tiny).batch(0)
    assert plan_estimate._probe(narrow, [], None)[0] == pytest.approx(1.0 + 6 + 4 / 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("container", ["folder", "webdataset"])
@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "in_then_outpaint", "mask": "random"},
        {"prompts": {"mole": ("a mole",)}, "images_per_class": 20, "batch_size": 6, "images_per_shard": 12},
        {"strategy": "recolor", "skin_types": (1, 5), "file_format": "jpeg"},
        {"strategy": "composite"},
    ],
    ids=lambda changes: changes.get("strategy", "text2img"),
)
def test_the_disk_is_what_a_run_takes(
    base: Path, tiny: Workspace, tmp_path: Path, changes: dict[str, Any], container: str
) -> None:
    workspace = Workspace.open(Path(shutil.copytree(tiny.path, tmp_path / "workspace")))
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 10:22] = 255
    (workspace.path / "data/mask.png").write_bytes(encode_png(mask))
    manifest = workspace.path / "data/manifest.parquet"
    write_manifest(read_manifest(manifest).assign(mask_path="data/mask.png"), manifest)
    steps = {} if changes.get("strategy") in WITHOUT_GENERATOR else {"num_inference_steps": 2}
    config = _config(base, container=container, **steps, **changes)
    found = dry_run(config, workspace, device="cpu", progress=NullProgress())
    folder = run(config, workspace, SerialExecutor(), NullProgress()).folder
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert found.megabytes is not None and found.bytes_per_image is not None
    assert found.megabytes * 1e6 == pytest.approx(sum(sizes.values()), rel=0.25)
    kept = ("images", "masks", "first_passes", "shards", "parts")
    drawn = sum(size for path, size in sizes.items() if path.parent.name in kept and path.suffix != ".parquet")
    assert found.bytes_per_image * found.images == pytest.approx(drawn, rel=0.25)


def test_a_device_of_other_machines_is_not_probed(base: Path, tiny: Workspace, monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    config = _config(base, prompts={"mole": ("a mole",)}, images_per_class=4)
    found = dry_run(config, tiny, device="cuda", progress=NullProgress())
    assert (found.images, found.seconds, found.megabytes, found.bytes_per_image) == (4, None, None, None)
    assert "no cuda" in found.notes[0]


def test_a_plan_that_cannot_be_drawn_is_refused(base: Path, tiny: Workspace) -> None:
    with pytest.raises(DataError, match="no mask"):
        dry_run(_config(base, strategy="inpaint"), tiny, device="cpu", progress=NullProgress())
