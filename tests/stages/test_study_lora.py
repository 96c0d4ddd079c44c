"""A study whose generators are adapters, end to end: base and adapter draw together, and ancestors stay in the cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import RecipeError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import read_run_record
from tenfold.data.manifest import read_manifest, unpack_ancestors
from tenfold.models.adapter_ref import ADAPTER_WEIGHTS
from tenfold.recipes.loader import load_recipe
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.run import run
from tests.tiny_data import ids_of, make_tiny_workspace


def test_synthetic_cells_learn_from_what_the_adapters_draw(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=64)
    config = StudyRunConfig(
        arms=("real_transforms", "hybrid"),
        curve_arms=("real_transforms",),
        training_sizes=(2,),
        synthetic_training_sizes=(2,),
        seeds=1,
        synthetic_ratio=2,
        prior={"images": 2},
        finetune={"method": "lora", "max_train_steps": 2, "train_batch_size": 2, "prior_batch_size": 1,
                  "crops_per_image": 1, "samples_per_class": 0, "device": "cpu"},
        generate={"num_inference_steps": 2, "device": "cpu"},
        classify={"max_train_steps": 2, "evaluate_every_steps": 1, "batch_size": 4, "device": "cpu"},
        audit={"resamples": 20},
    )  # fmt: skip
    run(config, workspace, SerialExecutor(), NullProgress())
    assert pd.read_parquet(workspace.path / "studies/main/results.parquet")["is_done"].all()
    assert (workspace.path / "models/main-n2-s0" / ADAPTER_WEIGHTS).is_file()
    drawn = read_run_record(workspace.path / "synthetic/main-n2-s0")
    assert (drawn.config["checkpoint"], drawn.config["adapter"]) == ("embedded:base", "models/main-n2-s0")
    own = read_run_record(workspace.path / "models/main-n2-s0").config["training_ids"]
    assert set(own) <= set(ids_of(workspace, "train"))
    table = read_manifest(workspace.path / "synthetic/main-n2-s0/manifest.parquet")
    assert {unpack_ancestors(cell) for cell in table["ancestors"]} == {tuple(sorted(own))}
    assert set(table["adapter"]) == {"models/main-n2-s0"}
    prior = read_manifest(workspace.path / "synthetic/main-prior/manifest.parquet")
    assert prior["adapter"].isna().all()


def test_the_adapter_of_a_study_is_its_own() -> None:
    with pytest.raises(RecipeError, match="adapter"):
        load_recipe("demo", ["generate.adapter=models/mine"])
