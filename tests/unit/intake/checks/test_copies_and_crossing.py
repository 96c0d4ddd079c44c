"""Duplicates, one picture under two labels, and groups across splits, with planted faults."""

from __future__ import annotations

import numpy as np

from tenfold.intake.checks.crossing import split_crossing, upstream_crossing
from tenfold.intake.checks.duplicates import (
    Copies,
    duplicate_outcome,
    find_copies,
    shown_clusters,
    two_label_outcome,
)
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.measures import Measures
from tenfold.intake.checks.near_copies import CopyLinks, clusters
from tests.unit.intake.checks.made_material import made_material, made_measures

LABELS = ["a", "b"] * 30


def copies_of(count: int, *pairs: tuple[int, int], is_by_hash: bool = False) -> Copies:
    first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    links = CopyLinks(first, second, np.full(len(pairs), 0.97), np.full(len(pairs), is_by_hash, dtype=np.bool_))
    best = np.zeros(count)
    best[first] = best[second] = 0.97
    return Copies(links, tuple(clusters(count, links)), best)


def planted(material: Material, *pairs: tuple[int, int]) -> Measures:
    """Measures in which the second of each pair shows the picture of the first."""
    measures = made_measures(np.random.default_rng(3).normal(size=(len(material.codes), 8)))
    for first, second in pairs:
        measures.features[second] = measures.features[first]
        measures.thumbnails[second] = measures.thumbnails[first]
    return measures


def test_planted_copies_are_found_with_evidence() -> None:
    material = made_material(LABELS)
    copies = find_copies(material, planted(material, (0, 2), (1, 4)), 0.98)
    outcome = duplicate_outcome(material, copies)
    assert outcome.row.state == "look" and outcome.row.n_flagged == 4
    flagged = {finding.image_id: finding for finding in outcome.findings if finding.is_flagged}
    ids = material.image_ids
    assert set(flagged) == {ids[0], ids[2], ids[1], ids[4]}
    assert flagged[ids[0]].evidence_ids == (ids[2],) and flagged[ids[0]].score > 0.9
    assert "found by features alone" in outcome.row.sentence
    assert len(outcome.findings) == len(LABELS)
    two = two_label_outcome(material, copies)
    assert two.row.state == "look" and two.row.n_flagged == 2 and "a and b" in two.row.sentence
    shown = shown_clusters(material, copies)
    assert [cluster.crosses for cluster in shown] == [("label",), ()]
    assert shown[0].labels == ("b", "a") and shown[0].kind == "near"


def test_a_set_without_copies_is_ok() -> None:
    material = made_material(LABELS)
    copies = find_copies(material, planted(material), 0.98)
    assert duplicate_outcome(material, copies).row.state == "ok"
    assert two_label_outcome(material, copies).row.state == "ok"
    assert shown_clusters(material, copies) == ()


def test_copies_of_one_group_are_no_worry_until_they_are_many() -> None:
    same = {"patient_id": [f"p{number // 2}" for number in range(60)]}
    material = made_material(["a", "a", "b", "b"] * 15, columns=same)
    few = duplicate_outcome(material, copies_of(60, (0, 1)))
    assert few.row.state == "ok" and "stays on one side" in few.row.sentence
    many = duplicate_outcome(material, copies_of(60, (0, 1), (2, 3)))
    assert many.row.state == "look"


def test_many_pictures_of_two_labels_stop() -> None:
    material = made_material(LABELS)
    outcome = two_label_outcome(material, copies_of(60, (0, 1), (2, 3)))
    assert outcome.row.state == "stop" and "no figure means anything" in outcome.row.sentence


def test_files_that_intake_set_aside_count_too() -> None:
    rows = [
        {"path": "x.png", "label": "a", "reason": "conflicting_labels", "detail": "the same bytes as y.png (b)"},
        {"path": "z.png", "label": "a", "reason": "exact_duplicate", "detail": "the same bytes as w.png"},
    ]
    material = made_material(LABELS, quarantine=rows)
    two = two_label_outcome(material, copies_of(60))
    assert (two.row.state, two.row.n_flagged) == ("look", 1)
    assert [finding.image_id for finding in two.findings if finding.is_flagged] == ["quarantine:x.png"]
    assert "1 file with the bytes of another was set aside" in duplicate_outcome(material, copies_of(60)).row.sentence


def split_of(count: int) -> list[str | None]:
    return ["train" if number < 40 else "val" if number < 50 else "test" for number in range(count)]


def test_a_patient_across_splits_stops() -> None:
    patients = [f"p{number}" for number in range(60)]
    patients[55] = "p3"
    material = made_material(LABELS, columns={"patient_id": patients}, splits=split_of(60))
    outcome = split_crossing(material, copies_of(60))
    assert outcome.row.state == "stop" and outcome.row.n_flagged == 2
    assert "patient_id p3" in outcome.row.sentence
    flagged = {finding.image_id: finding.evidence_ids for finding in outcome.findings if finding.is_flagged}
    ids = material.image_ids
    assert flagged == {ids[3]: (ids[55],), ids[55]: (ids[3],)}


def test_copies_by_features_across_splits_are_to_look_at() -> None:
    material = made_material(LABELS, splits=split_of(60))
    outcome = split_crossing(material, copies_of(60, (2, 58), (3, 5)))
    assert outcome.row.state == "look" and outcome.row.n_flagged == 2
    assert "in a new workspace" in outcome.row.sentence


def test_near_duplicates_by_hash_across_splits_stop() -> None:
    hashes = [f"{number * 0x0123456789ABCDE:016x}" for number in range(1, 61)]
    hashes[59] = hashes[0]
    material = made_material(LABELS, columns={"phash": hashes}, splits=split_of(60))
    assert split_crossing(material, copies_of(60, (0, 59), is_by_hash=True)).row.state == "stop"


def test_a_sound_split_is_ok_and_says_what_is_not_known() -> None:
    patients = {"patient_id": [f"p{number}" for number in range(60)]}
    known = made_material(LABELS, columns=patients, splits=split_of(60))
    assert split_crossing(known, copies_of(60)).row.sentence == "No patient, lesion or copy crosses the split."
    unknown = split_crossing(made_material(LABELS), copies_of(60)).row
    assert unknown.state == "ok" and "may still lie on both sides" in unknown.sentence
    assert "the planned split" in unknown.sentence


def test_the_sources_own_split_is_looked_at() -> None:
    assert upstream_crossing(made_material(LABELS), copies_of(60)) is None
    patients = [f"p{number // 2}" for number in range(60)]
    own = ["training" if number < 41 else "test" for number in range(60)]
    material = made_material(LABELS, columns={"patient_id": patients, "attr.split": own})
    found = upstream_crossing(material, copies_of(60))
    assert found is not None and found.row.state == "look" and "patient_id p20" in found.row.sentence
