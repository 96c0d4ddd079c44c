"""Every shipped recipe is valid, as it is and in its mini variant, and names what it was meant to."""

from __future__ import annotations

from pathlib import Path

import pytest

import tenfold.recipes
from tenfold.recipes.loader import builtin_recipes, load_recipe
from tenfold.studies.arms import DEFAULT_ARMS

FILES = sorted((Path(tenfold.recipes.__file__).parent / "builtin").rglob("*.yaml"))


def test_all_files_are_found() -> None:
    assert len(FILES) == 2
    assert [recipe.name for recipe in builtin_recipes()] == sorted(path.stem for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("mini", [False, True])
def test_every_recipe_is_valid(path: Path, mini: bool) -> None:
    recipe = load_recipe(path.stem, mini=mini, needs_required=False)
    assert recipe.name == path.stem
    assert recipe.description
    assert recipe.study_run().name == "main"
    primary = recipe.evaluate.primary  # type: ignore[attr-defined]
    assert primary.arm in recipe.study.arms
    assert set(primary.controls) <= set(recipe.study.arms)


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
