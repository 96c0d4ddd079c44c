"""The plan of a study: counts per arm, disjoint images, nested sizes, seeds apart, and what data cannot carry."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tenfold.core.errors import DesignError, TenfoldError
from tenfold.studies.design import Design, plan_study
from tenfold.studies.plan import StudyPlan
from tenfold.studies.sizes import automatic_training_sizes
from tenfold.studies.variants import Dose
from tests.study_tables import ARMS, CURVE, made_up_plan, made_up_table, split_of


def test_cells_per_arm_and_size() -> None:
    plan = made_up_plan()
    counted = Counter((cell.arm, cell.training_size) for cell in plan.cells)
    expected = {(arm, size): 3 for arm in CURVE for size in (4, 8, 16)} | {(arm, 4): 3 for arm in ARMS}
    assert dict(counted) == expected
    assert len({cell.name for cell in plan.cells}) == len(plan.cells)
    assert [generator.name for generator in plan.generators] == ["main-n4-s0", "main-n4-s1", "main-n4-s2"]


def test_images_of_a_cell_never_overlap_and_stay_in_their_split() -> None:
    split = split_of(made_up_table())
    for cell in made_up_plan().cells:
        assert {split[image_id] for image_id in (*cell.train_ids, *cell.extra_ids)} <= {"train"}
        assert {split[image_id] for image_id in cell.validation_ids} == {"val"}
        assert not set(cell.train_ids) & set(cell.extra_ids)
        assert len(set(cell.train_ids)) == len(cell.train_ids)


def test_generators_see_exactly_their_cells_training_images() -> None:
    plan = made_up_plan()
    for generator in plan.generators:
        cells = [cell for cell in plan.cells if cell.generators == (generator.name,) and cell.arm == "hybrid"]
        assert cells
        assert all(set(cell.train_ids) == set(generator.training_ids) for cell in cells)


def test_sizes_nest_within_a_seed() -> None:
    plan = made_up_plan()
    for seed_index in range(3):
        cells = [cell for cell in plan.cells if cell.arm == "real_only" and cell.seed_index == seed_index]
        small, middle, large = sorted(cells, key=lambda cell: cell.training_size)
        assert set(small.train_ids) < set(middle.train_ids) < set(large.train_ids)
        assert set(small.validation_ids) < set(middle.validation_ids)


def test_validation_is_at_most_as_large_as_training() -> None:
    plan = made_up_plan()
    sizes = {cell.training_size: len(cell.validation_ids) for cell in plan.cells if cell.arm == "real_only"}
    assert sizes == {4: 8, 8: 16, 16: 24}  # 12 validation images a class are all there are


def test_arms_of_a_seed_share_images_and_seeds_which_differ_between_seeds() -> None:
    plan = made_up_plan()
    at_four = [cell for cell in plan.cells if cell.training_size == 4 and cell.arm != "synthetic_only"]
    by_seed = {index: {cell.train_ids for cell in at_four if cell.seed_index == index} for index in range(3)}
    assert all(len(ids) == 1 for ids in by_seed.values())
    assert len(set.union(*by_seed.values())) == 3
    seeds = {(cell.subset_seed, cell.generator_seed, cell.classifier_seed) for cell in plan.cells}
    assert len(seeds) == 3
    assert len({seed for triple in seeds for seed in triple}) == 9


def test_arm_settings() -> None:
    cells = {cell.arm: cell for cell in made_up_plan().cells if cell.training_size == 4 and cell.seed_index == 0}
    assert (cells["hybrid"].synthetic_share, cells["hybrid"].synthetic_ratio) == (0.25, 2.0)
    assert (cells["synthetic_only"].train_ids, cells["synthetic_only"].synthetic_share) == ((), 1.0)
    assert cells["real_autoencoder"].synthetic_sets == ("main-n4-s0-autoencoder",)
    assert len(cells["fresh_real"].extra_ids) == 2 * len(cells["fresh_real"].train_ids)
    assert [arm for arm, cell in cells.items() if cell.transforms == "none"] == ["real_only"]


def test_the_same_request_gives_the_same_plan_whatever_the_row_order() -> None:
    design = Design("main", ARMS, CURVE, (4,), (4,), seeds=2)
    table = made_up_table()
    shuffled = table.sample(frac=1, random_state=3)
    assert plan_study(design, table, 1) == plan_study(design, shuffled, 1)
    assert plan_study(design, table, 1) != plan_study(design, table, 2)


def test_more_seeds_leave_the_first_ones_as_they_are() -> None:
    few, more = made_up_plan(seeds=2), made_up_plan(seeds=3)
    assert set(few.cells) < set(more.cells)


def test_sizes_the_data_cannot_carry_say_what_is_possible() -> None:
    with pytest.raises(DesignError) as caught:
        made_up_plan(training_sizes=(4, 64))
    assert "at most 40 a class" in caught.value.expected
    assert "a 40, b 40" in caught.value.expected
    assert "[5, 10, 20, 40]" in caught.value.todo


def test_one_class_is_refused() -> None:
    with pytest.raises(TenfoldError, match="1 class"):
        plan_study(Design("main", ARMS), made_up_table(labels=("a",)), 0)


def test_sizes_chosen_from_the_data_are_told() -> None:
    plan = made_up_plan(training_sizes=None, synthetic_training_sizes=None)
    assert (plan.training_sizes, plan.synthetic_training_sizes) == ((5, 10, 20, 40), (10,))
    assert any("5, 10, 20 and 40 images a class" in note for note in plan.notes)


@pytest.mark.parametrize(("smallest", "sizes"), [(3, (3,)), (5, (5,)), (66, (5, 10, 20, 40)), (0, (1,))])
def test_automatic_training_sizes(smallest: int, sizes: tuple[int, ...]) -> None:
    assert automatic_training_sizes(smallest) == sizes


def test_headroom_is_noted_when_short_and_dropped_when_nothing_is_left() -> None:
    short = made_up_plan(training_sizes=(20,), synthetic_training_sizes=(20,), dose=Dose())
    assert any("1.0 per training image" in note for note in short.notes)
    without = made_up_plan(training_sizes=(40,), synthetic_training_sizes=(40,))
    assert all(cell.arm != "fresh_real" for cell in without.cells)
    assert any("headroom arm is not run" in note for note in without.notes)


def test_cell_table_holds_what_other_rooms_read() -> None:
    table = made_up_plan().cell_table()
    needed = {"cell", "folder", "arm", "training_size", "seed_index", "subset_seed", "generator_seed"}
    needed |= {"classifier_seed", "train_ids", "validation_ids", "extra_ids", "synthetic_sets", "strategy"}
    assert needed <= set(table.columns)
    assert isinstance(table["train_ids"].iloc[0], list)


MASK_ARMS = ("hybrid_outpaint", "real_composite", "hybrid_mix")


def masked_plan(modality: str | None = "dermatoscopic", unmasked: tuple[str, ...] = (), **changes: Any) -> StudyPlan:
    """One size of 4, three seeds, with masks but for `unmasked` labels."""
    table = made_up_table()
    table["mask_path"] = ("data/masks/" + table["image_id"]).mask(table["label"].isin(unmasked))
    table["modality"] = modality
    arms = ("real_transforms", "real_recolor", *MASK_ARMS)
    design: dict[str, Any] = {"name": "main", "arms": arms, "training_sizes": (4,), "synthetic_training_sizes": (4,)}
    return plan_study(Design(**{**design, "seeds": 3, **changes}), table, root_seed=7)


def test_sets_of_real_images_start_from_the_cells_own() -> None:
    plan = masked_plan(dose=Dose(source_ratio=3))
    sets = {made.name: made for made in plan.sets}
    assert plan.generator_count == 0
    for cell in plan.cells:
        for name in cell.synthetic_sets:
            assert sets[name].source_ids == cell.train_ids
            assert sets[name].image_count == 3 * len(cell.train_ids)
    cells = {cell.arm: cell for cell in plan.cells if cell.seed_index == 0}
    assert cells["hybrid_mix"].synthetic_sets == ("main-n4-s0-outpaint", "main-n4-s0-composite")
    assert (cells["hybrid_mix"].synthetic_ratio, cells["hybrid_mix"].strategy) == (6.0, "outpaint+composite")
    assert {cell.synthetic_share for cell in plan.cells if cell.synthetic_sets} == {0.25}
    assert {cell.transforms for cell in plan.cells} == {"paper"}


def test_recoloring_gives_each_skin_type_once() -> None:
    assert masked_plan().tones == (1, 2, 3, 4, 5, 6)
    ratios = {cell.arm: cell.synthetic_ratio for cell in masked_plan(skin_types=(5, 6)).cells}
    assert (ratios["real_recolor"], ratios["hybrid_outpaint"]) == (2.0, 10.0)


def test_without_masks_the_arms_are_left_out_and_it_is_told() -> None:
    plan = masked_plan(unmasked=("b",))
    assert {cell.arm for cell in plan.cells} == {"real_transforms", "real_recolor"}
    (note,) = plan.notes
    assert note == (
        "Not run at 4 a class: hybrid_outpaint, real_composite and hybrid_mix, because no training image of b has a "
        "mask of its lesion."
    )


def test_where_some_images_lack_masks_the_others_are_taken() -> None:
    table = made_up_table()
    table["mask_path"] = "data/masks/" + table["image_id"]
    design = Design("main", ("hybrid_outpaint",), (), (4,), (4,), seeds=1, dose=Dose(source_ratio=2))
    (whole,) = plan_study(design, table, 7).sets
    bare = whole.source_ids[0]
    table["mask_path"] = table["mask_path"].mask(table["image_id"] == bare)
    plan = plan_study(design, table, 7)
    (made,) = plan.sets
    assert made.source_ids == whole.source_ids[1:] and made.image_count == 16
    assert "1 of 8 training images at 4 a class have no mask" in plan.notes[0]


@pytest.mark.parametrize("modality", ["blood smear", None])
def test_other_modalities_are_not_recolored_but_composed(modality: str | None) -> None:
    plan = masked_plan(modality)
    assert {cell.arm for cell in plan.cells} == {"real_transforms", *MASK_ARMS}
    assert plan.tones == ()
    assert (
        f"real_recolor, because nothing says that the images show skin (modality: {modality or 'not stated'}"
        in (plan.notes[0])
    )
    assert masked_plan(modality, skin_types=(1, 6)).tones == (1, 6)
