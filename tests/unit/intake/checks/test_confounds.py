"""Confounds: planted ones are flagged, sets without one are not, and groups never leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tenfold.intake.checks.confounds import Confounds, confounds
from tenfold.intake.checks.file_families import ALL_FACTS
from tenfold.intake.contents import ConfoundRow
from tests.unit.intake.checks.made_material import made_facts, made_material

LABELS = ["covid", "normal", "pneumonia"] * 40
IS_COVID = np.array(LABELS) == "covid"


def row_of(found: Confounds, facts: str, label: str = "covid") -> ConfoundRow:
    return next(row for row in found.rows if (row.facts, row.label) == (facts, label))


def planted(**changes: object) -> pd.DataFrame:
    """File facts in which covid images differ in the columns named."""
    facts = made_facts(len(LABELS))
    for name, value in changes.items():
        facts[name] = facts[name].where(~IS_COVID, value)
    return facts


def test_a_size_that_tells_the_class_stops() -> None:
    found = confounds(made_material(LABELS, facts=planted(width_px=1200, height_px=900)), 5, 0.7, seed=1)
    assert found.outcome.row.state == "stop"
    sentence = found.outcome.row.sentence
    assert sentence.startswith("covid can be told from file facts alone (AUROC ") and "95 % interval" in sentence
    size = row_of(found, "image size")
    assert size.is_flagged and size.auroc.value is not None and size.auroc.value > 0.95
    assert size.auroc.n_images == 120 and size.auroc.n_groups == 120
    assert "1,200 of covid" in size.detail or "900 of covid" in size.detail
    assert row_of(found, ALL_FACTS).is_flagged
    assert not row_of(found, "JPEG quality").is_flagged and not row_of(found, "image size", "normal").is_flagged
    flagged = [finding for finding in found.outcome.findings if finding.is_flagged]
    assert len(flagged) > 35 and found.outcome.row.n_flagged == len(flagged)


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"jpeg_quality": 60.0}, "JPEG quality"),
        ({"format": "PNG", "jpeg_quality": np.nan}, "format and color mode"),
        ({"has_icc": True}, "EXIF and color profile"),
        ({"border_fraction": 0.4}, "border"),
        ({"folder": "hospital"}, "folder"),
    ],
)
def test_every_kind_of_fact_can_tell(changes: dict[str, object], family: str) -> None:
    found = confounds(made_material(LABELS, facts=planted(**changes)), 5, 0.7, seed=1)
    assert row_of(found, family).is_flagged
    assert found.outcome.row.state in ("stop", "look")


def test_a_part_of_a_class_from_elsewhere_is_to_look_at() -> None:
    facts = made_facts(len(LABELS))
    some = IS_COVID & (np.arange(len(LABELS)) % 18 != 0) | ~IS_COVID & (np.arange(len(LABELS)) % 15 == 1)
    facts["jpeg_quality"] = facts["jpeg_quality"].where(~some, 60.0)
    found = confounds(made_material(LABELS, facts=facts), 5, 0.7, seed=1)
    assert row_of(found, "JPEG quality").is_flagged
    assert found.outcome.row.state == "look" and "Compare within one source" in found.outcome.row.sentence


def test_sets_without_a_confound_are_not_flagged() -> None:
    """6 sets of 40 groups a class, 6 families and 3 classes each: not one row may be flagged."""
    values = []
    for seed in range(6):
        found = confounds(made_material(LABELS, facts=made_facts(len(LABELS), seed)), 5, 0.7, seed=seed)
        assert found.outcome.row.state == "ok", found.outcome.row.sentence
        values += [row.auroc.value for row in found.rows if row.auroc.value is not None]
    assert abs(np.mean(values) - 0.5) < 0.05


def test_facts_of_a_patient_do_not_leak_into_its_own_fold() -> None:
    """Each patient has its own camera and one class: without groups in the folds the camera would tell the class."""
    patients = np.repeat(np.arange(24), 10)
    labels = [("a", "b")[number % 2] for number in patients]
    facts = made_facts(len(labels))
    facts["width_px"] = np.random.default_rng(0).permutation(24)[patients] * 37 + 500
    facts["height_px"] = 700
    columns = {"patient_id": [f"p{number}" for number in patients]}
    found = confounds(made_material(labels, columns=columns, facts=facts), 5, 0.7, seed=1)
    size = row_of(found, "image size", "a")
    assert not size.is_flagged and size.auroc.n_groups == 24
    assert size.auroc.low is not None and size.auroc.high is not None
    assert size.auroc.high - size.auroc.low > 0.2, "24 patients, not 240 images"


def test_file_bytes_are_shown_but_not_judged() -> None:
    found = confounds(made_material(LABELS, facts=planted(file_bytes=1_000_000)), 5, 0.7, seed=1)
    row = row_of(found, "file bytes")
    assert row.auroc.value is not None and row.auroc.value > 0.95 and not row.is_flagged
    assert "not judged" in row.detail and found.outcome.row.state == "ok"


def test_a_column_that_names_the_origin_stops_and_another_does_not() -> None:
    origin = ["cohen" if own else "nih" for own in IS_COVID]
    facts = made_facts(len(LABELS))
    stopped = confounds(made_material(LABELS, facts=facts, columns={"attr.source": origin}), 5, 0.7, seed=1)
    assert stopped.outcome.row.state == "stop" and "attr.source" in stopped.outcome.row.sentence
    assert "cohen: 100% of covid, 0% of the rest" in row_of(stopped, "attr.source").detail
    looked = confounds(made_material(LABELS, facts=facts, columns={"attr.note": origin}), 5, 0.7, seed=1)
    assert looked.outcome.row.state == "look"


def test_the_label_under_another_name_is_no_confound() -> None:
    names = [f"{label} disease" for label in LABELS]
    found = confounds(made_material(LABELS, facts=made_facts(120), columns={"attr.fine_label": names}), 5, 0.7, seed=1)
    assert not any(row.facts == "attr.fine_label" for row in found.rows)
    other = confounds(made_material(LABELS, facts=made_facts(120), columns={"attr.kind": names}), 5, 0.7, seed=1)
    assert "the label under another name" in row_of(other, "attr.kind").detail
    assert other.outcome.row.state == "look"


def test_two_classes_have_one_row_a_family() -> None:
    labels = ["rare"] * 20 + ["usual"] * 60
    facts = made_facts(80)
    facts.loc[:19, "width_px"] = 333
    found = confounds(made_material(labels, facts=facts), 5, 0.7, seed=1)
    assert {row.label for row in found.rows} == {"rare"}
    assert found.outcome.row.n_flagged > 70, "both classes are told by it"


def test_small_classes_are_left_out_and_named() -> None:
    labels = [*LABELS, *["basophil"] * 4]
    found = confounds(made_material(labels, facts=made_facts(124), splits=["train"] * 124), 5, 0.7, seed=1)
    assert "Too few groups to judge: basophil" in found.outcome.row.sentence
    assert "basophil" not in {row.label for row in found.rows}
    two = ["a"] * 30 + ["b"] * 9
    none = confounds(made_material(two, facts=made_facts(39)), 5, 0.7, seed=1)
    assert none.rows == () and none.outcome.row.state == "not_checked"
    assert "Fewer than two classes have 10 groups: b have fewer" in none.outcome.row.sentence


def test_without_file_facts_the_sizes_of_the_originals_still_count() -> None:
    sizes = {"attr.original_width_px": [str(900 if own else 600) for own in IS_COVID]}
    found = confounds(made_material(LABELS, columns=sizes), 5, 0.7, seed=1)
    assert row_of(found, "image size").is_flagged and "facts are not known" in found.outcome.row.sentence
    nothing = confounds(made_material(LABELS), 5, 0.7, seed=1).outcome.row
    assert nothing.state == "not_checked" and "no facts of the original files" in nothing.sentence


def test_the_same_seed_gives_the_same_figures_whatever_the_order_of_groups() -> None:
    material = made_material(LABELS, facts=planted(jpeg_quality=60.0))
    first, second = (confounds(material, 5, 0.7, seed=4) for _ in range(2))
    assert first == second
