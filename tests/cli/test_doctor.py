"""`tenfold doctor`: what is there, what is only a note, and what is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenfold.cli import doctor_command
from tenfold.cli.app import main
from tenfold.cli.doctor_command import Check
from tenfold.core.errors import CheckpointError


def examined(capsys: pytest.CaptureFixture[str], place: Path) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", "--json", "--workspace", str(place)])
    result = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in result["checks"]}


def test_a_damaged_base_is_broken_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged() -> Check:
        raise CheckpointError("unet is damaged", where="/x", todo="install again")

    monkeypatch.setattr(doctor_command, "_embedded_base", damaged)
    code, checks = examined(capsys, tmp_path)
    assert code == 1
    assert checks["embedded base"]["state"] == "broken"
    assert checks["embedded base"]["todo"] == "install again"


def test_missing_extras_are_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, checks = examined(capsys, tmp_path)
    assert checks["ray"]["state"] in ("ok", "note")
    assert checks["torch"]["state"] == "ok"
    assert checks["writing"]["state"] == "ok"


def test_a_missing_package_is_broken() -> None:
    assert doctor_command._package("a-package-nobody-made").state == "broken"


def test_a_place_that_does_not_exist_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert doctor_command._writing(tmp_path / "deep" / "down").found.startswith(str(tmp_path))


def test_the_table_marks_what_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor_command, "examine", lambda place: [Check("disk", "broken", "0 GiB free", "free some")])
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "BROKEN" in text
    assert "disk: free some" in text
