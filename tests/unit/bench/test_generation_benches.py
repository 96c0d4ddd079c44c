"""B1, B2, B3 and B10 on small models: the ways draw the same and count their work; how fast is not asked here."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tenfold.bench import b1_b2, b3, b10
from tenfold.bench.b1_b2 import GUIDED, IN_INTERVAL, Job, check_rate
from tenfold.bench.catalog import run_benchmark
from tenfold.bench.sd15_shape import NARROW, SD15, flop_per_image
from tenfold.core.errors import InputError, StageError
from tenfold.core.progress import NullProgress
from tests.tiny_models import make_tiny_stable_diffusion

JOB = Job(NARROW, "cpu", torch.float32, images=2, batch_size=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_stable_diffusion(tmp_path_factory.mktemp("bench") / "tiny"))


def test_work_is_that_of_the_published_shape() -> None:
    # UNet 803.3 and decoder 2,514.5 GFLOP at 512 px.
    assert flop_per_image(SD15, GUIDED) == pytest.approx((50 * 803.273 + 2514.519) * 1e9, rel=1e-4)
    # 20 steps, 8 of them guided.
    assert flop_per_image(SD15, IN_INTERVAL) == pytest.approx((28 * 803.273 + 2514.519) * 1e9, rel=1e-4)


def test_a_rate_that_the_chip_cannot_reach_is_an_error() -> None:
    flop = flop_per_image(SD15, GUIDED)
    check_rate(18.4, flop, "NVIDIA H200")
    check_rate(1000.0, flop, "the CPU")
    with pytest.raises(StageError, match=r"18\.7 images/s, which NVIDIA H200 cannot do"):
        check_rate(18.7, flop, "NVIDIA H200")


def test_bulk_generation_draws_what_diffusers_draws() -> None:
    figures = b1_b2.measure("B1", 1, 1, NullProgress(), JOB)
    (row,) = figures.rows
    assert row.is_equal, row.check
    assert set(row.seconds) == set(row.cpu_seconds) == {"ours", "S", "T"}
    assert "smoke test on the CPU, no figures of a GPU" in figures.title
    assert not any("TFLOP/s" in note for note in figures.notes)


@pytest.mark.slow
def test_a_guidance_interval_does_less_work() -> None:
    figures = b1_b2.measure("B2", 1, 1, NullProgress(), JOB)
    assert [row.is_equal for row in figures.rows] == [None, None]
    assert "times as long" in figures.rows[1].check


@pytest.mark.gpu
def test_bulk_generation_in_half_precision_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    job = Job(SD15, "cuda", torch.bfloat16, images=2, batch_size=2)
    figures = b1_b2.measure("B1", 1, 1, NullProgress(), job)
    assert figures.rows[0].is_equal, figures.rows[0].check
    assert any("TFLOP/s" in note for note in figures.notes)


def test_generation_to_disk_keeps_the_pixels(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(b3, "ENCODED", 2)
    figures = b3.measure(1, NullProgress(), checkpoint, images=4, batch_size=2)
    to_disk, alone, stage, encoding = figures.rows
    assert to_disk.is_equal and encoding.is_equal, (to_disk.check, encoding.check)
    assert set(to_disk.seconds) == set(encoding.seconds) == {"ours", "S", "T"}
    assert all(math.isfinite(row.median("ours")) for row in (alone, stage))


@pytest.mark.slow
def test_shards_and_a_killed_run_give_the_same_bytes(checkpoint: str) -> None:
    whole, shards, killed = b10.measure(1, NullProgress(), checkpoint, images=24, batch_size=2).rows
    assert whole.is_equal is None
    assert shards.is_equal and killed.is_equal, (shards.check, killed.check)


@pytest.mark.parametrize("name", ["B3", "B10"])
def test_threads_of_what_draws_on_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="one thread"):
        run_benchmark(name, 3, 2, NullProgress())


def test_a_plain_config_names_its_images_once(tmp_path: Path) -> None:
    from tenfold.bench.generation_runs import new_workspace, plain_config
    from tenfold.generation.planning import plan

    workspace = new_workspace(tmp_path / "bench")
    ids = [request.image_id for request in plan(plain_config("embedded:base", 8, 4), workspace).requests]
    assert len(set(ids)) == 8
