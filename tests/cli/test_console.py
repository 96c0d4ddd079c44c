"""The console: results on stdout, the rest on stderr, JSON lines, and progress with time left."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console as RichConsole

from tenfold.cli import progress as progress_module
from tenfold.cli.console import Console
from tenfold.cli.progress import BarProgress, LineProgress, readable_seconds


def test_results_go_to_stdout_and_logs_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    with console.progress() as progress, progress.task("Drawing", 3) as task:
        task.advance()
        progress.log("a line with [brackets] and :smile:")
    console.result({"verdict": "helps"}, ["It helps."])
    shown = capsys.readouterr()
    assert shown.out == "It helps.\n"
    assert shown.err == "a line with [brackets] and :smile:\n"


def test_quiet_keeps_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    with console.progress() as progress, progress.task("Drawing", 3) as task:
        task.advance()
        progress.log("dropped")
    console.line("dropped")
    console.table("dropped", ("A",), [(1,)])
    console.result({"verdict": "helps"}, ["It helps."])
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("It helps.\n", "")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True)
    with console.progress() as progress, progress.task("Drawing", 3) as task:
        task.advance()
        progress.log("hello")
    console.line("dropped")
    console.result({"verdict": "helps"}, ["It helps."])
    shown = capsys.readouterr()
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [event["event"] for event in events] == ["task", "log", "task", "result"]
    assert events[-1]["verdict"] == "helps"
    assert shown.err == ""


def test_lines_tell_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0, 31.0, 60.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    progress = LineProgress(RichConsole(file=out, width=80))
    with progress.task("Drawing", 4) as task:
        for _ in range(3):
            task.advance()
    assert out.getvalue().splitlines() == [
        "Drawing: 1/4, about 1 min 30 s left",
        "Drawing: 3/4, about 20 s left",
    ]


def test_bars_are_nested_and_go_away() -> None:
    out = io.StringIO()
    with BarProgress(RichConsole(file=out, force_terminal=True, width=100)) as bars:
        with bars.task("In all", 10) as outer, bars.task("Study", 5) as inner:
            inner.advance(5)
            outer.advance(5)
            assert [task.description for task in bars._bars.tasks] == ["In all", "Study"]
        assert not bars._bars.tasks


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_readable_seconds(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text


def test_numbers_are_flush_right_and_odd_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table("Counts of things", ("Name", "Images"), [("[red]a", "1,234"), ("b", "7")])
    title, _, _, *rows = capsys.readouterr().out.splitlines()
    assert title == "Counts of things"
    assert [row.rstrip() for row in rows] == [" [red]a │  1,234", " b      │      7"]
