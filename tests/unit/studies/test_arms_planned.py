"""The plan of variants, budgets, single classes, teachers and controls: who sees what, and what is shared."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tenfold.core.errors import DesignError
from tenfold.studies.config import StudyConfig
from tenfold.studies.design import Design, plan_study
from tenfold.studies.plan import StudyPlan
from tests.study_tables import cells_of, made_up_plan, made_up_table, split_of


def varied_plan(arms: tuple[str, ...], define: dict[str, Any] | None = None, **changes: Any) -> StudyPlan:
    known = StudyConfig(define=define or {}).known_arms()
    return made_up_plan(arms=arms, curve_arms=(), training_sizes=(4,), known=known, **changes)


def test_variants_share_one_set_and_take_nested_parts_of_it() -> None:
    plan = varied_plan(("hybrid", "hybrid@r5", "hybrid@s0.5", "hybrid@strong", "hybrid_two_stage"), seeds=1)
    (made,) = plan.sets
    assert (made.name, made.images_per_class, plan.generator_count) == ("main-n4-s0", 20, 1)
    cells = cells_of(plan)
    assert {cell.synthetic_sets for cell in cells.values()} == {("main-n4-s0",)}
    taken = {arm: cell.extra_per_class for arm, cell in cells.items()}
    assert taken == dict.fromkeys(cells, (8,)) | {"hybrid@r5": ()}
    assert [cells[arm].synthetic_ratio for arm in ("hybrid", "hybrid@r5")] == [2.0, 5.0]
    assert [cells[arm].synthetic_share for arm in ("hybrid", "hybrid@s0.5", "hybrid_two_stage")] == [0.25, 0.5, 0.5]
    assert cells["hybrid@strong"].transforms == "strong"
    assert {cell.base_arm for cell in cells.values()} == {"hybrid", "hybrid_two_stage"}
    assert cells["hybrid@s0.5"].name == "main-hybrid.s0.5-n4-s0"
    # All arms start from the same real images and seeds.
    assert len({(cell.train_ids, cell.validation_ids, cell.classifier_seed) for cell in cells.values()}) == 1


def test_budgets_decide_what_a_generator_sees() -> None:
    arms = ("hybrid", "hybrid@archive", "hybrid@pooled", "hybrid_pretrained")
    plan = made_up_plan(arms=arms, curve_arms=(), training_sizes=(4, 8), synthetic_training_sizes=(4, 8), seeds=1)
    train = {image_id for image_id, split in split_of(made_up_table()).items() if split == "train"}
    seen = {generator.name: set(generator.training_ids) for generator in plan.generators}
    cells = {(cell.arm, cell.training_size): cell for cell in plan.cells}
    for size in (4, 8):
        own = set(cells["hybrid", size].train_ids)
        assert seen[f"main-n{size}-s0"] == seen[f"main-n{size}-s0-archive"] == own
    assert seen["main-s0-pooled"] == set(plan.archive_ids) == train
    assert [cells[arm, 8].generator_budget for arm in arms] == ["strict", "archive", "pooled", "strict"]
    assert [cells[arm, 8].generator for arm in arms] == ["fine_tuned", "fine_tuned", "fine_tuned", "pretrained"]
    # What needs no image of the cell is drawn once for all sizes, and each size takes its part.
    for arm in ("hybrid@pooled", "hybrid_pretrained"):
        assert cells[arm, 4].synthetic_sets == cells[arm, 8].synthetic_sets
        assert (cells[arm, 4].extra_per_class, cells[arm, 8].extra_per_class) == ((8,), ())
    assert plan.budgets == ("archive", "pooled", "strict")
    assert sum("Budget" in note for note in plan.notes) == 2


def test_painting_and_fine_tuned_sets_have_names_of_their_own() -> None:
    table = made_up_table()
    table["mask_path"] = "data/masks/" + table["image_id"]
    arms = ("hybrid", "hybrid_inpaint", "hybrid_outpaint", "hybrid_outpaint_tuned")
    for has_painter, generators in ((False, ["main-n4-s0"]), (True, ["main-n4-s0", "main-n4-s0-painter"])):
        design = Design("main", arms, (), (4,), (4,), seeds=1, has_painter=has_painter)
        plan = plan_study(design, table, 7)
        assert [generator.name for generator in plan.generators] == generators
        names = [made.name for made in plan.sets] + [generator.name for generator in plan.generators[1:]]
        assert len(set(names)) == len(names) == 4 + has_painter


def test_a_generator_for_each_class() -> None:
    plan = varied_plan(("hybrid", "synthetic_only"), seeds=1, generator_per_class=True)
    table = made_up_table().set_index("image_id")["label"]
    for generator, label in zip(plan.generators, ("a", "b"), strict=True):
        assert generator.labels == (label,)
        assert set(table[list(generator.training_ids)]) == {label}
    assert len({generator.generator_seed for generator in plan.generators}) == 2
    cell = cells_of(plan)["hybrid"]
    assert (cell.synthetic_sets, cell.synthetic_ratio) == (("main-n4-s0-c0", "main-n4-s0-c1"), 2.0)


def test_images_for_one_class_and_their_control() -> None:
    define = {
        "rare": {"like": "hybrid", "synthetic_labels": ["a"]},
        "balanced": {"like": "rare", "origin_balanced": True},
        "guide": {"like": "rare", "real_counts": {"a": 0, "b": 10}},
        "sound": {"like": "guide", "real_counts": {"b": 10}, "origin_balanced": True},
    }
    plan = varied_plan(("hybrid", "rare", "balanced", "guide", "sound"), define, seeds=1, allows_confound=True)
    sets = {made.name: made for made in plan.sets}
    cells = cells_of(plan)
    assert [sets[name].labels for name in cells["balanced"].synthetic_sets] == [("a",), ("b",)]
    assert [sets[name].strategy for name in cells["balanced"].synthetic_sets] == ["text2img", "autoencoder"]
    assert cells["rare"].synthetic_share == cells["balanced"].synthetic_share == 0.25
    assert cells["rare"].synthetic_labels == ("a",)
    # Guide images train the generator and belong to the budget, not to the classifier.
    guide = cells["guide"]
    labels = made_up_table().set_index("image_id")["label"]
    assert Counter(labels[list(guide.train_ids)]) == {"b": 10}
    assert Counter(labels[list(guide.budget_ids)]) == {"a": 4}
    assert set(guide.budget_ids) == set(sets[guide.synthetic_sets[0]].training_ids)
    assert guide.synthetic_share == 0.5  # of two classes one is all synthetic
    # The control's round trips start from all real images that the class has in this arm.
    trips = sets[cells["sound"].synthetic_sets[1]]
    assert (len(trips.source_ids), trips.images_per_class) == (10, 10)
    assert set(trips.source_ids) <= set(cells["sound"].train_ids)


def test_a_class_that_is_all_synthetic_is_refused_by_the_plan() -> None:
    define = {"guide": {"like": "hybrid", "real_counts": {"a": 0}, "synthetic_labels": ["a"]}}
    with pytest.raises(DesignError, match="all synthetic while other classes are real"):
        varied_plan(("guide",), define)


def test_duplicates_run_only_where_epochs_count() -> None:
    plan = varied_plan(("real_transforms", "real_duplicated"), seeds=1)
    assert set(cells_of(plan)) == {"real_transforms"}
    assert any("duplicates change nothing" in note for note in plan.notes)
    cell = cells_of(varied_plan(("real_duplicated",), seeds=1, epochs_count=True))["real_duplicated"]
    assert cell.extra_ids == cell.train_ids * 2
    assert cell.is_duplicated and not cell.is_real_only


def test_teachers_are_shared_and_left_out_where_groups_are_few() -> None:
    plan = varied_plan(("hybrid_weighted", "hybrid_weighted@s0.5", "hybrid"), seeds=2)
    assert [teacher.name for teacher in plan.teachers] == ["main-teacher-n4-s0", "main-teacher-n4-s1"]
    cells = cells_of(plan)
    assert cells["hybrid_weighted"].teacher == cells["hybrid_weighted@s0.5"].teacher == "main-teacher-n4-s0"
    assert cells["hybrid"].teacher is None
    few = made_up_plan(
        arms=("hybrid_weighted", "hybrid"), curve_arms=(), training_sizes=(2,), synthetic_training_sizes=(2,)
    )
    assert "hybrid_weighted" not in cells_of(few)
    assert any("teachers need 3 patients or groups of a, b" in note for note in few.notes)


def test_balancing_needs_values_that_differ() -> None:
    table = made_up_table()
    arms = ("real_transforms", "real_balanced")
    design = Design("main", arms, (), (4,), (4,), seeds=1)
    assert "no image says its skin_type_group" in plan_study(design, table, 7).notes[0]
    table["skin_type_group"] = ["I-II", "V-VI"] * (len(table) // 2)
    assert cells_of(plan_study(design, table, 7))["real_balanced"].balance_by == "skin_type_group"


def test_grid_sizes_hold_the_variants() -> None:
    plan = made_up_plan(
        arms=("hybrid",), synthetic_training_sizes=(4, 8), grid=("hybrid", "hybrid@r1"), grid_sizes=(8,)
    )
    assert {cell.training_size for cell in plan.cells if cell.arm == "hybrid@r1"} == {8}
    assert Counter(cell.training_size for cell in plan.cells if cell.arm == "hybrid") == {4: 3, 8: 3}
