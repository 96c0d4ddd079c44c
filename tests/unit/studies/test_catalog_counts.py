"""Every built-in arm on one made-up data set: how many real, further and synthetic images, of what, at which share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tenfold.studies.catalog import BUILT_IN
from tenfold.studies.design import Design, plan_study
from tenfold.studies.plan import StudyPlan
from tenfold.studies.variants import Dose
from tests.study_tables import cells_of, made_up_table

SIZE, RATIO, SOURCE_RATIO, SHARE, TONES = 4, 3, 2, 0.25, 6
DRAWN, MADE = RATIO * SIZE, SOURCE_RATIO * SIZE
PLAIN: dict[str, int] = {}

EXPECTED: dict[str, tuple[int, dict[str, int], int, float]] = {
    # arm: (real images a class, synthetic ones a class by strategy, further real ones a class, share of a batch)
    "real_only": (SIZE, PLAIN, 0, 0.0),
    "real_transforms": (SIZE, PLAIN, 0, 0.0),
    "real_strong": (SIZE, PLAIN, 0, 0.0),
    "real_balanced": (SIZE, PLAIN, 0, 0.0),
    "real_duplicated": (SIZE, PLAIN, RATIO * SIZE, SHARE),
    "real_autoencoder": (SIZE, {"autoencoder": SIZE}, 0, SHARE),
    "real_recolor": (SIZE, {"recolor": MADE}, 0, SHARE),
    "real_composite": (SIZE, {"composite": MADE}, 0, SHARE),
    "hybrid": (SIZE, {"text2img": DRAWN}, 0, SHARE),
    "hybrid_pretrained": (SIZE, {"text2img": DRAWN}, 0, SHARE),
    "hybrid_unfiltered": (SIZE, {"text2img": DRAWN}, 0, SHARE),
    "hybrid_weighted": (SIZE, {"text2img": DRAWN}, 0, SHARE),
    "hybrid_balanced": (SIZE, {"text2img": DRAWN}, 0, SHARE),
    "hybrid_two_stage": (SIZE, {"text2img": DRAWN}, 0, 0.5),
    "hybrid_img2img": (SIZE, {"img2img": MADE}, 0, SHARE),
    "hybrid_inpaint": (SIZE, {"inpaint": MADE}, 0, SHARE),
    "hybrid_outpaint": (SIZE, {"outpaint": MADE}, 0, SHARE),
    "hybrid_outpaint_tuned": (SIZE, {"outpaint": MADE}, 0, SHARE),
    "hybrid_in_then_outpaint": (SIZE, {"in_then_outpaint": MADE}, 0, SHARE),
    "hybrid_mix": (SIZE, {"outpaint": MADE, "composite": MADE}, 0, SHARE),
    "synthetic_only": (0, {"text2img": DRAWN}, 0, 1.0),
    "synthetic_pretrained": (0, {"text2img": DRAWN}, 0, 1.0),
    "fresh_real": (SIZE, PLAIN, RATIO * SIZE, SHARE),
}
TUNED = {
    "hybrid", "hybrid_unfiltered", "hybrid_weighted", "hybrid_balanced", "hybrid_two_stage", "hybrid_img2img",
    "hybrid_inpaint", "hybrid_outpaint_tuned", "hybrid_in_then_outpaint", "synthetic_only",
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    table = made_up_table()
    table["mask_path"] = "data/masks/" + table["image_id"]
    table["modality"] = "clinical photograph"
    table["skin_type_group"] = ["I-II", "V-VI"] * (len(table) // 2)
    dose = Dose(synthetic_ratio=RATIO, source_ratio=SOURCE_RATIO, synthetic_share=SHARE)
    arms = tuple(BUILT_IN)
    return plan_study(Design("main", arms, (), (SIZE,), (SIZE,), seeds=1, dose=dose, epochs_count=True), table, 7)


def test_no_arm_is_forgotten() -> None:
    assert set(EXPECTED) == set(BUILT_IN)


@pytest.mark.parametrize("arm", list(EXPECTED))
def test_counts_of_an_arm(plan: StudyPlan, arm: str) -> None:
    real, synthetic, further, share = EXPECTED[arm]
    cell, sets = cells_of(plan)[arm], {made.name: made for made in plan.sets}
    label_of = made_up_table().set_index("image_id")["label"]
    per_class = {label: real for label in plan.labels if real}
    assert Counter(label_of[list(cell.train_ids)]) == per_class
    assert Counter(label_of[list(cell.extra_ids)]) == {label: further for label in plan.labels if further}
    made = [sets[name] for name in cell.synthetic_sets]
    taken = cell.extra_per_class or [one.images_per_class for one in made]
    assert {one.strategy: count for one, count in zip(made, taken, strict=True)} == synthetic
    assert all(set(one.labels) == set(plan.labels) for one in made)
    assert cell.synthetic_share == share
    assert cell.generator == ("fine_tuned" if arm in TUNED else cell.generator)
    assert bool(cell.generators) == (arm in TUNED)
    # Nothing but the cell's own images is behind it: all arms have the same, in training or in the budget.
    behind = {image_id for one in made for image_id in one.training_ids}
    assert behind <= {*cell.train_ids, *cell.budget_ids}
    assert not {*cell.train_ids, *cell.extra_ids} & set(cell.validation_ids)


def test_every_arm_is_described_where_users_look() -> None:
    text = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")
    assert [arm for arm in BUILT_IN if f"`{arm}`" not in text] == []
