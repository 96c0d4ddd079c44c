"""What a running command has told so far: its console and its workspace, for the error handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tenfold.cli.console import Console


@dataclass
class Session:
    """One invocation of the program."""

    console: Console = field(default_factory=Console)
    workspace: Path | None = None


_current = Session()


def current() -> Session:
    """The running invocation."""
    return _current


def begin(arguments: list[str]) -> Session:
    """Start an invocation; the console is known from the raw arguments, so that usage errors obey it too."""
    global _current
    _current = Session(
        Console(
            quiet="--quiet" in arguments or "-q" in arguments,
            as_json="--json" in arguments,
            debug="--debug" in arguments,
        )
    )
    return _current


def open_console(quiet: bool, as_json: bool, debug: bool, workspace: Path | None = None) -> Console:
    """The console of a command, remembered for the error handler together with its workspace."""
    _current.console = Console(quiet=quiet, as_json=as_json, debug=debug)
    _current.workspace = workspace
    return _current.console
