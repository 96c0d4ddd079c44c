"""Anybody's tables become models on one test set, and what cannot be judged is refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import InputError
from tenfold.data.split_seal import hash_test_rows
from tenfold.evaluation.given_predictions import read_given
from tests.prediction_files import LABELS, make_manifest_table, make_predictions

Change = Callable[[pd.DataFrame], pd.DataFrame]
PROB, LOGIT = [f"prob.{label}" for label in LABELS], [f"logit.{label}" for label in LABELS]


@pytest.fixture
def manifest() -> pd.DataFrame:
    return make_manifest_table(12, validation=3)


def write(folder: Path, manifest: pd.DataFrame | None, *tables: pd.DataFrame) -> tuple[list[Path], Path | None]:
    files = []
    for number, table in enumerate(tables):
        files.append(folder / f"model{number}.csv")
        table.to_csv(files[-1], index=False)
    if manifest is None:
        return files, None
    path = folder / "images.csv"
    manifest.to_csv(path, index=False)
    return files, path


def test_images_patients_and_runs_are_found_whatever_the_order_of_rows(tmp_path: Path, manifest: pd.DataFrame) -> None:
    runs = [make_predictions(manifest, seed=seed).assign(classifier_seed=seed) for seed in (10, 9)]
    shuffled = pd.concat(runs).sample(frac=1, random_state=0)
    given = read_given(*write(tmp_path, manifest, shuffled))
    test = manifest[manifest["split"] == "test"]
    assert given.labels == LABELS
    assert given.image_ids == tuple(sorted(test["image_id"]))
    assert len(np.unique(given.patients)) == 12
    assert given.has_repeats
    (model,) = given.models
    assert model.name == "model0"
    assert len(model.runs) == 2
    first = runs[1].set_index("image_id").loc[list(given.image_ids)]
    np.testing.assert_allclose(model.runs[0].test.probs, first[PROB])  # seed 9 before seed 10
    assert model.runs[0].validation is not None
    assert len(model.runs[0].validation.truth) == 6


def test_logits_alone_do_and_probabilities_alone_do(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = make_predictions(manifest)
    from_logits = read_given(*write(tmp_path, manifest, table.drop(columns=PROB)))
    from_probs = read_given(*write(tmp_path, manifest, table.drop(columns=LOGIT)))
    pair = [given.models[0].runs[0].test for given in (from_logits, from_probs)]
    np.testing.assert_allclose(pair[0].probs, pair[1].probs, atol=1e-9)
    np.testing.assert_allclose(pair[1].logits, np.log(pair[1].probs), atol=1e-9)
    assert any("logit" in note for note in from_probs.notes)


def test_models_are_named_by_what_tells_them_apart(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = make_predictions(manifest)
    arms = [
        table.assign(arm=arm, model="net", training_size=size, classifier_seed=0)
        for arm in ("real", "hybrid") for size in (5.0, 10.0)
    ]  # fmt: skip
    given = read_given(*write(tmp_path, manifest, pd.concat(arms)))
    assert [model.name for model in given.models] == [
        "real, 5 a class", "real, 10 a class", "hybrid, 5 a class", "hybrid, 10 a class",
    ]  # fmt: skip
    assert given.models[0].settings == {"arm": "real", "model": "net", "training_size": "5"}


def test_files_of_one_arm_and_seed_are_told_apart_by_their_names(tmp_path: Path, manifest: pd.DataFrame) -> None:
    pair = [make_predictions(manifest, seed=seed).assign(model="net") for seed in (0, 1)]
    given = read_given(*write(tmp_path, manifest, *pair))
    assert [model.name for model in given.models] == ["model0", "model1"]


def test_labels_and_split_come_from_the_manifest_where_the_table_has_none(
    tmp_path: Path, manifest: pd.DataFrame
) -> None:
    table = make_predictions(manifest).drop(columns=["label", "split"])
    given = read_given(*write(tmp_path, manifest, table))
    assert len(given.image_ids) == 24
    assert any("images.csv was taken" in note for note in given.notes)


def test_without_manifest_and_split_every_row_is_a_test_image_of_its_own(
    tmp_path: Path, manifest: pd.DataFrame
) -> None:
    table = make_predictions(manifest).drop(columns="split")
    given = read_given(*write(tmp_path, None, table))
    assert len(given.image_ids) == len(manifest)
    assert not given.has_patients
    assert not given.models[0].has_validation
    notes = " ".join(given.notes)
    for words in ("every row counts as a test image", "no patient_id", "No validation rows"):
        assert words in notes


def test_a_column_of_anybodys_becomes_an_attribute(tmp_path: Path, manifest: pd.DataFrame) -> None:
    given = read_given(*write(tmp_path, manifest.assign(source="archive"), make_predictions(manifest)))
    assert {"attr.hospital", "attr.source", "sex"} <= set(given.manifest.columns)


def with_value(column: str, value: object, rows: int = 1) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        changed = table.astype({column: object})
        changed.iloc[:rows, changed.columns.get_loc(column)] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_value("logit.nevus", float("nan"), 2), "2 of 30 rows hold logits that are no finite numbers"),
        (with_value("prob.nevus", "high"), "1 of 30 rows hold probabilities that are no finite numbers"),
        (with_value("prob.nevus", 0.9999, 30), "not to 1"),
        (with_value("prob.nevus", -0.2), "below 0 or above 1"),
        (lambda table: pd.concat([table, table.iloc[:3]]), "3 images are predicted twice"),
        (with_value("image_id", "stranger"), "1 predicted images are not in the manifest: stranger"),
        (with_value("label", "wart", 2), "labels that the model cannot name: wart (2)"),
        (with_value("label", "nevus"), "another label than in the manifest: im0000_0 is nevus here, melanoma there"),
        (with_value("split", "val"), "another split than in the manifest"),
        (lambda table: table.iloc[2:], "2 of the 24 test images of these classes have no prediction"),
        (lambda table: table[table["split"] == "val"], "no row belongs to the test set"),
        (lambda table: table.drop(columns=[*PROB, *LOGIT]), "no prob.<class> and no logit.<class>"),
        (lambda table: table[["image_id", "label", "prob.nevus"]], "one class only: nevus"),
        (lambda table: table.drop(columns="image_id"), "no column image_id"),
        (lambda table: table.iloc[:0], "has no rows"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(tmp_path: Path, manifest: pd.DataFrame, change: Change, words: str) -> None:
    files, path = write(tmp_path, manifest, change(make_predictions(manifest)))
    with pytest.raises(InputError) as caught:
        read_given(files, path)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_several_faults_are_told_at_once(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = with_value("label", "wart")(with_value("image_id", "stranger")(make_predictions(manifest)))
    with pytest.raises(InputError, match="2 faults"):
        read_given(*write(tmp_path, manifest, table))


def test_synthetic_images_are_no_test_images(tmp_path: Path, manifest: pd.DataFrame) -> None:
    sources = ["synthetic"] * 4 + ["real"] * (len(manifest) - 4)
    with pytest.raises(InputError, match="4 test or validation images are synthetic"):
        read_given(*write(tmp_path, manifest.assign(source=sources), make_predictions(manifest)))


def test_one_class_among_the_test_images_is_refused(tmp_path: Path, manifest: pd.DataFrame) -> None:
    one = manifest[manifest["label"] == "nevus"]
    with pytest.raises(InputError, match="all 8 test images are nevus"):
        read_given(*write(tmp_path, one, make_predictions(one)))


def test_a_class_without_test_images_is_told(tmp_path: Path, manifest: pd.DataFrame) -> None:
    two = manifest[manifest["label"] != "nevus"]
    given = read_given(*write(tmp_path, two, make_predictions(two)))
    assert any(note.startswith("No test image of nevus") for note in given.notes)


def test_another_test_set_is_refused_by_its_hash(tmp_path: Path, manifest: pd.DataFrame) -> None:
    sealed = manifest.assign(sha256=[f"{number:064x}" for number in range(len(manifest))])
    table = make_predictions(sealed).assign(test_sha256=hash_test_rows(sealed))
    files, path = write(tmp_path, sealed, table)
    assert read_given(files, path).test_sha256 == hash_test_rows(sealed)
    changed = sealed.assign(sha256=sealed["sha256"].where(sealed["image_id"] != "im0000_0", "f" * 64))
    changed.to_csv(tmp_path / "images.csv", index=False)
    with pytest.raises(InputError, match="different test sets"):
        read_given(files, path)


def test_models_tested_on_different_images_are_refused_by_the_hash_of_their_ids(
    tmp_path: Path, manifest: pd.DataFrame
) -> None:
    table = make_predictions(manifest)
    files, _ = write(tmp_path, None, table, table[table["image_id"] != "im0001_0"])
    with pytest.raises(InputError, match=r"tested on other images than model0: 1 images .*im0001_0 \(hashes of"):
        read_given(files, None)


def test_a_copy_of_a_file_and_other_classes_are_refused(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = make_predictions(manifest)
    with pytest.raises(InputError, match="the same file is given twice"):
        read_given(*write(tmp_path, manifest, table, table))
    renamed = table.rename(columns=lambda name: name.replace("nevus", "mole"))
    with pytest.raises(InputError, match="the classes are melanoma, mole, psoriasis"):
        read_given(*write(tmp_path, manifest, table, renamed))


def test_rounded_probabilities_add_up_again(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = make_predictions(manifest).drop(columns=LOGIT)
    table[PROB] = table[PROB].round(2)
    probs = read_given(*write(tmp_path, manifest, table)).models[0].runs[0].test.probs
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-6)


def test_classes_in_another_order_are_brought_in_line(tmp_path: Path, manifest: pd.DataFrame) -> None:
    table = make_predictions(manifest)
    turned = table[["image_id", "label", "split", *reversed(PROB), *reversed(LOGIT)]]
    given = read_given(*write(tmp_path, manifest, table, turned))
    pair = [model.runs[0].test for model in given.models]
    np.testing.assert_array_equal(pair[0].probs, pair[1].probs)
    np.testing.assert_array_equal(pair[0].logits, pair[1].logits)
