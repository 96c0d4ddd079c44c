"""Reporting guidelines: all items are listed, and none is answered that is not there."""

from __future__ import annotations

from pathlib import Path

from tenfold.reports.checklists import CLAIM, TRIPOD, fill_checklists
from tenfold.reports.reading import read_study
from tenfold.reports.record import answer_checklists, write_record
from tests.report_workspace import bare, make_evaluation, make_report_workspace


def test_every_item_is_listed_once_and_in_order() -> None:
    items = fill_checklists({"20": ("By patient.", "trust")}, {})
    claim = [item for item in items if item.guideline == CLAIM]
    assert [item.number for item in claim] == [str(number) for number in range(1, 45)]
    assert {item.number.rstrip("abcdefg-") for item in items if item.guideline == TRIPOD} == {
        str(number) for number in range(1, 28)
    }
    answered = [item for item in items if item.answer]
    assert [(item.number, item.name) for item in answered] == [("20", "Level at which partitions are disjoint")]


def test_only_what_the_run_can_say_is_answered(tmp_path: Path) -> None:
    evaluation = make_evaluation()
    record = write_record(read_study(make_report_workspace(tmp_path / "w"), "main"), None)
    full = {(item.guideline, item.number) for item in answer_checklists(evaluation, None, record, ()) if item.answer}
    least = answer_checklists(bare(evaluation), None, record, ())
    assert {(CLAIM, "21"), (TRIPOD, "14")} <= full
    assert (CLAIM, "44") not in full  # funding
    assert not {(CLAIM, "21"), (TRIPOD, "14")} & {(item.guideline, item.number) for item in least if item.answer}
