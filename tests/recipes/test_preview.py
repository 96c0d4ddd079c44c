"""The dry run counts what would be done, on the data as it is, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenfold.cli.app import main
from tenfold.core.errors import DataError, DesignError
from tenfold.core.progress import NullProgress
from tenfold.recipes.loader import load_recipe
from tenfold.recipes.preview import preview_recipe
from tests.replay.mini_demo import SETTINGS


def test_counts_of_the_cut_demo() -> None:
    preview = preview_recipe(load_recipe("demo", SETTINGS, mini=True), 2, NullProgress())
    assert (preview.cells, preview.generators) == (8, 1)
    assert preview.synthetic_images == 4 + 2 * 2 * 2 + 2 * 2 + 2 * 2 * 2  # prior, text, autoencoder, outpainted
    assert preview.seconds == sum(row.seconds for row in preview.rows) > 0
    assert preview.megabytes > 0
    assert [row.stage for row in preview.rows][:4] == ["Intake", "Split", "Data checks", "Intake page"]


def test_the_command_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--mini", "--dry-run", "--json", "--workspace", str(tmp_path / "ws")]
    for name in ("intake.phantom.images_per_class", "split.test_per_class", "split.validation_per_class"):
        words += ["--set", f"{name}={SETTINGS[name]}"]
    assert main([*words, "--set", "study.training_sizes=[2,4]", "--set", "study.synthetic_training_sizes=[2]"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["dry_run"]["cells"] == 16
    assert not (tmp_path / "ws").exists()


def test_sizes_that_the_data_cannot_carry_fail_before_the_run() -> None:
    with pytest.raises(DesignError) as caught:
        preview_recipe(
            load_recipe("demo", {**SETTINGS, "study.training_sizes": [2, 500]}, mini=True), 2, NullProgress()
        )
    assert "annulosis 1" in caught.value.expected


def test_an_empty_folder_fails_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        preview_recipe(load_recipe("folder", {"intake.source": str(tmp_path)}), 1, NullProgress())
