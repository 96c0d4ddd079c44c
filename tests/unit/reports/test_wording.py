"""Numbers and names as a reader sees them."""

from __future__ import annotations

from tenfold.evaluation.contents import Estimate
from tenfold.reports import wording


def make(low: float | None, high: float | None) -> Estimate:
    return Estimate(0.0, low, high, 1, 1, 1, "")


def test_zero_carries_no_sign() -> None:
    assert wording.difference(-0.0001, "accuracy") == "0.0 points"
    assert wording.difference(0.0001, "accuracy") == "0.0 points"


def test_an_interval_that_cannot_be_had_is_said_so() -> None:
    assert wording.figure_interval(make(None, None), "accuracy") == "no interval"
    assert wording.difference_interval(make(0.1, None), "accuracy") == "no interval"


def test_levels_are_in_percent_or_decimals_and_differences_in_points() -> None:
    interval = make(-0.0123, 0.5)
    assert wording.figure_interval(interval, "accuracy") == "\u22121.2 to 50.0"
    assert wording.figure_interval(interval, "macro_auroc") == "\u22120.012 to 0.500"
    assert wording.difference_interval(interval, "macro_auroc") == "\u22121.2 to +50.0"
    assert wording.difference_interval(interval, "log_loss") == "\u22120.012 to +0.500"
    assert wording.figure(0.25, "sensitivity.scaly_patch") == "25.0 %"


def test_missing_figures_are_dashes() -> None:
    assert {
        wording.figure(None, "accuracy"), wording.difference(None, "accuracy"), wording.p_value(None),
        wording.count(None), wording.size_of_difference(None, "accuracy"),
    } == {wording.NO_FIGURE}  # fmt: skip


def test_subgroup_values_are_named() -> None:
    assert wording.attribute_value("skin_type", "5") == "V"
    assert wording.attribute_value("skin_type", "5.0") == "V"
    assert wording.attribute_value("skin_type", "9") == "9"
    assert wording.attribute_value("sex", "<NA>") == "not recorded"
    assert wording.attribute_name("attr.camera_model") == "Camera model"


def test_classes_that_would_be_called_the_same_keep_their_labels() -> None:
    assert wording.class_names(["a_b", "c"], {"a_b": "lesion", "c": "lesion"}) == {"a_b": "a b", "c": "c"}


def test_counts_and_lists() -> None:
    assert wording.count(12345) == "12\u202f345"
    assert wording.count(36.25) == "36.2"
    assert wording.counted(3, "class") == "3 classes"
    assert wording.listed([]) == "none"
    assert wording.listed(["a"]) == "a"
