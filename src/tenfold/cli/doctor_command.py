"""`tenfold doctor`: is this machine ready, and what is missing?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Quiet, WorkspaceDir
from tenfold.core.errors import TenfoldError

State = Literal["ok", "note", "broken"]

_ESSENTIAL = ("torch", "diffusers", "transformers", "timm", "numpy", "pandas", "pyarrow", "safetensors", "Pillow")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NEEDED_GIB = 4.0
_NEEDED_DISK_GIB = 1.0
_EXAMPLES = """[bold]Examples[/bold]

tenfold doctor

tenfold doctor --workspace /data/study --json
"""


@dataclass(frozen=True)
class Check:
    """One line of the examination; `broken` ends in a non-zero exit code, `note` does not."""

    name: str
    state: State
    found: str
    todo: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("doctor", epilog=_EXAMPLES)(doctor)


def doctor(workspace: WorkspaceDir = None, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """Look at Python, packages, device, memory, disk and the embedded model; exit 1 when something needed is broken."""
    console = session.open_console(quiet, as_json, debug)
    checks = examine(workspace or Path("."))
    marks = {"ok": "ok", "note": "note", "broken": "BROKEN"}
    console.table("Doctor", ("", "Check", "Found"), [(marks[one.state], one.name, one.found) for one in checks])
    broken = [one for one in checks if one.state == "broken"]
    lines = [f"{one.name}: {one.todo}" for one in checks if (one.todo and not quiet) or one in broken]
    lines.append("Something needed is broken." if broken else "Everything needed is there.")
    console.result({"checks": [asdict(one) for one in checks], "is_ready": not broken}, lines)
    if broken:
        raise typer.Exit(1)


def examine(place: Path) -> list[Check]:
    """All checks, in reading order; `place` is the folder that runs will write to."""
    checks = [_python(), *[_package(name) for name in _ESSENTIAL]]
    checks += [_guarded("device", _device), _guarded("memory", _memory)]
    checks += [_guarded("disk", lambda: _disk(place)), _guarded("writing", lambda: _writing(place))]
    checks += [_guarded("embedded base", _embedded_base), _guarded("embedded feature net", _embedded_features)]
    checks += [_optional("ray"), _optional("onnx"), _browser()]
    return checks


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except TenfoldError as error:
        return Check(name, "broken", f"{error.what} ({error.where})" if error.where else error.what, error.todo)
    except Exception as error:
        return Check(name, "broken", f"{type(error).__name__}: {error}", "Install Tenfold again.")


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "broken", "not installed", f"pip install {name}, or install Tenfold again.")


def _device() -> Check:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"CPU, {cores} usable cores, {torch.get_num_threads()} threads by default"
    if torch.cuda.is_available():
        found = f"{torch.cuda.get_device_name(0)}; {found}"
    return Check("device", "ok", found)


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if memory.available / 2**30 < _NEEDED_GIB:
        return Check("memory", "note", found, f"The demo may take up to {_NEEDED_GIB:.0f} GiB: use --workers 1.")
    return Check("memory", "ok", found)


def _disk(place: Path) -> Check:
    free = shutil.disk_usage(_existing(place)).free / 2**30
    found = f"{free:.1f} GiB free at {_existing(place)}"
    if free < _NEEDED_DISK_GIB:
        return Check("disk", "broken", found, f"Free {_NEEDED_DISK_GIB:.0f} GiB, or choose another --workspace.")
    return Check("disk", "ok", found)


def _writing(place: Path) -> Check:
    folder = _existing(place)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tenfold-doctor-"):
            pass
    except OSError as error:
        return Check("writing", "broken", f"{folder}: {error.strerror}", "Choose another --workspace.")
    return Check("writing", "ok", f"{folder} can be written")


def _existing(place: Path) -> Path:
    place = place.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def _embedded_base() -> Check:
    from tenfold.models.embedded import base_path

    return Check("embedded base", "ok", f"whole, by digest, at {base_path()}")


def _embedded_features() -> Check:
    from tenfold.models.embedded import features_path

    return Check("embedded feature net", "ok", f"whole, by digest, at {features_path()}")


def _optional(name: str) -> Check:
    found = importlib.util.find_spec(name) is not None
    return Check(name, "ok" if found else "note", "installed" if found else "not installed; no command needs it yet")


def _browser() -> Check:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    return Check("Chromium", "ok" if found else "note", found or "not found: only for pictures of the report in tests")
