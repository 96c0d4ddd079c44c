"""Label errors and outliers: planted ones are found, few others are."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.intake.checks.label_errors import label_errors
from tenfold.intake.checks.outcome import Outcome
from tenfold.intake.checks.outliers import outliers
from tests.unit.intake.checks.made_material import blobs_of_classes, made_material, made_measures

TRUTH = ["bcc", "df", "vasc"] * 60


def flagged(outcome: Outcome) -> set[str]:
    return {finding.image_id for finding in outcome.findings if finding.is_flagged}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_flips_are_found(seed: int) -> None:
    flips = np.random.default_rng(seed).choice(len(TRUTH), 12, replace=False)
    labels = list(TRUTH)
    for place in flips:
        labels[place] = {"bcc": "df", "df": "vasc", "vasc": "bcc"}[labels[place]]
    material = made_material(labels)
    outcome = label_errors(material, made_measures(blobs_of_classes(TRUTH, seed, distance=5.0)), 5, seed)
    wrong = {material.image_ids[place] for place in flips}
    found = flagged(outcome)
    assert outcome.row.state == "look" and outcome.row.n_flagged == len(found)
    assert len(found & wrong) >= 9, "at least 9 of 12 planted flips"
    assert len(found - wrong) <= 3, "few others"
    first = outcome.suspects[0]
    assert "looks like" in first.detail and first.score > 0.9
    assert outcome.suspects == tuple(sorted(outcome.suspects, key=lambda s: (-s.score, s.image_id)))
    evidence = next(finding.evidence_ids for finding in outcome.findings if finding.image_id == first.image_id)
    assert len(evidence) == 3


def test_clean_labels_are_hardly_doubted() -> None:
    outcome = label_errors(made_material(TRUTH), made_measures(blobs_of_classes(TRUTH)), 5, 0)
    assert len(flagged(outcome)) <= 2
    assert len(outcome.findings) == len(TRUTH)
    assert all(0 <= finding.score <= 1 for finding in outcome.findings)


def test_features_that_tell_nothing_doubt_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=(len(TRUTH), 12))
    outcome = label_errors(made_material(TRUTH), made_measures(noise), 5, 0)
    assert outcome.row.state == "not_checked" and not flagged(outcome)
    assert "too few for their doubts" in outcome.row.sentence and "95 % interval" in outcome.row.sentence


def test_a_class_of_four_images_is_left_out_and_named() -> None:
    labels = [*TRUTH, *["basophil"] * 4]
    outcome = label_errors(made_material(labels, splits=["train"] * 184), made_measures(blobs_of_classes(labels)), 5, 0)
    assert "Left out, with fewer than 5 groups: basophil" in outcome.row.sentence
    assert len(outcome.findings) == len(TRUTH)
    two = ["a"] * 20 + ["b"] * 4
    short = label_errors(made_material(two, splits=["train"] * 24), made_measures(blobs_of_classes(two)), 5, 0)
    assert short.row.state == "not_checked" and "b have fewer" in short.row.sentence


def test_planted_outliers_are_found() -> None:
    features = blobs_of_classes(TRUTH)
    features[[5, 50]] += 40.0
    features[50] *= -1
    material = made_material(TRUTH)
    outcome = outliers(material, made_measures(features))
    assert flagged(outcome) == {material.image_ids[5], material.image_ids[50]}
    assert outcome.row.state == "look" and "times as far" in outcome.suspects[0].detail


def test_no_outliers_where_none_were_planted() -> None:
    for seed in range(5):
        outcome = outliers(made_material(TRUTH), made_measures(blobs_of_classes(TRUTH, seed)))
        assert len(flagged(outcome)) <= 1


def test_a_patient_of_many_strange_images_is_an_outlier_all_the_same() -> None:
    features = blobs_of_classes(TRUTH)
    features[:8] = features[0] + 40.0 + np.random.default_rng(0).normal(size=(8, 12)) * 0.01
    patients = [f"p{0 if number < 8 else number}" for number in range(len(TRUTH))]
    material = made_material(TRUTH, columns={"patient_id": patients})
    assert flagged(outliers(material, made_measures(features))) >= set(material.image_ids[:8])


def test_few_groups_tell_no_outliers() -> None:
    material = made_material(["a", "b"] * 6)
    outcome = outliers(material, made_measures(blobs_of_classes(["a", "b"] * 6)))
    assert outcome.row.state == "not_checked" and "12 groups; 20 are needed" in outcome.row.sentence
