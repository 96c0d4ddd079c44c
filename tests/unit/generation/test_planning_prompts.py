"""Prompt templates, the values of their fields, amounts of images, and seeds that never start the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tenfold.core.errors import DataError
from tenfold.generation.amounts import Amount, in_turn, label_counts, prompt_counts, shares
from tenfold.generation.plan_reading import read_batches
from tenfold.generation.plan_seeds import image_seed, with_distinct_noise
from tenfold.generation.plan_table import batch_starts, collect, with_image_ids, write_table
from tenfold.generation.prompt_plan import (
    FieldValues,
    Template,
    check_fields,
    facts_of,
    named_skin_type,
    offered_fields,
    prompt_for_skin_type,
)
from tenfold.generation.requests import ImageRequest

ROWS = [
    {"label": "mole", "site": "arm", "age": 45.0, "skin_type": 5, "skin_type_source": "given", "attr.lens": "a"},
    {"label": "mole", "site": "leg", "age": 20.0, "skin_type": 1, "skin_type_source": "estimated", "attr.lens": "b"},
    {"label": "mole", "site": None, "age": 3.0, "skin_type": None, "skin_type_source": None, "attr.lens": None},
]
SHARED = ImageRequest("text2img", "", "base", "0" * 64, "float32", None)


def _values(given: Any = None) -> FieldValues:
    return FieldValues(given or {}, ROWS, {"mole": "black mole"}, seed=4)


def test_a_template_speaks_of_what_is_known() -> None:
    template = Template("a photo of {class_noun}, on the {site}, {age} years old, {{x}}")
    values = {"class_noun": "mole", "site": "arm", "age": 45.0}
    assert template.fields == ("class_noun", "site", "age")
    assert template.filled(values) == "a photo of mole, on the arm, 45 years old, {x}"
    assert template.filled(values | {"site": None, "age": None}) == "a photo of mole, {x}"
    assert Template("a {b}", is_plain=True).filled({}) == "a {b}"
    with pytest.raises(DataError, match="nothing is left of the prompt"):
        Template("{site}").filled({"site": None})


def test_values_come_together_from_one_real_image() -> None:
    template = Template("{class_noun} {site} {age} {attr.lens}")
    found = {template.filled(_values().of_image(template, ("mole", n), None, None)) for n in range(40)}
    assert found == {"black mole arm 45 a", "black mole leg 20 b"}
    values = _values({"site": {"face": 1.0, "back": 0.0}})
    told = [values.of_image(template, ("mole", n), None, None) for n in range(20)]
    assert {one["site"] for one in told} == {"face"}
    assert told[3] == values.of_image(template, ("mole", 3), None, None)


def test_values_of_a_source_image_are_its_own_unless_given() -> None:
    template = Template("{class_noun}, {site}, {light}, {skin_phrase}")
    values = _values({"light": ("dim",)})
    told = values.of_image(template, ("mole", "id", 0), ROWS[0], None)
    assert template.filled(told) == "black mole, arm, dim, on dark skin, Fitzpatrick skin type V"
    assert facts_of(told) == {"site": "arm", "attr.light": "dim"}
    assert template.filled(values.of_image(template, ("mole", "id", 0), ROWS[2], None)) == "black mole, dim"
    assert template.filled(values.of_image(template, ("mole", "id", 0), ROWS[1], 6)).endswith("skin type VI")


def test_an_estimated_skin_type_is_in_no_prompt() -> None:
    template = Template("{class_noun}, Fitzpatrick skin type {skin_type}")
    assert template.filled(_values().of_image(template, ("mole", "id", 0), ROWS[1], None)) == "black mole"
    assert {_values().of_image(template, ("mole", n), None, None)["skin_type"] for n in range(9)} == {5}
    given = _values({"skin_type": {"2": 1}}).of_image(template, ("mole", 1), None, None)
    assert template.filled(given) == "black mole, Fitzpatrick skin type 2"


def test_the_skin_type_group_is_a_field() -> None:
    template = Template("{class_noun}, skin type {skin_type_group}")
    assert template.names_skin
    known = [{"label": "mole", "skin_type": None, "skin_type_group": "III-IV", "skin_type_source": "given"}]
    values = FieldValues({}, known, {}, seed=3)
    told = values.of_image(template, ("mole", 0), None, None)
    assert template.filled(told) == "mole, skin type III-IV"
    assert (told["skin_type"], facts_of(told)) == (None, {"skin_type_group": "III-IV"})
    asked = values.of_image(template, ("mole", 0), None, 5)
    assert (template.filled(asked), facts_of(asked)) == ("mole, skin type V-VI", {})
    given = FieldValues({"skin_type": (2,)}, known, {}, seed=3).of_image(template, ("mole", 0), None, None)
    assert (given["skin_type"], given["skin_type_group"]) == (2, "I-II")
    estimated = known[0] | {"skin_type_source": "estimated"}
    assert template.filled(values.of_image(template, ("mole", "id", 0), estimated, None)) == "mole"


def test_unknown_fields_and_values_are_told() -> None:
    with pytest.raises(DataError, match=r"there is no field \{class_nown\}[\s\S]*Did you mean \{class_noun\}"):
        check_fields([Template("a {class_nown}")], ["site"])
    with pytest.raises(DataError, match="no value is known for severity of mole"):
        template = Template("{severity}")
        _values().of_image(template, ("mole", 0), None, None)
    columns = ["image_id", "patient_id", "path", "site", "attr.lens", "caption", "sha256"]
    assert offered_fields(columns) == ["site", "attr.lens", "caption"]


def test_ages_that_are_words_become_another_fact() -> None:
    assert facts_of({"age": "young", "site": "arm", "label": "mole"}) == {"attr.age": "young", "site": "arm"}
    assert facts_of({"age": 45.0}) == {"age": "45"}


def test_a_prompt_changes_its_skin_type_and_nothing_else() -> None:
    prompt = "a photo of ohwx mole, red, on light skin, Fitzpatrick skin type II"
    assert prompt_for_skin_type(prompt, None) == prompt
    assert prompt_for_skin_type(prompt, 6) == "a photo of ohwx mole, red, on dark skin, Fitzpatrick skin type VI"
    assert [named_skin_type(text) for text in (prompt, prompt_for_skin_type(prompt, 6), "a mole")] == [2, 6, None]


def test_counts_of_labels_and_prompts() -> None:
    texts = {"a": ["x", "y"], "b": ["z"]}
    real = {"a": 3, "b": 10}
    assert label_counts(Amount(balance_to="largest"), texts, real, seed=1) == {"a": 7}
    assert label_counts(Amount(total=1000), texts, real, seed=1) == {"a": 500, "b": 500}
    assert label_counts(Amount(total=1000, class_weights={"a": 0}), texts, real, seed=1) == {"b": 1000}
    assert sum(shares(458_920, [624, 480, 452, 446, 398, 337, 326, 324, 312])) == 458_920
    drawn = prompt_counts(Amount(images_per_prompt=(30, 50)), "a", [f"prompt {n}" for n in range(200)], seed=1)
    assert (min(drawn), max(drawn)) == (30, 50)
    assert drawn[7] == prompt_counts(Amount(images_per_prompt=(30, 50)), "a", ["prompt 7"], seed=1)[0]
    for amount in (Amount(balance_to=2), Amount(total=2, class_weights={"a": 0, "b": 0})):
        with pytest.raises(DataError, match=r"no image at all|all weights are 0"):
            label_counts(amount, texts, real, seed=1)


def test_weights_are_kept_by_every_beginning() -> None:
    order = in_turn([3.0, 1.0], 40)
    assert order.count(0) == 30 and in_turn([3.0, 1.0], 8) == order[:8]
    assert in_turn([0.1] * 3, 30) == [0, 1, 2] * 10


def _table(numbers: list[int], seeds: list[int], labels: list[str] | None = None) -> pa.Table:
    listed = labels or ["a"] * len(seeds)
    return collect({"label": label, "seed": seed, "number": number}
                   for label, seed, number in zip(listed, seeds, numbers, strict=True))  # fmt: skip


def test_seeds_that_start_the_same_noise_are_derived_anew() -> None:
    seeds = [5 + (7 << 32), 5, 9, 5 + (1 << 32)]
    found = with_distinct_noise(_table([1, 0, 2, 3], seeds), 4)["seed"].to_pylist()
    assert found[1:3] == [5, 9]
    assert found[0] != seeds[0] and found[3] != seeds[3]
    assert len({seed & 0xFFFFFFFF for seed in found}) == 4
    shorter = with_distinct_noise(_table([1, 0, 2], seeds[:3]), 4)["seed"].to_pylist()
    assert shorter == found[:3]
    other = with_distinct_noise(_table([0, 0], [5, 5], ["b", "a"]), 4)["seed"].to_pylist()
    assert other[1] == 5 != other[0]


def test_second_passes_never_share_the_first_ones_noise() -> None:
    rows = [{"label": "a", "seed": 3, "outpaint_seed": 3 + (1 << 32), "number": 0}]
    found = with_distinct_noise(collect(rows), 4)
    assert found["seed"].to_pylist() == [3] and found["outpaint_seed"].to_pylist()[0] & 0xFFFFFFFF != 3


def test_a_large_plan_has_collisions_and_mends_them() -> None:
    count = 120_000
    seeds = [image_seed(4, "seed", ("a", number)) for number in range(count)]
    low = np.asarray(seeds) & 0xFFFFFFFF
    assert len(np.unique(low)) < count
    mended = with_distinct_noise(_table(list(range(count)), seeds), 4)["seed"].to_numpy()
    assert len(np.unique(mended & 0xFFFFFFFF)) == count
    assert 0 < (mended != np.asarray(seeds)).sum() < 10


def test_row_groups_are_cut_between_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.generation.plan_table.ROW_GROUP_ROWS", 10)
    table = with_image_ids(_table(list(range(50)), list(range(50))), SHARED)
    starts = batch_starts(table, 4, apart=())
    write_table(tmp_path / "plan.parquet", table, SHARED, starts)
    assert pa.parquet.ParquetFile(tmp_path / "plan.parquet").num_row_groups == 6
    batches = list(read_batches(tmp_path / "plan.parquet", [12, 2, 3]))
    assert [batch.number for batch in batches] == [2, 3, 12]
    assert [request.seed for batch in batches for request in batch.requests] == [*range(8, 16), 48, 49]
    assert [request.image_id for request in batches[0].requests] == table["image_id"].to_pylist()[8:12]
    with pytest.raises(DataError, match="no batch 13"):
        list(read_batches(tmp_path / "plan.parquet", [13]))
    (tmp_path / "plan.parquet").write_bytes(b"half")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_batches(tmp_path / "plan.parquet", [0]))
