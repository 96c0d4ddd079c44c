"""B4, B5, B6 and B9 on a tiny checkpoint: all ways give the same outputs; how fast is not asked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.bench import b4_b5, b6, b9_sampling, b9_training
from tenfold.core.progress import NullProgress
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_stable_diffusion(tmp_path_factory.mktemp("b9") / "tiny"))


def test_training_losses_are_the_same(checkpoint: str) -> None:
    with NullProgress().task("", 3) as task:
        row = b9_training.measure(checkpoint, 1, task)
    assert row.is_equal, row.check
    assert set(row.seconds) == {"ours", "S", "T"}


def test_losses_of_lora_and_full_training_are_the_same(checkpoint: str) -> None:
    figures = [b4_b5.measure(name, 1, 1, NullProgress(), checkpoint) for name in ("B4", "B5")]
    for one in figures:
        assert one.rows[0].is_equal, one.rows[0].check
    assert figures[0].rows[0].what.startswith("LoRA")


def test_losses_of_adapters_at_once_are_those_of_each_alone(checkpoint: str) -> None:
    at_once, solo = b6.measure(1, 1, NullProgress(), checkpoint).rows
    assert at_once.is_equal and solo.is_equal, (at_once.check, solo.check)
    assert set(at_once.seconds) == {"ours", "S", "T"}
    assert "times as long as at once" in solo.check


def test_training_losses_are_the_same_for_noise_prediction(tmp_path: Path) -> None:
    path = make_tiny_stable_diffusion(tmp_path / "tiny", prediction_type="epsilon")
    with NullProgress().task("", 3) as task:
        row = b9_training.measure(str(path), 1, task)
    assert row.is_equal, row.check


@pytest.mark.slow
def test_sampled_latents_are_the_same(checkpoint: str) -> None:
    with NullProgress().task("", 3) as task:
        row = b9_sampling.measure(checkpoint, 1, 1, task)
    assert row.is_equal, row.check
