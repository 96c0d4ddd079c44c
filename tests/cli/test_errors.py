"""Every error ends in one panel with its exit code, or in one JSON line; nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli import run_commands
from tenfold.cli.app import main
from tenfold.core.errors import DataError, Faults, StageError, StorageError, WaitingForPeople
from tenfold.core.workspace import Workspace


def raising(error: BaseException) -> Any:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("the folder is empty", where="/data", expected="images", todo="add some"), 2),
        (StageError("the loss became nan"), 1),
        (StorageError("the disk is full", where="/data"), 1),
        (WaitingForPeople("3 images are not reviewed"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(error))
    assert main(["demo"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("run the same command again" if code == 130 else str(getattr(error, "what", ""))) in " ".join(
        shown.err.replace("│", " ").split()
    )


def test_waiting_for_people_is_shown_as_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(WaitingForPeople("3 images are not reviewed")))
    main(["demo"])
    text = capsys.readouterr().err
    assert "Waiting for people" in text and "Error" not in text


def test_the_panel_says_all_four_parts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = DataError("the folder is empty", where="/data", expected="images", todo="add some")
    monkeypatch.setattr(run_commands, "_run", raising(error))
    main(["demo"])
    text = capsys.readouterr().err
    for line in ("What: the folder is empty", "Where: /data", "Expected: images", "What to do: add some"):
        assert line in text


def test_json_errors_are_one_line_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(DataError("the folder is empty", where="/data")))
    assert main(["demo", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "event": "error",
        "error": "DataError",
        "what": "the folder is empty",
        "where": "/data",
        "expected": "",
        "todo": "",
        "exit_code": 2,
    }
    assert shown.err == ""


def test_several_faults_are_numbered_in_one_panel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = Faults()
    for number in range(25):
        faults.add(DataError(f"row {number} is bad"))

    def fail(*arguments: Any) -> None:
        faults.raise_if_any()

    monkeypatch.setattr(run_commands, "_run", fail)
    assert main(["demo"]) == 2
    text = capsys.readouterr().err
    assert "1. What: row 0 is bad" in text
    assert "... and 5 more" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["dmo"], "No such command"),
        (["demo", "--sed", "1"], "No such option"),
        (["run"], "Missing argument"),
        (["demo", "--workers", "0"], "Invalid value"),
        (["bench", "B99"], "there is no benchmark"),
        (["demo", "--executor", "threads", "--mini"], "unknown executor"),
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert word in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_unexpected_errors_are_saved_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(ZeroDivisionError("division by zero")))
    Workspace.create(tmp_path, name="demo", root_seed=0, data_license="CC0-1.0")
    assert main(["demo", "--workspace", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "ZeroDivisionError: division by zero" in shown.err
    assert "Traceback" not in shown.err + shown.out
    (saved,) = (tmp_path / "logs").iterdir()
    assert "Traceback" in saved.read_text()


def test_a_folder_that_is_no_workspace_gets_no_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(ZeroDivisionError("division by zero")))
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    assert main(["demo", "--workspace", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_debug_prints_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_commands, "_run", raising(ZeroDivisionError("division by zero")))
    assert main(["demo", "--debug", "--workspace", str(tmp_path)]) == 1
    assert "Traceback" in capsys.readouterr().out


def test_a_dry_run_of_a_missing_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "nothing"
    code = main(["run", "folder", "--set", f"intake.source={place}", "--dry-run", "--workspace", str(tmp_path / "ws")])
    assert code == 2
    unwrapped = "".join(capsys.readouterr().err.replace("│", "").split())  # a long path goes over lines of the panel
    assert "nosuchsource" in unwrapped and "/nothing" in unwrapped
    assert not (tmp_path / "ws").exists()
