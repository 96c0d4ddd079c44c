"""Safeguards are checked from the files, and a broken one is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tenfold.evaluation.contents import OriginRow
from tenfold.evaluation.design_contents import ArmDesign
from tenfold.reports import guards
from tenfold.reports.reading import StudyFiles, read_study
from tests.report_workspace import SET, TEST_SHA256, make_evaluation, make_report_workspace


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    folder: Path = tmp_path_factory.mktemp("guards") / "workspace"
    return read_study(make_report_workspace(folder), "main")


def real(files: StudyFiles) -> pd.DataFrame:
    assert files.manifest is not None
    return files.manifest.copy()


def test_a_patient_on_two_sides_is_told(files: StudyFiles) -> None:
    manifest = real(files)
    assert guards.check_groups(manifest).state == "kept"
    manifest.loc[manifest["patient_id"] == "p0", "split"] = ["train", "test"]
    found = guards.check_groups(manifest)
    assert found.state == "attention"
    assert "group_id in more than one split: 1" in found.text


def test_data_without_groups_are_told(files: StudyFiles) -> None:
    manifest = real(files)
    manifest[["patient_id", "group_id", "lesion_id"]] = pd.NA
    assert guards.check_groups(manifest).state == "attention"


@pytest.mark.parametrize(
    ("sealed", "state"),
    [(None, "not_shown"), ({"test_sha256": TEST_SHA256}, "kept"), ({"test_sha256": "other"}, "attention")],
)
def test_the_seal_is_compared(sealed: dict[str, str] | None, state: str) -> None:
    assert guards.check_seal(make_evaluation(), sealed).state == state


def test_a_generator_that_saw_test_images_is_told(files: StudyFiles) -> None:
    manifest = real(files)
    train, test = (manifest.loc[manifest["split"] == split, "image_id"].tolist() for split in ("train", "test"))
    assert guards.check_generator(["strict"], {"a": train}, manifest).state == "kept"
    wider = guards.check_generator(["pooled", "strict"], {"a": train}, manifest)
    assert (wider.state, "Budget pooled beside strict" in wider.text) == ("attention", True)
    found = guards.check_generator(["strict"], {"a": [*train, test[0]]}, manifest)
    assert (found.state, "1 image outside" in found.text) == ("attention", True)
    assert guards.check_generator(["strict"], {}, manifest).state == "not_shown"


def test_an_archive_may_hold_images_of_no_split_but_no_test_image(files: StudyFiles) -> None:
    manifest = real(files)
    ids = manifest["image_id"].tolist()
    unsplit = manifest.assign(split=manifest["split"].where(manifest["image_id"] != ids[0]))
    train = manifest.loc[manifest["split"] == "train", "image_id"].tolist()
    seen = {"a": [ids[0], *train]}
    assert "outside" not in guards.check_generator(["archive"], seen, unsplit).text
    assert "1 image outside" in guards.check_generator(["strict"], seen, unsplit).text
    test = manifest.loc[manifest["split"] == "test", "image_id"].tolist()
    assert "1 image outside" in guards.check_generator(["archive"], {"a": [test[0]]}, unsplit).text


def test_unequal_shares_want_a_control_with_equal_ones() -> None:
    evaluation = make_evaluation()
    first, *rest = (row for row in evaluation.origins if row.arm == "hybrid")
    origins = (replace(first, synthetic_images=2 * first.synthetic_images), *rest)
    found = guards.check_origin(replace(evaluation, origins=origins))
    assert (found.state, "no control with equal shares" in found.text) == ("attention", True)
    # Batches of an origin-balanced arm hold the same share of every class, whatever the number of its images.
    design = ArmDesign(
        arm="hybrid", base_arm="hybrid", training_size=8, description="", strategy="text2img", synthetic_ratio=10.0,
        synthetic_share=0.25, transforms="paper", generator_budget="strict", generator="fine_tuned", schedule="mixed",
        weighting="none", review="filtered", balance_by=None, synthetic_labels=(), is_origin_balanced=True,
        is_fresh=False, is_duplicated=False,
    )  # fmt: skip
    found = guards.check_origin(replace(evaluation, origins=origins, designs=(design,)))
    assert (found.state, "differ between classes" in found.text) == ("kept", False)


def test_synthetic_rows_are_checked(files: StudyFiles) -> None:
    manifest, rows = real(files), files.synthetic[SET]
    assert guards.check_synthetic_rows(files.synthetic, manifest).state == "kept"
    assert guards.check_synthetic_rows({}, manifest).state == "not_shown"
    assert guards.check_synthetic_rows({SET: rows.assign(split="test")}, manifest).state == "attention"
    assert guards.check_synthetic_rows({SET: rows.assign(ancestors=pd.NA)}, manifest).state == "attention"
    assert guards.check_synthetic_rows({SET: rows.assign(ancestors='["0000"]')}, manifest).state == "attention"


def test_a_class_told_by_its_origin_is_told() -> None:
    evaluation = make_evaluation()
    assert guards.check_origin(evaluation).state == "kept"
    confounded = OriginRow("hybrid", 8, evaluation.labels[0], 0.0, 0.0, 80.0)
    found = guards.check_origin(replace(evaluation, origins=(confounded, *evaluation.origins)))
    assert found.state == "attention"
    assert "Real + synthetic" in found.text
    assert guards.check_origin(replace(evaluation, origins=())).state == "not_shown"


def test_unequal_training_is_told(files: StudyFiles) -> None:
    configs = list(files.classifiers.values())
    kept = guards.check_equal_training(configs)
    assert kept.state == "kept" and "the embedded archive's" in kept.text
    started = guards.check_equal_training([{**configs[0], "model": "resnet18", "weights": "some/where/w.safetensors"}])
    assert "of the file w.safetensors" in started.text and "some/where" not in started.text
    found = guards.check_equal_training([*configs, {**configs[0], "max_train_steps": 9}])
    assert (found.state, "steps" in found.text) == ("attention", True)
    assert guards.check_equal_training([]).state == "not_shown"


def test_few_repetitions_are_told() -> None:
    evaluation = make_evaluation()
    few = tuple(replace(row, difference=replace(row.difference, n_seeds=3)) for row in evaluation.comparisons)
    assert guards.check_seeds(evaluation, "patient").state == "kept"
    assert guards.check_seeds(replace(evaluation, comparisons=few), "patient").state == "attention"
    assert guards.check_seeds(replace(evaluation, comparisons=()), "patient").state == "not_shown"


def test_without_patient_ids_groups_are_named() -> None:
    evaluation = make_evaluation()
    assert guards.check_seeds(evaluation, "group").name == "Uncertainty counts groups and repetitions"


def test_the_split_of_groups_is_not_called_one_of_patients(files: StudyFiles) -> None:
    manifest = real(files)
    assert guards.check_groups(manifest).name == "Patients stay on one side of the split"
    manifest["patient_id"] = pd.NA
    assert guards.check_groups(manifest).name == "Groups stay on one side of the split"
