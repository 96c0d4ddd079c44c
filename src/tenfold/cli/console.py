"""The one console: lines, results, progress and the error panel, for people or as JSON lines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tenfold.cli.progress import BarProgress, JsonProgress, LineProgress, SilentProgress
from tenfold.core.errors import FaultsError, TenfoldError, WaitingForPeople
from tenfold.core.progress import Progress

_NUMBER = re.compile(r"[-+]?[\d,.]*|\?")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ERROR_PARTS = (("what", "What"), ("where", "Where"), ("expected", "Expected"), ("todo", "What to do"))


class Console:
    """Results go to stdout; progress, logs and errors to stderr. With `as_json`, all of them are lines on stdout."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False, debug: bool = False) -> None:
        self.is_quiet = quiet
        self.is_json = as_json
        self.is_debug = debug
        self._out = RichConsole(highlight=False, soft_wrap=True, emoji=False, markup=False)
        self._err = RichConsole(stderr=True, highlight=False, emoji=False, markup=False)

    def line(self, text: str = "") -> None:
        """A line for people; dropped when quiet or JSON."""
        if not (self.is_quiet or self.is_json):
            self._out.print(safe_text(text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people, columns of numbers flush right and never cut; dropped when quiet or JSON."""
        if self.is_quiet or self.is_json:
            return
        table = Table(show_edge=False)
        cells = [[safe_text(str(value)) for value in row] for row in rows]
        for number, name in enumerate(columns):
            is_number = bool(cells) and all(_NUMBER.fullmatch(row[number]) for row in cells)
            table.add_column(Text(name), justify="right" if is_number else "left", no_wrap=is_number)
        for row in cells:
            table.add_row(*[Text(value) for value in row])
        self._out.print(Text(title, style="bold"))
        self._out.print(table, soft_wrap=False)

    def result(self, value: Mapping[str, Any], lines: Sequence[str]) -> None:
        """The command's result: `lines` for people (also when quiet), `value` as one JSON line for machines."""
        if self.is_json:
            _print_json({"event": "result", **value})
        else:
            for text in lines:
                self._out.print(safe_text(text))

    def event(self, name: str, value: Mapping[str, Any]) -> None:
        """Something before the result that machines want whole: one JSON line; nothing for people."""
        if self.is_json:
            _print_json({"event": name, **value})

    def error(self, error: TenfoldError) -> None:
        """The error panel: what, where, expected, what to do; several faults in one panel."""
        if self.is_json:
            _print_json({"event": "error", **error.as_dict()})
            return
        waits = isinstance(error, WaitingForPeople)
        title, style = ("Waiting for people", "yellow") if waits else ("Error", "red")
        self._err.print(Panel(_error_text(error), title=title, title_align="left", border_style=style))

    def notice(self, title: str, text: str) -> None:
        """A panel that is no error: an interrupted run."""
        if self.is_json:
            _print_json({"event": "notice", "title": title, "text": text})
        else:
            self._err.print(Panel(Text(text), title=title, title_align="left", border_style="yellow"))

    def plain(self, text: str) -> None:
        """Text as it is on stdout: YAML, a schema, a traceback."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Bars with time left on a terminal, a line now and then elsewhere, JSON lines, or nothing when quiet."""
        if self.is_json:
            yield JsonProgress(_print_json)
        elif self.is_quiet:
            yield SilentProgress()
        elif self._err.is_terminal and not self._err.is_dumb_terminal:
            with BarProgress(self._err) as bars:
                yield bars
        else:
            yield LineProgress(self._err)


def safe_text(text: str) -> str:
    """Text from anywhere made safe for a terminal: what would move its cursor or turn its writing becomes a mark.

    >>> safe_text("a\\x1b[31mb")
    'a\ufffd[31mb'
    """
    return _UNSEEN.sub("\ufffd", text)


def _error_text(error: TenfoldError) -> Text:
    text = Text()
    errors = error.errors if isinstance(error, FaultsError) else (error,)
    shown = errors[:20]
    for number, one in enumerate(shown, 1):
        if len(errors) > 1:
            text.append(f"{number}. " if number == 1 else f"\n{number}. ", style="bold")
        parts = [(label, getattr(one, name)) for name, label in _ERROR_PARTS if getattr(one, name)]
        for index, (label, value) in enumerate(parts):
            text.append(f"{label}: ", style="bold")
            text.append(safe_text(str(value)) + ("" if index == len(parts) - 1 else "\n"))
    if len(errors) > len(shown):
        text.append(f"\n... and {len(errors) - len(shown)} more")
    return text


def _print_json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()
