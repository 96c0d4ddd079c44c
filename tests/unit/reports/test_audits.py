"""Audits as the report reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.workspace import Workspace
from tenfold.reports.audits import FIDELITY_METRICS, read_audits
from tenfold.reports.render import flags_by_chance
from tests.report_workspace import LABELS, SET, make_report_workspace


@pytest.fixture
def study(tmp_path: Path) -> Workspace:
    return make_report_workspace(tmp_path / "study")


def test_only_the_audits_of_the_sets_are_read_with_every_part(study: Workspace) -> None:
    audits, nearest = read_audits(study, [SET])
    assert [audit.synthetic_set for audit in audits] == list(nearest) == [SET]
    audit = audits[0]
    assert [test.space for test in audit.copy_tests] == ["features", "pixels"]
    assert tuple(audit.fidelity[0].metrics) == FIDELITY_METRICS
    assert [row.is_reference for row in audit.fidelity] == [False, True]
    assert [row.label for row in audit.probe] == [*LABELS, "real against real"]
    assert flags_by_chance(audit) == "about 1"


def test_a_flagged_image_is_shown_with_what_its_flag_rests_on(study: Workspace) -> None:
    _, nearest = read_audits(study, [SET])
    flagged = {image_id: found for image_id, found in nearest[SET].items() if found.is_flagged}
    assert len(flagged) == 1
    (copy,) = flagged.values()
    assert copy.detail.startswith("1 % of real images lie as near")
    assert all(found.detail.startswith("70 %") for found in nearest[SET].values() if not found.is_flagged)


def test_an_audit_without_a_calibrated_threshold_has_no_flags_by_chance(study: Workspace) -> None:
    path = study.path / f"audits/{SET}/summary.json"
    reasons = {"memorization": "too few real images"}
    write_json_atomic(path, {**read_json(path), "memorization": {}, "n_flagged": None, "missing": reasons})
    (audit,), _ = read_audits(study, [SET])
    assert (audit.n_flagged, audit.copy_tests) == (None, ())
    assert flags_by_chance(audit) == "not known"


def test_a_damaged_audit_is_an_error_that_names_its_folder(study: Workspace) -> None:
    path = study.path / f"audits/{SET}/summary.json"
    content = read_json(path)
    del content["n_flagged"]
    write_json_atomic(path, content)
    with pytest.raises(DataError, match="damaged") as caught:
        read_audits(study, [SET])
    assert caught.value.where == str(path.parent)
