"""What a study fills into the stages' configs: checkpoints, prompts, steps, weights, and settings by strategy."""

from __future__ import annotations

from typing import Any

import pytest

from tenfold.core.errors import RecipeError
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.design import plan_study
from tenfold.studies.filling import Filling
from tenfold.studies.run import design_of
from tests.study_tables import made_up_table


def filling(*arms: str, **changes: Any) -> Filling:
    table = made_up_table()
    table["mask_path"] = "data/masks/" + table["image_id"]
    values = {
        "arms": arms,
        "curve_arms": [],
        "training_sizes": [4],
        "synthetic_training_sizes": [4],
        "seeds": 1,
        "synthetic_ratio": 2,
    }
    config = StudyRunConfig.model_validate({**values, **changes})
    return Filling(config, plan_study(design_of(config), table, 7), 7)


def config_of(made: Filling, set_name: str) -> Any:
    return made.synthetic_set(next(one for one in made.plan.sets if one.name == set_name)).config


def test_who_draws_a_set() -> None:
    made = filling("hybrid", "hybrid_pretrained", "hybrid_inpaint", "hybrid_outpaint")
    assert config_of(made, "main-n4-s0").checkpoint == "models/main-n4-s0"
    assert config_of(made, "main-n4-s0").prompts == {}  # the generator's own
    base = config_of(made, "main-s0-text2img")
    assert (base.checkpoint, base.prompts["a"]) == ("embedded:base", ("a photo of a",))
    assert config_of(made, "main-n4-s0-tuned-inpaint").checkpoint == "models/main-n4-s0"
    assert config_of(made, "main-n4-s0-outpaint").checkpoint == "embedded:base"


def test_a_painter_of_its_own() -> None:
    made = filling("hybrid_inpaint", inpaint={"base_checkpoint": "models/painter", "max_train_steps": 3})
    (generator,) = made.plan.generators
    (step,) = made.generator(generator)
    tuned: Any = step.config
    assert (step.stage, tuned.base_checkpoint, tuned.max_train_steps) == ("inpainting", "models/painter", 3)
    assert config_of(made, "main-n4-s0-painter-tuned-inpaint").checkpoint == "models/main-n4-s0-painter"
    assert not made.needs_prior
    untuned = filling("hybrid_outpaint", inpaint={"base_checkpoint": "models/painter"})
    assert config_of(untuned, "main-n4-s0-outpaint").checkpoint == "models/painter"


def test_an_adapter_is_drawn_with_beside_its_base() -> None:
    drawn = config_of(filling("hybrid", finetune={"method": "lora"}), "main-n4-s0")
    assert (drawn.checkpoint, drawn.adapter) == ("embedded:base", "models/main-n4-s0")


def test_the_archive_is_learned_without_classes_and_then_fine_tuned_strictly() -> None:
    made = filling("hybrid@archive", finetune={"method": "lora", "caption_dropout": 0.2})
    archive: Any = made.archive().config
    assert (archive.caption_dropout, archive.method, archive.prior_manifest) == (1.0, "full", None)
    assert archive.training_ids == made.plan.archive_ids
    tuned: Any = made.generator(made.plan.generators[0])[0].config
    assert (tuned.base_checkpoint, tuned.caption_dropout) == ("models/main-archive", 0.2)
    assert set(tuned.training_ids) == set(made.plan.cells[0].train_ids)


def test_settings_of_a_strategy_go_before_those_of_all_and_need_no_lesion_mask() -> None:
    own = {"inpaint": {"mask": "center", "mask_area_fraction": 0.3, "strength": 0.9, "num_inference_steps": 7}}
    made = filling("hybrid", "hybrid_inpaint", generate={"num_inference_steps": 4}, generate_by_strategy=own)
    painted = config_of(made, "main-n4-s0-tuned-inpaint")
    assert (painted.mask, painted.mask_area_fraction, painted.strength, painted.num_inference_steps) == (
        "center", 0.3, 0.9, 7,
    )  # fmt: skip
    assert config_of(made, "main-n4-s0").num_inference_steps == 4
    with pytest.raises(RecipeError, match="strength belongs to"):
        idle = filling("hybrid", generate_by_strategy={"text2img": {"strength": 0.5}})
        config_of(idle, "main-n4-s0")


def test_epochs_of_generators_and_an_upscaler_of_their_own() -> None:
    made = filling("hybrid", generator_epochs=3, finetune={"train_batch_size": 5}, super_resolution={})
    tuned, upscaler = (step.config for step in made.generator(made.plan.generators[0]))
    assert getattr(tuned, "max_train_steps") == 5  # noqa: B009 (three passes over 8 images, 5 a step)
    assert getattr(upscaler, "training_ids") == getattr(tuned, "training_ids")  # noqa: B009
    assert config_of(made, "main-n4-s0").upscaler == "models/main-n4-s0-upscaler"


def test_what_a_cell_is_told() -> None:
    made = filling("hybrid_weighted", "hybrid_two_stage@s0.3", "hybrid_unfiltered", "hybrid@r1@none")
    cells: dict[str, Any] = {cell.arm: made.cell(cell).config for cell in made.plan.cells}
    assert cells["hybrid_weighted"].extra_weights == "classifiers/main-teacher-n4-s0/weights.parquet"
    staged = cells["hybrid_two_stage@s0.3"]
    assert (staged.extra_schedule, staged.two_stage_fraction, staged.synthetic_share) == ("two_stage", 0.3, 0.3)
    assert cells["hybrid_unfiltered"].extra_review == "unfiltered"
    few = cells["hybrid@r1@none"]
    assert (few.extra_per_class, few.transforms, few.arm) == ((4,), "none", "hybrid@r1@none")
    # Equal steps: nothing that trains differs between arms but what the arm is about.
    settings = ("max_train_steps", "batch_size", "learning_rate", "evaluate_every_steps", "max_train_epochs")
    assert len({tuple(getattr(one, name) for name in settings) for one in cells.values()}) == 1


def test_seconds_go_by_epochs_where_these_count() -> None:
    made = filling("hybrid", classify={"max_train_epochs": 2, "batch_size": 6})
    (cell,) = made.plan.cells
    assert made.cell(cell).seconds == made.rates.training_seconds(2 * 4, 6)  # 8 real and 16 drawn images, 6 a step
