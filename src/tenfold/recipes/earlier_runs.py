"""Earlier runs of the same name: a command never sweeps away what it finished with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenfold.core.config import StageConfig
from tenfold.core.errors import InputError
from tenfold.core.run_record import read_run_record


def refuse_other_run(folder: Path, config: StageConfig, stage: str, thing: str) -> None:
    """Raise InputError when a finished `thing` of another stage or with other settings lies in the folder."""
    if not (folder / "run.json").is_file():
        return
    record = read_run_record(folder)
    wanted = config.model_dump(mode="json")
    differing = [name for name in {**wanted, **record.config} if record.config.get(name) != wanted.get(name)]
    if record.stage == stage and not differing:
        return
    told = [f"{name} {_short(record.config.get(name))}, now {_short(wanted.get(name))}" for name in differing[:8]]
    raise InputError(
        f"a {thing} of this name was made otherwise: "
        + (f"by {record.stage}" if record.stage != stage else "; ".join(told)),
        where=str(folder),
        expected="a new name, or the same settings",
        todo=f"Give another --name, or delete the folder if the {thing} is no longer wanted. Nothing was changed.",
    )


def _short(value: Any) -> str:
    return f"{len(value)} items" if isinstance(value, list | dict) and len(value) > 3 else repr(value)
