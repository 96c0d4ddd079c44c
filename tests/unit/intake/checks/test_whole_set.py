"""Checks of the whole set: plain faults, classes, groups, power, subgroups, skin tones and the answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tenfold.intake.checks.classes import class_rows, class_sizes, grouping, montage
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.plain_faults import blank_images, huge_images, lost_rows, quarantine_reasons, tiny_images
from tenfold.intake.checks.power import power_outcome, power_rows, subgroup_outcome, subgroup_rows
from tenfold.intake.checks.skin_tones import skin_tone_facts
from tenfold.intake.checks.verdict import answer
from tenfold.intake.contents import CheckRow, PowerRow, State
from tests.unit.intake.checks.made_material import made_facts, made_material

LABELS = ["a", "b"] * 40


def patients(count: int, images_each: int = 1) -> dict[str, list[str]]:
    return {"patient_id": [f"p{number // images_each}" for number in range(count)]}


def test_blank_tiny_and_huge_images_are_flagged_with_their_measure() -> None:
    facts = made_facts(80)
    facts.loc[3, ["width_px", "height_px"]] = [640, 20]
    facts.loc[4, ["width_px", "height_px"]] = [20_000, 9_000]
    material = made_material(LABELS, facts=facts)
    contrast = np.full(80, 40.0, dtype=np.float32)
    contrast[5] = 0.0
    blank, tiny, huge = blank_images(material, contrast), tiny_images(material, 32), huge_images(material, 50.0)
    for outcome, place, words in ((blank, 5, "0.0 of 255"), (tiny, 3, "640 x 20 px"), (huge, 4, "180 megapixels")):
        assert (outcome.row.state, outcome.row.n_flagged, len(outcome.findings)) == ("look", 1, 80)
        assert outcome.suspects[0].image_id == material.image_ids[place] and words in outcome.suspects[0].detail
        assert outcome.findings[place].is_flagged and outcome.findings[place].score > 0.5
        assert all(0 <= finding.score < 0.5 for finding in outcome.findings if not finding.is_flagged)
    assert tiny_images(made_material(LABELS, facts=made_facts(80)), 32).row.sentence == "No tiny images."


def test_the_size_limit_itself_is_no_fault() -> None:
    facts = made_facts(80)
    facts.loc[3, ["width_px", "height_px"]] = [32, 32]
    assert tiny_images(made_material(LABELS, facts=facts), 32).row.n_flagged == 0


def lost(count: int, label: str, reason: str = "truncated_image") -> list[dict[str, str]]:
    return [
        {"line": str(n + 2), "path": f"{n}.png", "label": label, "reason": reason, "detail": ""} for n in range(count)
    ]


def test_lost_rows_count_and_stop_when_a_class_loses_too_many() -> None:
    assert lost_rows(made_material(LABELS)).row.state == "ok"
    few = lost_rows(made_material(LABELS, quarantine=lost(2, "a")))
    assert (few.row.state, few.row.n_flagged, few.row.n_checked) == ("look", 2, 82)
    assert few.findings[0].image_id == "quarantine:0.png" and "2 truncated image" in few.row.sentence
    many = lost_rows(made_material(LABELS, quarantine=lost(15, "b")))
    assert many.row.state == "stop" and "of class b 27% are lost" in many.row.sentence


def test_copies_and_unchosen_slices_are_not_lost() -> None:
    rows = [*lost(30, "a", "exact_duplicate"), *lost(30, "a", "not_chosen"), *lost(9, "a", "conflicting_labels")]
    material = made_material(LABELS, quarantine=rows)
    assert lost_rows(material).row.state == "ok"
    reasons = quarantine_reasons(material)
    assert [(reason.reason, reason.n_rows) for reason in reasons] == [
        ("exact_duplicate", 30), ("not_chosen", 30), ("conflicting_labels", 9),
    ]  # fmt: skip
    assert reasons[0].examples == ("0.png (line 2)", "1.png (line 3)", "2.png (line 4)")


def test_a_class_of_four_images_says_what_it_allows() -> None:
    material = made_material([*LABELS, *["basophil"] * 4])
    row = next(row for row in class_rows(material) if row.label == "basophil")
    assert (row.n_images, row.n_groups, row.n_patients, row.by_split) == (4, 4, None, {})
    assert "planned: 2 for training, 1 for validation, 1 for the test" in row.sentence
    assert "all or nothing" in row.sentence
    outcome = class_sizes(material).row
    assert outcome.state == "look" and "basophil (4 images of 4 groups)" in outcome.sentence


def test_a_class_that_no_split_can_hold_stops() -> None:
    labels = [*LABELS, "basophil", "basophil"]
    material = made_material(labels, splits=[None] * 82)
    material = dataclasses.replace(material, is_split=False, split_fault="the class 'basophil' has 2 images")
    assert class_sizes(material).row.state == "stop"
    assert "no split is possible" in class_rows(material)[2].sentence
    assert power_rows(material, 0.2) == ()
    power = power_outcome(material, ()).row
    assert power.state == "stop" and "basophil" in power.sentence
    one = made_material(["a"] * 30, splits=["train"] * 30)
    assert class_sizes(one).row.state == "stop" and "one class only" in class_sizes(one).row.sentence


def test_uneven_classes_are_told() -> None:
    row = class_sizes(made_material(["a"] * 300 + ["b"] * 25)).row
    assert row.state == "look" and "a has 12 times the images of b" in row.sentence
    assert class_sizes(made_material(LABELS)).row.state == "ok"


def test_class_rows_count_patients_and_the_sealed_split() -> None:
    splits = ["train" if number < 60 else "test" for number in range(80)]
    rows = class_rows(made_material(LABELS, columns=patients(80, 2), splits=splits))
    assert [(row.n_images, row.n_patients, row.n_groups) for row in rows] == [(40, 40, 40)] * 2
    assert rows[0].by_split == {"train": 30, "val": 0, "test": 10} and "40 patients" in rows[0].sentence


def test_grouping_says_what_is_known() -> None:
    known = grouping(made_material(LABELS, columns=patients(80))).row
    assert (known.state, known.sentence) == ("ok", "Every image tells its patient (80 patients).")
    unknown = grouping(made_material(LABELS)).row
    assert unknown.state == "look" and "groups are near-duplicates only" in unknown.sentence
    some = {"patient_id": ["p1"] * 10 + [None] * 70}
    assert grouping(made_material(LABELS, columns=some)).row.n_flagged == 70
    lesions = grouping(made_material(LABELS, columns={"lesion_id": [f"l{n}" for n in range(80)]})).row
    assert lesions.state == "ok" and "patients are not known" in lesions.sentence


def test_groups_that_intake_made_are_not_known_groups() -> None:
    bare = made_material(LABELS)
    filled = {"group_id": [f"group_{key}" for key in bare.keys]}
    assert grouping(made_material(LABELS, columns=filled)).row.state == "look"
    given = {"group_id": [f"set_{number}" for number in range(80)]}
    assert grouping(made_material(LABELS, columns=given)).row.state == "ok"


def test_the_montage_is_seeded_and_shows_different_groups_first() -> None:
    material = made_material(LABELS, columns=patients(80, 8))
    shown = montage(material, 10, seed=1)
    assert shown == montage(material, 10, seed=1) != montage(material, 10, seed=2)
    group_of = dict(zip(material.texts("path"), material.groups.tolist(), strict=True))
    assert {label: len(paths) for label, paths in shown.items()} == {"a": 10, "b": 10}
    assert len({group_of[path] for path in shown["a"]}) == 10


def test_power_counts_groups_of_the_test_and_matches_the_formula() -> None:
    splits = ["test" if number < 720 else "train" for number in range(1440)]
    material = made_material(["a", "b"] * 720, columns=patients(1440, 2), splits=splits)
    accuracy, of_a, _ = power_rows(material, 0.2)
    assert (accuracy.n_test_images, accuracy.n_test_groups, accuracy.is_planned) == (720, 360, False)
    assert accuracy.detectable_difference == pytest.approx(0.066, abs=0.0005)
    assert (of_a.metric, of_a.label, of_a.n_test_images) == ("auroc", "a", 360)
    assert "patients counted" in accuracy.assumption
    assert power_outcome(material, (accuracy,)).row.state == "ok"


def test_a_small_planned_test_is_to_look_at() -> None:
    material = made_material(LABELS)
    rows = power_rows(material, 0.2)
    row = power_outcome(material, rows).row
    assert rows[0].is_planned and row.state == "look" and "the planned 20 test images of 20 groups" in row.sentence


def test_subgroups_hold_given_types_only_and_gray_out_small_ones() -> None:
    groups = (["I-II"] * 60 + ["V-VI"] * 10 + ["III-IV"] * 10)[:80]
    columns = {
        "skin_type_group": groups, "skin_type_source": ["given"] * 70 + ["estimated"] * 10,
        "age": [float(20 + number) for number in range(80)], "attr.source": ["x", "y", "y", "x"] * 20,
    }  # fmt: skip
    material = made_material(LABELS, columns=columns, splits=["test"] * 40 + ["train"] * 40)
    rows = {(row.attribute, row.value): row for row in subgroup_rows(material, 0.2, 20)}
    assert ("skin_type_group", "III-IV") not in rows
    assert rows["skin_type_group", "V-VI"].is_underpowered and not rows["skin_type_group", "I-II"].is_underpowered
    assert rows["skin_type_group", "I-II"].by_label == {"a": 30, "b": 30}
    assert rows["age", "under 40"].n_images == 20 and rows["attr.source", "x"].n_test_groups == 20
    outcome = subgroup_outcome(material, tuple(rows.values()), 20).row
    assert outcome.state == "look" and "No images of skin type III-IV" in outcome.sentence
    none = made_material(LABELS)
    assert subgroup_outcome(none, subgroup_rows(none, 0.2, 20), 20).row.state == "not_checked"


def test_skin_tones_keep_given_unknown_and_estimated_apart() -> None:
    columns = {
        "skin_type": [1, None, 5, None] * 20,
        "skin_type_source": ["given", "given", "estimated", None] * 20,
        "attr.ita_degrees": ["60.5", "10", "-20.0", None] * 20,
    }
    facts = skin_tone_facts(made_material(LABELS, columns=columns))
    assert facts is not None
    assert (facts.n_given, facts.n_unknown, facts.n_estimated) == (20, 20, 20)
    assert {name: len(values) for name, values in facts.ita_by_type.items()} == {"1": 20, "not given": 40}
    assert "head no result" in facts.sentence
    assert skin_tone_facts(made_material(LABELS)) is None


def row(check: str, state: State, sentence: str = "Found this. And that.") -> CheckRow:
    return CheckRow(check, f"Title of {check}", state, 1, 1, sentence)


def test_the_answer_leads_with_the_worst() -> None:
    power = [PowerRow("accuracy", None, 360, 360, 0.066, "", True)]
    fine = [row("confounds", "ok"), row("crossing", "ok"), row("label_errors", "not_checked")]
    assert answer(fine, power) == (
        "ok",
        "Yes: the checks found nothing that speaks against a study on this data; its test can show accuracy "
        "differences of 6.6 points or more.",
    )
    state, sentence = answer([*fine, row("duplicates", "look"), row("power", "look")], power)
    assert (state, sentence) == ("look", "With care: Found this; see also: title of duplicates.")
    state, sentence = answer([*fine, row("two_labels", "stop"), row("confounds", "stop", "Told by size. x")], power)
    assert (state, sentence) == ("stop", "No: Told by size. (and 1 more: title of two_labels)")
    state, sentence = answer([row("confounds", "not_checked", "No facts."), row("crossing", "ok")], power)
    assert (state, sentence) == ("look", "With care: No facts.")


def test_patients_are_named_only_where_they_are_the_groups() -> None:
    def word(columns: dict[str, list[str | None]]) -> str:
        material: Material = made_material(LABELS, columns=columns)
        return material.group_word

    assert word({"patient_id": [f"p{n}" for n in range(80)]}) == "patient"
    assert word({"patient_id": [None, *(f"p{n}" for n in range(79))]}) == "group"
    assert word({}) == "group"
