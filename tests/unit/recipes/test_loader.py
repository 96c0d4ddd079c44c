"""Recipes from YAML: overrides, required settings, variants, and faults with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import FaultsError, RecipeError
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.recipes.loader import load_recipe, load_settings
from tenfold.recipes.runner import recipe_yaml


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_settings_go_over_the_recipe_and_its_variant() -> None:
    mini = load_recipe("demo", mini=True)
    assert mini.study.seeds == 2
    changed = load_recipe("demo", ["study.seeds=4", "intake.classes=[targetosis, satellosis]"], mini=True)
    assert changed.study.seeds == 4
    assert changed.intake.classes == ["targetosis", "satellosis"]
    assert load_recipe("demo", {"study.seeds": 9}).study.seeds == 9


def test_a_setting_reaches_into_a_mapping_that_is_not_there_yet() -> None:
    settings = ["intake.source=/data", "intake.class_nouns.df=dermatofibroma"]
    assert load_recipe("folder", settings).intake.class_nouns == {"df": "dermatofibroma"}


def test_a_spelled_out_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["study.seeds=3"], mini=True)
    assert load_recipe(written(tmp_path, recipe_yaml(recipe))) == recipe


def test_required_settings_are_asked_for_with_an_example() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("folder")
    assert "intake.source" in caught.value.what
    assert caught.value.todo == "tenfold run folder --set intake.source=/data/lesions"
    assert load_recipe("folder", needs_required=False).name == "folder"


def test_an_unknown_arm_is_named_with_its_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", ["study.arms=[hybird]"])
    assert "no arm 'hybird', did you mean 'hybrid'?" in caught.value.expected


_VARIED = """name: mine
required:
  intake.source: /data/a
study:
  seeds: 3
variants:
  longer:
    description: ten repetitions
    study.seeds: 10
  lists:
    required:
      split.id_column: md5hash
    study.define.half: {like: hybrid, share: 0.5}
mini:
  study.seeds: 1
"""


def test_variants_go_over_the_recipe_and_under_mini_and_settings(tmp_path: Path) -> None:
    path = written(tmp_path, _VARIED)
    settings = {"intake.source": "/data/b"}
    assert load_recipe(path, settings).study.seeds == 3
    longer = load_recipe(path, settings, variants=["longer"])
    assert (longer.study.seeds, longer.description) == (10, "ten repetitions")
    assert load_recipe(path, settings, variants=["longer"], mini=True).study.seeds == 1
    assert load_recipe(path, {**settings, "study.seeds": 7}, variants=["longer"]).study.seeds == 7
    both = load_recipe(path, {**settings, "split.id_column": "md5"}, variants=["longer", "lists"])
    assert both.study.arm("half").share == 0.5 and both.study.seeds == 10


def test_a_variant_asks_for_what_it_needs_besides(tmp_path: Path) -> None:
    path = written(tmp_path, _VARIED)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, variants=["lists"])
    assert "intake.source, split.id_column" in caught.value.what
    assert f"tenfold run {path} --variant lists --set intake.source=/data/a" in caught.value.todo


def test_an_unknown_variant_is_named_with_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no variant 'list'") as caught:
        load_recipe(written(tmp_path, _VARIED), {"intake.source": "/data/b"}, variants=["list"])
    assert caught.value.todo == "Did you mean 'lists'?" and "longer, lists" in caught.value.expected
    with pytest.raises(RecipeError, match="no variant 'code'"):
        load_recipe("demo", variants=["code"])


@pytest.mark.parametrize(
    ("settings", "what", "todo"),
    [
        (["study.seds=3"], "unknown key 'study.seds'", "Did you mean 'seeds'?"),
        (["finetune.training_ids=[a]"], "unknown key 'finetune.training_ids'", "Did you mean"),
        (["stdy.seeds=3"], "unknown key 'stdy'", "Did you mean 'study'?"),
        (["study.seeds=many"], "study.seeds is 'many'", ""),
        (["intake.phantom.images=3"], "unknown key 'intake.phantom.images'", "Did you mean 'images_per_class'?"),
        (["study.seeds"], "a setting without `=`", ""),
        (["study..seeds=3"], "'study..seeds' is no dotted name", ""),
        (["study.seeds.deep=3"], "study.seeds is a value, not a section", ""),
        (["study.arms=[1"], "this is not readable as YAML", ""),
    ],
)
def test_faults_of_settings(settings: list[str], what: str, todo: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", settings)
    assert what in caught.value.what
    assert caught.value.where == f"--set {settings[0]}"
    assert caught.value.todo.startswith(todo)


def test_all_faults_are_collected() -> None:
    with pytest.raises(FaultsError) as caught:
        load_recipe("demo", ["study.seds=3", "finetune.steps=1", "study.seeds=x"])
    assert len(caught.value.errors) == 3


def test_a_setting_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="set twice"):
        load_recipe("demo", ["study.seeds=3", "study.seeds=4"])


def test_faults_in_files_name_line_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\nstudy:\n  training_sizes: [8, eight]\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.where == f"{path}:3:23"
    assert "integer" in caught.value.expected


def test_faults_across_fields_name_their_section(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\nstudy:\n  training_sizes: [8]\n  synthetic_training_sizes: [4]\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.where == f"{path}:2:1"
    assert "not among training_sizes" in caught.value.expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("description: no name\n", "name is missing"),
        ("name: Mine!\n", "name is 'Mine!'"),
        ("name: mine\nrequired: [a]\n", "`required` is not a mapping"),
    ],
)
def test_other_faults_in_files(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, text))
    assert what in caught.value.what


def test_a_recipe_without_a_mini_variant(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no mini variant"):
        load_recipe(written(tmp_path, "name: mine\n"), mini=True)


@pytest.mark.parametrize("name", ["foldr", "nothing.yaml", "deep/down.yaml"])
def test_recipes_that_are_not_there(name: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(name)


def test_a_recipe_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(path))


def test_settings_of_a_single_stage() -> None:
    config: Any = load_settings(PretrainConfig, ["denoiser.steps=7", "seed=2"])
    assert (config.denoiser.steps, config.seed) == (7, 2)
    with pytest.raises(RecipeError, match="unknown key"):
        load_settings(PretrainConfig, ["denoiser.stps=7"])
