"""The published recipes planned on tables of the published sizes: counts per arm, who trains on what, disjointness."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import DesignError
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import make_manifest, write_manifest
from tenfold.data.splits import seal_split
from tenfold.recipes.loader import load_recipe
from tenfold.recipes.shipped import builtin_recipes
from tenfold.studies.plan import Cell, StudyPlan
from tenfold.studies.run import read_plan
from tests.recipes.test_builtin_recipes import needed

F17K_9 = {
    "psoriasis": 624, "squamous cell carcinoma": 480, "lichen planus": 452, "basal cell carcinoma": 446,
    "allergic contact dermatitis": 398, "lupus erythematosus": 337, "sarcoidosis": 326, "neutrophilic dermatoses": 324,
    "photodermatoses": 312,
}  # fmt: skip
SIZES = (1, 8, 16, 32, 64, 128, 228)


def planned(tmp_path: Path, name: str, *variants: str, counts: dict[str, int], **settings: Any) -> StudyPlan:
    """The plan of a recipe on as many images a class, each of its own patient; split in order: test, val, train."""
    recipe: Any = load_recipe(name, {**needed(name, *variants), **settings}, variants=variants)
    workspace = Workspace.create(tmp_path / "ws", name="plan", root_seed=1, data_license="none")
    rows, split = [], {}
    for label, count in counts.items():
        for number in range(count):
            digest = sha256_bytes(f"{label}/{number}".encode())
            image_id = digest[:16]
            rows.append({
                "image_id": image_id, "path": f"data/images/{image_id}.png", "label": label, "source": "real",
                "sha256": digest, "patient_id": image_id, "modality": recipe.intake.modality or "photo",
                "skin_type_group": ("I-II", "III-IV", "V-VI")[number % 3],
            })  # fmt: skip
            test, validation = recipe.split.test_per_class or 40, recipe.split.validation_per_class or 40
            split[image_id] = "test" if number < test else "val" if number < test + validation else "train"
    manifest = make_manifest(rows)
    write_manifest(manifest, workspace.resolve("data/manifest.parquet"))
    seal_split(workspace.resolve("data/splits.json"), manifest, pd.Series(split), seed=0)
    return read_plan(recipe.study_run(), workspace)


def cells_of(plan: StudyPlan, arm: str, size: int) -> list[Cell]:
    return [cell for cell in plan.cells if (cell.arm, cell.training_size) == (arm, size)]


def per_class(plan: StudyPlan, image_ids: tuple[str, ...], counts: dict[str, int]) -> dict[str, int]:
    label_of = {
        sha256_bytes(f"{label}/{n}".encode())[:16]: label for label, count in counts.items() for n in range(count)
    }
    return dict(Counter(label_of[image_id] for image_id in image_ids))


@pytest.fixture(scope="module")
def sagers(tmp_path_factory: pytest.TempPathFactory) -> StudyPlan:
    assert sum(F17K_9.values()) == 3699
    return planned(tmp_path_factory.mktemp("sagers"), "sagers2023", counts=F17K_9)


def test_sagers_trains_all_arms_at_all_sizes_with_five_seeds(sagers: StudyPlan) -> None:
    assert sagers.training_sizes == SIZES and len(sagers.labels) == 9
    arms = {"real_only", "real_transforms", "real_strong", "real_autoencoder", "hybrid_pretrained"} | {
        name + suffix for name in ("hybrid", "hybrid_inpaint", "hybrid_in_then_outpaint") for suffix in ("", "@none")
    }
    for size in SIZES:
        grid = {"hybrid@r25", "hybrid@r50", "hybrid@r75", "hybrid@s0.25", "hybrid@s0.5"} if size >= 128 else set()
        found = Counter(cell.arm for cell in sagers.cells if cell.training_size == size)
        assert found == dict.fromkeys(arms | grid, 5)
    assert len({cell.name for cell in sagers.cells}) == len(sagers.cells) == 7 * 11 * 5 + 2 * 5 * 5


def test_sagers_has_ten_synthetic_images_for_each_real_one(sagers: StudyPlan) -> None:
    made = {one.name: one for one in sagers.sets}
    for arm in ("hybrid", "hybrid_inpaint", "hybrid_in_then_outpaint", "hybrid_inpaint@none"):
        for cell in cells_of(sagers, arm, 32):
            assert per_class(sagers, cell.train_ids, F17K_9) == dict.fromkeys(sagers.labels, 32)
            assert cell.synthetic_ratio == 10 and cell.synthetic_share == 0.909
            (name,) = cell.synthetic_sets
            assert made[name].images_per_class >= 320
            assert set(made[name].training_ids) == set(cell.train_ids)  # strict: the cell's own images, no others
    for ratio in (25, 50, 75):
        assert {cell.synthetic_ratio for cell in cells_of(sagers, f"hybrid@r{ratio}", 228)} == {ratio}
    assert {cell.transforms for cell in cells_of(sagers, "hybrid@none", 8)} == {"none"}
    assert {cell.transforms for cell in cells_of(sagers, "hybrid", 8)} == {"paper"}


def test_sagers_subsets_nest_and_never_touch_validation_or_test(sagers: StudyPlan) -> None:
    for seed in range(5):
        cells = {cell.training_size: cell for cell in sagers.cells if cell.arm == "hybrid" and cell.seed_index == seed}
        for smaller, larger in itertools.pairwise(SIZES):
            assert set(cells[smaller].train_ids) < set(cells[larger].train_ids)
        assert all(not set(cell.train_ids) & set(cells[228].validation_ids) for cell in cells.values())
    trained = {image_id for cell in sagers.cells for image_id in (*cell.train_ids, *cell.extra_ids)}
    held_out = {sha256_bytes(f"{label}/{n}".encode())[:16] for label in F17K_9 for n in range(80)}
    assert not trained & held_out
    assert not {image_id for one in sagers.generators for image_id in one.training_ids} & held_out


def test_the_authors_code_fits_generators_to_all_images_and_stands_beside_strict_ones(tmp_path: Path) -> None:
    fewer = {"study.training_sizes": [1, 128], "study.synthetic_training_sizes": [1, 128], "study.grid_sizes": [128]}
    settings = {**fewer, "study.seeds": 1, "evaluate.primary.training_size": 128}
    plan = planned(tmp_path, "sagers2023", "code", counts=F17K_9, **settings)
    assert {cell.generator_budget for cell in cells_of(plan, "hybrid", 1)} == {"pooled"}
    assert {cell.generator_budget for cell in cells_of(plan, "hybrid@strict", 128)} == {"strict"}
    wide = [one for one in plan.generators if one.budget == "pooled"]
    assert wide and all(len(one.labels) == 1 for one in wide)  # one for each class
    assert max(len(one.training_ids) for one in wide) == F17K_9["psoriasis"] - 80


def test_synthvision_has_the_published_arm_and_the_sound_one(tmp_path: Path) -> None:
    counts = {"hpv": 620, "normal": 620}
    plan = planned(tmp_path, "synthvision", counts=counts)
    expected: dict[str, dict[str, int]] = {
        "published": {"normal": 500},
        "sound": {"hpv": 10, "normal": 500},
        "guides_and_normals": {"hpv": 10, "normal": 500},
        "hybrid@r50": {"hpv": 10, "normal": 10},
        "real_500": {"hpv": 500, "normal": 500},
    }
    for arm, images in expected.items():
        cells = cells_of(plan, arm, 10)
        assert len(cells) == 5
        assert all(per_class(plan, cell.train_ids, counts) == images for cell in cells)
    made = {one.name: one for one in plan.sets}
    for arm in ("published", "sound"):
        for cell in cells_of(plan, arm, 10):
            drawn = [made[name] for name in cell.synthetic_sets if made[name].strategy == "text2img"]
            assert [(one.labels, one.images_per_class) for one in drawn] == [(("hpv",), 630)]
            assert per_class(plan, drawn[0].training_ids, counts) == {"hpv": 10}  # the guide images
            assert cell.synthetic_share == 0.5
    assert all(not cell.is_origin_balanced for cell in cells_of(plan, "published", 10))
    for cell in cells_of(plan, "sound", 10):
        assert cell.is_origin_balanced
        (trips,) = [made[name] for name in cell.synthetic_sets if made[name].strategy == "autoencoder"]
        assert trips.labels == ("normal",)
        assert trips.images_per_class == 500 and per_class(plan, trips.source_ids, counts) == {"normal": 500}
    assert {cell.training_size for cell in plan.cells if cell.arm == "real_transforms"} == {10, 20, 50, 100, 250, 500}


def test_the_published_design_is_refused_unless_the_confound_is_accepted(tmp_path: Path) -> None:
    recipe: Any = load_recipe("synthvision", needed("synthvision"))
    assert recipe.classify.allow_origin_confound
    with pytest.raises(DesignError, match="hpv would be all synthetic while other classes are real"):
        refused = {"classify.allow_origin_confound": False}
        planned(tmp_path, "synthvision", counts={"hpv": 620, "normal": 620}, **refused)
    assert recipe.evaluate.primary.arm == "sound" and recipe.evaluate.primary.margin == 0.05
    published: Any = load_recipe("synthvision", needed("synthvision"), variants=["published"])
    assert published.evaluate.primary.arm == "published"


def test_synthvision_trains_and_draws_as_published() -> None:
    recipe: Any = load_recipe("synthvision", needed("synthvision"))
    tuned, net = recipe.finetune, recipe.classify
    assert (tuned.max_train_steps, tuned.learning_rate) == (2000, 2e-6)
    assert (tuned.text_encoder_max_steps, tuned.text_encoder_lr, tuned.checkpointing_steps) == (350, 4e-7, 500)
    assert (net.model, net.optimizer, net.learning_rate, net.batch_size) == (
        "vit_base_patch16_224",
        "rmsprop",
        1e-4,
        64,
    )
    assert net.max_train_steps == pytest.approx(150 * 1000 / 64, rel=0.01)
    assert (recipe.split.test_per_class, recipe.split.validation_per_class) == (70, 50)


def test_derm_t2im_is_three_quarters_synthetic(tmp_path: Path) -> None:
    counts = {"benign": 600, "malignant": 584}
    plan = planned(tmp_path, "derm-t2im", counts=counts)
    for cell in cells_of(plan, "hybrid", 400):
        assert (cell.synthetic_ratio, cell.synthetic_share) == (3, 0.75)
    arms = Counter(cell.arm for cell in plan.cells if cell.training_size == 400)
    assert arms == dict.fromkeys(
        ("real_only", "real_transforms", "real_strong", "real_autoencoder", "hybrid", "hybrid_unfiltered",
         "synthetic_only", "hybrid_weighted", "hybrid@s0.25", "hybrid@s0.5"), 5
    )  # fmt: skip


def test_the_ddi_variant_is_planned_on_656_images(tmp_path: Path) -> None:
    plan = planned(tmp_path, "sagers2023", "ddi", counts={"benign": 485, "malignant": 171})
    assert plan.labels == ("benign", "malignant") and plan.training_sizes == (8, 16, 32, 64)
    assert {cell.arm for cell in plan.cells if cell.training_size == 64} >= {"hybrid@r75", "hybrid_inpaint"}


COUNTS = {
    "sagers2023": dict.fromkeys(F17K_9, 130),
    "sagers2023-ddi": {"benign": 485, "malignant": 171},
    "synthvision": {"hpv": 620, "normal": 620},
    "derm-t2im": {"benign": 550, "malignant": 550},
    "derm-t2im-paper": {"benign": 1550, "malignant": 1550},
    "learning-curve": {"a": 110, "b": 110},
}


@pytest.mark.parametrize(
    ("name", "variant"),
    [(one.name, variant) for one in builtin_recipes() for variant in ("", *one.variants) if one.name in COUNTS],
)
def test_every_variant_is_planned_with_all_its_arms(name: str, variant: str, tmp_path: Path) -> None:
    variants = (variant,) if variant else ()
    counts = COUNTS.get(f"{name}-{variant}", COUNTS[name])
    recipe: Any = load_recipe(name, needed(name, *variants), variants=variants)
    size = recipe.evaluate.primary.training_size
    fewer = {"study.seeds": 1, "study.training_sizes": [size], "study.synthetic_training_sizes": [size]}
    plan = planned(tmp_path, name, *variants, counts=counts, **fewer, **{"study.grid_sizes": [size]})
    ran = {cell.arm for cell in plan.cells}
    assert {*recipe.study.arms, *recipe.study.curve_arms} <= ran  # none was left out
    grid = {
        *(f"r{ratio}" for ratio in recipe.study.ratios or () if ratio != recipe.study.synthetic_ratio),
        *(f"s{share:g}" for share in recipe.study.shares or () if share != recipe.study.synthetic_share),
    }
    assert {f"{arm}@{suffix}" for arm in recipe.study.grid_arms for suffix in grid} <= ran
    primary = recipe.evaluate.primary
    assert {primary.arm, *primary.controls, *primary.candidates} <= ran
    own = {image_id for cell in plan.cells for image_id in (*cell.train_ids, *cell.extra_ids)}
    drawn_from = {image_id for one in (*plan.generators, *plan.sets) for image_id in one.training_ids}
    chosen_on = {image_id for cell in plan.cells for image_id in cell.validation_ids}
    assert not (own | drawn_from) & chosen_on
