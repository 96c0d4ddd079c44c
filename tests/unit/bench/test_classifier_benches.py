"""B7 and B8 on few cells and heads: all ways answer alike; how fast is not asked here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenfold.bench import b7, b8
from tenfold.core.progress import NullProgress


def test_heads_of_all_ways_are_the_same() -> None:
    figures = b8.measure(1, 1, NullProgress(), seeds=1, images={"train": 12, "validation": 3, "test": 4})
    assert [set(row.seconds) for row in figures.rows] == [{"ours", "S", "T"}] * 2
    for row in figures.rows:
        assert row.is_equal, row.check
        assert row.units == 2 * len(b8.PENALTIES)  # 20 images a class are not there


def test_the_stock_loader_has_our_features(tmp_path: Path) -> None:
    job = b8.make_job(tmp_path / "workspace", 1, {"train": 6, "validation": 2, "test": 2}, "cpu")
    cache = tmp_path / "cache"
    first = b8.ours(job, None)
    assert first.shape == (1, len(b8.PENALTIES), 16, 4)
    b8.features_of(job.model, b8.load_images(job.workspace, job.rows), cache)
    assert np.array_equal(b8.ours(job, cache), first)
    stock = b8.stock_features(job, np.arange(len(job.rows)))
    np.testing.assert_allclose(
        b8.features_of(job.model, b8.load_images(job.workspace, job.rows)), stock, atol=1e-4
    )  # fmt: skip


def test_cells_of_both_ways_share_images_and_settings(tmp_path: Path) -> None:
    sweep = b7.make_sweep(tmp_path / "workspace", 1, 2)
    assert len(sweep.configs) == len(b7.TRAINING_SIZES) * len(b7.ARMS)
    for config, stock in zip(sweep.configs, sweep.stock, strict=True):
        assert [Path(file).stem for file in stock["train_files"]] == list(config.train_ids)
        assert len(stock["train_labels"]) == config.training_size * len(config.labels)
        assert (stock["steps"], stock["transforms"]) == (config.max_train_steps, config.transforms)
        assert len(stock["test_files"]) == len(sweep.test_ids) == len(sweep.truth)
    assert set(sweep.configs[0].train_ids) < set(sweep.configs[-1].train_ids)


@pytest.mark.slow
def test_a_sweep_runs_in_three_ways() -> None:
    figures = b7.measure(1, 1, NullProgress(), seeds=2, steps=2)
    assert set(figures.rows[0].seconds) == {"ours", "S", "T"}
    assert figures.rows[0].units == 12
    assert "test AUC" in figures.rows[0].check
