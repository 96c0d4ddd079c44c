"""DreamBooth's images: prompts, refused rows, prior images, and an order that needs no memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import DataError, TenfoldError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import make_manifest, read_manifest, write_manifest
from tenfold.finetuning.datasets import (
    BalancedOrder,
    Wording,
    choose_wording,
    load_image_set,
    read_rows,
    sorted_labels,
)
from tenfold.finetuning.prior_images import read_prior_images
from tests.tiny_data import ids_of, make_tiny_workspace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _wording(**options: Any) -> Wording:
    chosen: dict[str, Any] = {"nouns": {}, "identifiers": None, "shared_noun": None, "captions": "manifest"}
    return choose_wording(["mole", "rash"], **(chosen | options))


ROW = {"label": "rash", "caption": "a photo of rash, red, scaly", "skin_type": 5, "site": "arm"}


def test_prompts_insert_the_identifier_into_the_caption() -> None:
    assert _wording().prompt(ROW) == "a photo of zwxq rash, red, scaly"
    assert _wording(shared_noun="skin lesion").prompt(ROW) == "a photo of zwxq skin lesion, red, scaly"
    assert _wording(identifiers={"mole": "abc", "rash": "xyz"}).prompt(ROW) == "a photo of xyz rash, red, scaly"


def test_prompts_without_a_caption_tell_what_the_row_knows() -> None:
    expected = "a photo of zwxq rash, on the arm, on dark skin, Fitzpatrick skin type V"
    assert _wording(captions="template").prompt(ROW) == expected
    assert _wording().prompt({**ROW, "caption": None}) == expected


def test_a_caption_made_at_import_follows_the_noun_given_now() -> None:
    row = {**ROW, "caption": "a photo of rash, on the arm", "attr.caption_source": "template"}
    assert _wording(nouns={"rash": "warts"}).prompt(row).startswith("a photo of zwxq warts, on the arm")


def test_clinical_captions_are_kept_whole() -> None:
    row = {**ROW, "caption": "Many early stage small warts"}
    assert _wording(nouns={"rash": "warts"}).prompt(row) == "a photo of zwxq warts, Many early stage small warts"


@pytest.mark.parametrize("identifiers", [{"mole": "abc"}, {"mole": "abc", "rash": "abc"}])
def test_identifiers_must_tell_the_labels_apart(identifiers: dict[str, str]) -> None:
    with pytest.raises(DataError, match="do not tell the labels apart"):
        _wording(identifiers=identifiers)


def test_rows_come_in_the_order_of_their_ids(tiny: Workspace) -> None:
    ids = tuple(reversed(ids_of(tiny, "train")))
    rows = read_rows(tiny, ids, allowed_splits=("train",))
    assert [row["image_id"] for row in rows] == list(ids)
    assert sorted_labels(rows) == ["mole", "rash"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_images_of_other_splits_are_refused(tiny: Workspace, split: str) -> None:
    with pytest.raises(TenfoldError, match=f"of the split {split}"):
        read_rows(tiny, [*ids_of(tiny, "train"), ids_of(tiny, split)[0]], allowed_splits=("train",))


def test_unknown_and_repeated_ids_are_refused(tiny: Workspace) -> None:
    one = ids_of(tiny, "train")[0]
    with pytest.raises(DataError, match="more than once"):
        read_rows(tiny, [one, one], allowed_splits=("train",))
    with pytest.raises(DataError, match="not in the manifest"):
        read_rows(tiny, ["0" * 16], allowed_splits=("train",))


def test_images_are_scaled_to_the_checkpoint(tiny: Workspace) -> None:
    rows = read_rows(tiny, ids_of(tiny, "train")[:3], allowed_splits=("train",))
    assert load_image_set(tiny, rows, ["a"] * 3, 32).images.shape == (3, 32, 32, 3)
    assert load_image_set(tiny, rows, ["a"] * 3, 16).images.shape == (3, 16, 16, 3)


def test_the_order_is_balanced_complete_and_independent_of_batches() -> None:
    labels = ["a"] * 6 + ["b"] * 2 + ["c"]
    order = BalancedOrder(labels, seed=3)
    drawn = np.concatenate([order.batch(step, 6) for step in range(9)])
    counts = Counter(np.array(labels)[drawn])
    assert counts == {"a": 18, "b": 18, "c": 18}
    assert Counter(drawn[drawn < 6]) == {index: 3 for index in range(6)}
    again = BalancedOrder(labels, seed=3)
    assert np.array_equal(np.concatenate([again.batch(step, 9) for step in range(6)]), drawn)
    assert np.array_equal(BalancedOrder(labels, seed=3).batch(7, 6), drawn[42:48])
    assert not np.array_equal(BalancedOrder(labels, seed=4).batch(0, 54), drawn)


def _write_prior(workspace: Workspace, changes: dict[str, Any]) -> str:
    real = read_manifest(workspace.path / "data/manifest.parquet")
    row = {"image_id": "a" * 16, "path": real["path"][0], "label": "prior", "source": "synthetic", "split": "train",
           "prompt": "a photo of skin", "ancestors": "[]", **changes}  # fmt: skip
    write_manifest(make_manifest([row]), workspace.path / "synthetic/prior/manifest.parquet")
    return "synthetic/prior/manifest.parquet"


def test_prior_images_bring_their_prompts(tiny: Workspace) -> None:
    own = ids_of(tiny, "train")[0]
    path = _write_prior(tiny, {"ancestors": f'["{own}"]'})
    prior = read_prior_images(tiny, path, training_ids=[own], image_size_px=32)
    assert (prior.prompts, prior.labels, prior.images.shape) == (("a photo of skin",), ("prior",), (1, 32, 32, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "real"}, "not prior images"),
        ({"prompt": None}, "not prior images"),
        ({"ancestors": '["0123456789abcdef"]'}, "descends from real images outside"),
        ({"ancestors": None}, "descends from real images outside"),
    ],
)
def test_other_images_are_no_prior(tiny: Workspace, changes: dict[str, Any], message: str) -> None:
    path = _write_prior(tiny, changes)
    with pytest.raises(DataError, match=message):
        read_prior_images(tiny, path, training_ids=["b" * 16], image_size_px=32)


def test_an_empty_prior_is_refused(tiny: Workspace, tmp_path: Path) -> None:
    write_manifest(make_manifest([]), tiny.path / "synthetic/empty/manifest.parquet")
    assert isinstance(make_manifest([]), pd.DataFrame)
    with pytest.raises(DataError, match="not prior images"):
        read_prior_images(tiny, "synthetic/empty/manifest.parquet", training_ids=[], image_size_px=32)
