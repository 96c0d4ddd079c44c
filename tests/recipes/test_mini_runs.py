"""The published recipes run from images to the report in their mini variants, cut to seconds, on stand-in data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tenfold
from tenfold.core.files import read_json

CUT: dict[str, Any] = {
    "study.seeds": 1,
    "finetune.max_train_steps": 3,
    "finetune.checkpointing_steps": 2,
    "finetune.samples_per_class": 0,
    "generate.num_inference_steps": 2,
    "classify.max_train_steps": 6,
    "classify.evaluate_every_steps": 3,
    "audit.resamples": 20,
    "evaluate.bootstrap_draws": 100,
}
ARMS = {
    "sagers2023": {
        "real_only", "real_transforms", "real_strong", "real_autoencoder", "hybrid_pretrained", "hybrid", "hybrid@none",
        "hybrid_inpaint", "hybrid_inpaint@none", "hybrid_in_then_outpaint", "hybrid_in_then_outpaint@none", "hybrid@r4",
    },
    "synthvision": {
        "real_transforms", "real_500", "guides_and_normals", "round_trips", "sound", "sound_unfiltered", "published",
        "hybrid@r2",
    },
    "derm-t2im": {
        "real_only", "real_transforms", "real_strong", "real_autoencoder", "hybrid", "hybrid@s0.25", "synthetic_only",
        "hybrid_unfiltered", "hybrid_weighted",
    },
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "sagers2023": {"inpaint.samples_per_class": 0},
    "synthvision": {"finetune.text_encoder_max_steps": 2},
    "derm-t2im": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ARMS))
def test_a_mini_run_reaches_its_report(name: str, tmp_path: Path) -> None:
    summary = tenfold.run(name, workspace=tmp_path, settings=CUT | MORE[name], mini=True, executor="serial")
    assert summary.report_path.is_file() and summary.verdict.word == "not_testable"  # of one seed nothing is claimed
    cells = pd.read_parquet(tmp_path / "studies" / "main" / "cells.parquet")
    synthetic_size = cells["training_size"].min()
    assert set(cells.loc[cells["training_size"] == synthetic_size, "arm"]) == ARMS[name]
    tables = [pd.read_parquet(tmp_path / folder / "predictions.parquet") for folder in cells["folder"]]
    assert len({frozenset(table.loc[table["split"] == "test", "image_id"]) for table in tables}) == 1
    assert {int(read_json(tmp_path / folder / "run.json")["summary"]["test_reads"]) for folder in cells["folder"]} == {
        1
    }
    page = summary.report_path.read_text(encoding="utf-8")
    assert "this is a mini run" in page
    if name == "synthvision":
        training = read_json(tmp_path / "classifiers" / "main-published-n6-s0" / "training.json")
        assert training["origin_confound"] and training["images_by_origin"]["real"] == {"umbilicosis": 24}
        sound = read_json(tmp_path / "classifiers" / "main-sound-n6-s0" / "training.json")
        assert not sound["origin_confound"] and set(sound["images_by_origin"]["synthetic"]) == {
            "annulosis",
            "umbilicosis",
        }
        assert page.index('id="origin-banner"') < page.index('id="verdict"')  # above the answer
    if name == "derm-t2im":
        (weights,) = tmp_path.glob("classifiers/*/weights.parquet")
        assert pd.read_parquet(weights)["weight"].between(0, 1).all()
