"""YAML parsing for recipes: YAML 1.2 scalars, places, duplicates and refused features."""

from __future__ import annotations

from typing import Any

import pytest

from tenfold.core.errors import FaultsError, RecipeError
from tenfold.recipes.yaml_source import parse_mapping, parse_value


def test_scalars_follow_yaml_1_2() -> None:
    source = parse_mapping("a: [no, on, 010, 1e-3, .5, ~, true, 2020-01-01, 'true']", "r.yaml")
    assert source.data == {"a": ["no", "on", 10, 0.001, 0.5, None, True, "2020-01-01", "true"]}


def test_places_name_line_and_column() -> None:
    source = parse_mapping("study:\n  seeds: 3\n  arms:\n    - hybrid\n", "r.yaml")
    assert source.place(("study", "seeds")) == "r.yaml:2:3"
    assert source.place(("study", "arms", 0)) == "r.yaml:4:7"
    assert source.place(("study", "absent", "deeper")) == "r.yaml:1:1"


def test_every_duplicate_is_listed_with_the_first_place() -> None:
    with pytest.raises(FaultsError) as caught:
        parse_mapping("a: 1\na: 2\nb: {c: 1, c: 2}\n", "r.yaml")
    assert [error.where for error in caught.value.errors] == ["r.yaml:2:1", "r.yaml:3:11"]
    assert "given twice" in caught.value.errors[0].what
    assert "r.yaml:1:1" in caught.value.errors[0].expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("- 1", "list"),
        ("a: [1", "not readable"),
        ("a: &x 1\nb: *x", "aliases"),
        ("a: !!python/object:os.system 1", "tag"),
        ("a:\n\t- b", "not readable"),
        ("[" * 900, "deeply"),
        ("? [1]\n: 2", "not plain text"),
    ],
)
def test_what_is_not_a_recipe_is_refused(text: str, word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_mapping(text, "r.yaml")
    assert word in caught.value.what
    assert caught.value.where.startswith("r.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("null", None),
        ("", None),
        ("1e-4", 1e-4),
        ("/data/my: images #2", "/data/my: images #2"),
        ("[df,vasc]", ["df", "vasc"]),
        ("{a: 1}", {"a": 1}),
        ("'3'", "3"),
        ("-1", -1),
        ("false", False),
    ],
)
def test_values_of_settings(text: str, value: Any) -> None:
    assert parse_value(text, "--set x") == value
