"""Every shipped recipe is valid, as it is and in each of its variants, and names what it was meant to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tenfold.recipes
from tenfold.models.registry import REGISTRY_PREFIX, registry_entry
from tenfold.recipes.loader import load_recipe
from tenfold.recipes.shipped import builtin_recipes
from tenfold.recipes.yaml_source import parse_mapping
from tenfold.studies.catalog import DEFAULT_ARMS

FILES = sorted((Path(tenfold.recipes.__file__).parent / "builtin").rglob("*.yaml"))
CASES = [(path.stem, ()) for path in FILES] + [
    (recipe.name, (variant,)) for recipe in builtin_recipes() for variant in recipe.variants
]


def needed(name: str, *variants: str) -> dict[str, Any]:
    """What a recipe and its variants ask the user for, with their examples."""
    path = next(path for path in FILES if path.stem == name)
    data = parse_mapping(path.read_text(encoding="utf-8"), path.name).data
    asked = dict(data.get("required", {}))
    for variant in variants:
        asked |= data["variants"][variant].get("required", {})
    return asked


def test_all_files_are_found() -> None:
    assert len(FILES) == 6
    assert [recipe.name for recipe in builtin_recipes()] == sorted(path.stem for path in FILES)
    assert len(CASES) == 6 + 2 + 5 + 5 + 1


@pytest.mark.parametrize("mini", [False, True])
@pytest.mark.parametrize(
    ("name", "variants"), CASES, ids=lambda case: "-".join(case) if isinstance(case, tuple) else case
)
def test_every_recipe_is_valid(name: str, variants: tuple[str, ...], mini: bool) -> None:
    is_own_data = name in ("folder", "learning-curve")
    settings = {} if mini and not is_own_data else needed(name, *variants)
    recipe = load_recipe(name, settings, variants=variants, mini=mini)
    assert recipe.name == name
    assert recipe.description
    assert recipe.study_run().name == "main"
    primary = recipe.evaluate.primary  # type: ignore[attr-defined]
    run = {arm for arms in (recipe.study.arms, recipe.study.curve_arms, recipe.study.grid_arms) for arm in arms}
    assert {primary.arm, *primary.controls, *primary.candidates} <= run
    if recipe.classify.train == "head":  # type: ignore[attr-defined]
        # Strong transforms are trained by steps, other arms' last layers are solved: no fair comparison.
        assert not any(recipe.study.arm(arm).transforms == "strong" for arm in run)
    sizes = recipe.study.synthetic_training_sizes
    assert primary.training_size is None or sizes is None or primary.training_size in sizes


@pytest.mark.parametrize("name", ["sagers2023", "synthvision", "derm-t2im"])
def test_published_recipes_start_from_known_checkpoints_and_say_what_is_left_out(name: str) -> None:
    recipe: Any = load_recipe(name, needed(name))
    sections = {"finetune": "text2img", "inpaint": "inpainting", "super_resolution": "upscale"}
    found = {one: getattr(recipe, one) for one in sections if getattr(recipe, one) is not None}
    for section, settings in found.items():
        assert settings.base_checkpoint.startswith(REGISTRY_PREFIX)
        assert registry_entry(settings.base_checkpoint).kind == sections[section]
    assert recipe.study.seeds == 5 and recipe.study.generator_budget == "strict"
    assert len(recipe.trimmed) >= 4
    small = load_recipe(name, mini=True)  # nothing is asked for: the phantom stands in
    assert small.intake.source == "phantom"
    assert small.finetune.base_checkpoint == "embedded:base"  # type: ignore[attr-defined]
    assert small.classify.model == "embedded:small"  # type: ignore[attr-defined]


def test_the_demo_keeps_what_it_promises() -> None:
    recipe = load_recipe("demo")
    assert recipe.study.synthetic_training_sizes == (8,)
    assert len(recipe.study.training_sizes or ()) >= 3
    assert recipe.study.seeds >= 3
    assert set(recipe.study.arms) == set(DEFAULT_ARMS)
    assert recipe.study.curve_arms == ("real_transforms",)
    assert (recipe.study.synthetic_ratio, recipe.study.generator_budget) == (10, "strict")
    assert recipe.trimmed


def test_mini_variants_say_that_they_prove_nothing() -> None:
    for recipe in builtin_recipes():
        loaded = load_recipe(recipe.name, mini=True, needs_required=False)
        assert any("mini run" in note for note in loaded.trimmed)
        assert loaded.study.seeds < 3
