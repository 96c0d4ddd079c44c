"""Which images a cell may use: leaks, foreign ancestors and origin = label are refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tenfold.classification.selection import CellImages, check_budget, choose_images, origin_confound
from tenfold.core.errors import DataError, DesignError, FaultsError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace, make_synthetic, real_rows


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_blob_workspace(tmp_path_factory.mktemp("blobs") / "workspace")


def chosen(workspace: Workspace, **changes: object) -> CellImages:
    arguments: dict[str, object] = {
        "train_ids": ids_of(workspace, "train", per_class=4),
        "validation_ids": ids_of(workspace, "val", per_class=2),
        "extra_ids": (),
        "extra": (),
    }
    return choose_images(real_rows(workspace), "ab" * 32, **(arguments | changes))  # type: ignore[arg-type]


def synthetic(workspace: Workspace, name: str, ancestors: tuple[str, ...], **kwargs: object) -> pd.DataFrame:
    return read_manifest(workspace.resolve(make_synthetic(workspace, name, ancestors, **kwargs)))  # type: ignore[arg-type]


def test_counts_by_origin_and_real_images_in_all(blobs: Workspace) -> None:
    train, ten = ids_of(blobs, "train", per_class=4), ids_of(blobs, "train", per_class=10)
    more = tuple(sorted(set(ten) - set(train)))
    images = chosen(blobs, extra_ids=more, extra=[synthetic(blobs, "counted", train[:3], per_class=5)])
    by_origin = images.images_by_origin()
    assert by_origin["real"] == dict.fromkeys(LABELS, 4)
    assert by_origin["extra_real"] == dict.fromkeys(LABELS, 6)
    assert by_origin["synthetic"] == dict.fromkeys(LABELS, 5)
    assert images.real_images_total() == 30 + 6  # training and extra, validation; the ancestors are among them
    assert set(images.test["split"]) == {"test"} and len(images.test) == 18


def test_synthetic_only_counts_what_its_generator_saw(blobs: Workspace) -> None:
    ancestors = ids_of(blobs, "train", per_class=4)
    images = chosen(blobs, train_ids=(), extra=[synthetic(blobs, "alone", ancestors)])
    assert images.real_images_total() == 12 + 6
    assert origin_confound(images, LABELS, is_allowed=False) is False
    check_budget(images)


def test_images_of_the_wrong_split_are_all_named(blobs: Workspace) -> None:
    test, val = ids_of(blobs, "test", per_class=1), ids_of(blobs, "val", per_class=1)
    with pytest.raises(FaultsError) as raised:
        chosen(blobs, train_ids=test, extra_ids=val, validation_ids=("0" * 16,))
    text = str(raised.value)
    for part in ("train_ids are not in the split train", "extra_ids are not in the split train", "validation_ids"):
        assert part in text


def test_a_synthetic_image_of_a_test_image_is_a_leak(blobs: Workspace) -> None:
    leaking = synthetic(blobs, "leak", ids_of(blobs, "test", per_class=1))
    with pytest.raises(DataError, match="outside the training split"):
        chosen(blobs, extra=[leaking])


def test_synthetic_images_marked_for_testing_or_of_other_classes_are_refused(blobs: Workspace) -> None:
    rows = synthetic(blobs, "wrong", ids_of(blobs, "train", per_class=1))
    with pytest.raises(DataError, match="marked for validation or test"):
        chosen(blobs, extra=[rows.assign(split="test")])
    with pytest.raises(DataError, match="other classes: nevus"):
        chosen(blobs, extra=[rows.assign(label="nevus")])
    with pytest.raises(FaultsError, match="holds real images"):
        chosen(blobs, extra=[rows.assign(source="real", ancestors=pd.NA)])


def test_validation_must_hold_every_class(blobs: Workspace) -> None:
    with pytest.raises(DataError, match="no validation image of"):
        chosen(blobs, validation_ids=ids_of(blobs, "val", per_class=2)[:1])


def test_quarantined_images_are_left_out(blobs: Workspace) -> None:
    rows = synthetic(blobs, "screened", ids_of(blobs, "train", per_class=1), per_class=4)
    rows.loc[1, "quarantine_reason"] = "memorized"
    assert len(chosen(blobs, extra=[rows]).extra) == 11


def test_strict_budget_refuses_foreign_ancestors(blobs: Workspace) -> None:
    foreign = set(ids_of(blobs, "train", per_class=5)) - set(ids_of(blobs, "train", per_class=4))
    images = chosen(blobs, extra=[synthetic(blobs, "foreign", tuple(foreign))])
    with pytest.raises(DesignError, match="the generator saw 3 real images that this arm does not train on"):
        check_budget(images)


def test_a_class_without_real_images_is_told_by_its_origin(blobs: Workspace, tmp_path: Path) -> None:
    rows = real_rows(blobs)
    ids = ids_of(blobs, "train", per_class=4)
    amber = set(rows.loc[rows["label"] == "amber", "image_id"])
    images = chosen(blobs, train_ids=tuple(i for i in ids if i not in amber), extra=[synthetic(blobs, "odd", ids)])
    with pytest.raises(DesignError, match="amber would be all synthetic"):
        origin_confound(images, LABELS, is_allowed=False)
    assert origin_confound(images, LABELS, is_allowed=True) is True
