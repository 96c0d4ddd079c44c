"""What the intake page shows is chosen from the facts without hiding or inventing anything."""

from __future__ import annotations

import json
from dataclasses import replace

from tenfold.intake.contents import IntakeFacts
from tenfold.reports.config import IntakePageConfig
from tenfold.reports.intake_contents import MOST_MONTAGE_PICTURES, IntakeContents, choose_contents, section_of
from tenfold.reports.intake_render import SECTION_NAMES
from tests.intake_facts import LABELS, cluster, confounded, healthy, many_classes, nothing_kept, without_patients


def choose(facts: IntakeFacts, **settings: int) -> IntakeContents:
    # As the page reads them: from JSON, whose keys are sorted.
    text = json.dumps(facts.to_json(), sort_keys=True)
    return choose_contents(IntakeFacts.from_json(json.loads(text)), "made-up", IntakePageConfig(**settings))


def test_the_worst_checks_come_first_and_those_not_run_are_among_them() -> None:
    contents = choose(confounded())
    states = [row.state for row in contents.checks]
    assert states == sorted(states, key=["stop", "look", "not_checked", "ok"].index)
    skipped = next(row for row in contents.checks if row.check == "outliers")
    assert (skipped.state, skipped.title) == ("not_checked", "Outliers")
    assert contents.attention[0].check == "confounds"
    assert len(contents.attention) == 5


def test_patients_are_known_only_where_the_facts_say_so() -> None:
    assert choose(healthy()).has_patients
    contents = choose(without_patients(healthy()))
    assert not contents.has_patients
    assert "may lie on both sides" in contents.group_note
    lesions = replace(without_patients(healthy()), columns={"lesion_id": "lesion"})
    assert "one lesion" in choose(lesions).group_note
    named = replace(without_patients(healthy()), columns={"group_id": "family"})
    assert "“family”" in choose(named).group_note


def test_patient_ids_stay_out() -> None:
    facts = confounded()
    assert "Mustermann" in json.dumps(facts.to_json())
    text = json.dumps(choose(facts).to_json())
    assert "Mustermann" not in text and "Jane Doe" not in text
    worst = choose(facts).clusters[0].cluster
    assert worst.patients[:3] == ("1", "2", "1")


def test_clusters_that_disagree_come_first_with_their_disagreement_in_sight() -> None:
    contents = choose(many_classes(), duplicate_clusters=5)
    assert len(contents.clusters) == 5
    first = contents.clusters[0]
    assert first.cluster.crosses == ("label", "split")
    shown = {first.cluster.labels[place] for place in first.shown}
    assert (len(first.shown), len(shown), first.n_images) == (6, 6, 12)


def test_a_late_disagreement_in_a_large_cluster_is_shown() -> None:
    labels = ("nevus",) * 40 + ("melanoma",)
    late = replace(cluster(41, crosses=("label",)), labels=labels, splits=(None,) * 41, patients=(None,) * 41)
    contents = choose(replace(healthy(), duplicates=(late,)))
    assert contents.clusters[0].shown == (0, 40, 1, 2, 3, 4)


def test_pictures_are_few_enough_with_many_classes_and_in_the_classes_order() -> None:
    contents = choose(many_classes())
    assert sum(map(len, contents.montage.values())) <= MOST_MONTAGE_PICTURES
    assert list(contents.montage) == [row.label for row in contents.facts.classes]
    assert all(contents.montage.values())


def test_flagged_confounds_and_all_facts_together_are_shown_at_once() -> None:
    first, others = choose(confounded()).confounds
    assert {row.facts for row in first if not row.is_flagged} <= {"all", "compression"}
    assert first[0].label == "covid19" and first[0].is_flagged
    assert others == ()  # one row alone is not hidden
    first, others = choose(many_classes()).confounds
    assert len(first) + len(others) == 120
    assert all(row.is_flagged for row in first)


def test_the_strongest_confounds_stand_open_when_none_is_flagged() -> None:
    sizes = tuple(row for row in healthy().confounds if row.facts != "all")
    first, others = choose(replace(healthy(), confounds=sizes)).confounds
    assert (len(first), len(others)) == (4, 5)
    assert min(row.auroc.low or 0 for row in first) >= max(row.auroc.low or 0 for row in others)


def test_columns_are_in_the_manifests_order_and_upstream_ones_apart() -> None:
    contents = choose(healthy())
    assert contents.own_columns == ("label", "patient_id", "skin_type", "site")
    assert contents.upstream_columns == ("attr.archive", "attr.camera")


def test_totals_and_power() -> None:
    contents = choose(healthy())
    assert list(contents.totals.by_split) == ["train", "val", "test"]
    assert contents.totals.n_images == sum(contents.totals.by_split.values()) == 4305
    assert contents.totals.n_patients == 2151
    assert contents.power is not None and contents.power.label is None
    assert choose(many_classes()).power is None


def test_skin_color_is_summarized_without_missing_values() -> None:
    tone = healthy().skin_tone
    assert tone is not None
    facts = replace(healthy(), skin_tone=replace(tone, ita_by_type={"1": (50.0, float("nan"), 60.0), "2": ()}))
    contents = choose_contents(facts, "made-up", IntakePageConfig())
    assert [(row.skin_type, row.n_images, row.median) for row in contents.ita] == [("1", 2, 55.0)]


def test_suspects_are_grouped_by_check_the_worst_first() -> None:
    groups = choose(healthy(), suspects_per_check=4).suspects
    assert [(group.title, group.n_flagged, len(group.images)) for group in groups] == [("Probable label errors", 9, 4)]
    scores = [image.score for image in groups[0].images]
    assert scores == sorted(scores, reverse=True)


def test_the_page_in_json_holds_the_facts_and_what_was_counted() -> None:
    plain = choose(healthy()).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["page_version"] == 1
    assert plain["facts"]["classes"][0]["label"] == LABELS[0]
    assert {"totals", "ita", "clusters", "suspects", "checks", "group_note"} <= set(plain)


def test_facts_of_nothing() -> None:
    contents = choose(nothing_kept())
    assert contents.totals.n_images == 0
    assert (contents.montage, contents.clusters, contents.suspects) == ({}, (), ())


def test_every_check_of_the_facts_leads_to_a_section_that_exists() -> None:
    names = {row.check for facts in (healthy(), confounded()) for row in facts.checks}
    assert {section_of(name) for name in names} <= set(SECTION_NAMES)


def test_a_check_that_was_skipped_is_listed_once() -> None:
    row = replace(healthy().checks[0], state="not_checked")
    contents = choose(replace(healthy(), checks=(row,), skipped={row.title: "again", "EXIF of originals": "missing"}))
    assert [check.title for check in contents.checks] == [row.title, "EXIF of originals"]


def test_nothing_found_is_said_only_where_somebody_looked() -> None:
    contents = choose(replace(healthy(), duplicates=(), suspects=(), n_duplicate_clusters=0))
    assert contents.was_checked("duplicates") and contents.was_checked("suspects")
    skipped = replace(healthy(), checks=(), skipped={"Copies of one picture": "no features"})
    assert not choose(skipped).was_checked("duplicates")


def test_the_check_that_the_answer_tells_of_comes_first() -> None:
    facts = confounded()
    last = [row for row in facts.checks if row.state == "look"][-1]
    told = replace(facts, answer=f"With care: {last.sentence}; see also: class sizes.")
    looks = [row for row in choose(told).checks if row.state == "look"]
    assert looks[0] == last
