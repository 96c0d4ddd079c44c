"""What failed in a study: the log, what other rooms are told, and the error with which a run ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenfold.core.errors import StageError
from tenfold.core.files import write_text_atomic
from tenfold.core.workspace import Workspace
from tenfold.studies.parts import Outcome

LOG = "logs/failed-parts.txt"
_SHOWN = 5
_LINES = 4


def failures_of(outcomes: Mapping[str, Outcome], workspace: Workspace) -> list[dict[str, Any]]:
    """Each failed part with its error in words, as the study's summary has it; the details go to the log."""
    failed = [outcome for outcome in outcomes.values() if outcome.error]
    if causes := [outcome for outcome in failed if outcome.details]:
        text = "\n\n".join(f"{outcome.name}\n{outcome.details}" for outcome in causes) + "\n"
        write_text_atomic(workspace.path / LOG, text)
    return [
        {
            "part": outcome.name,
            "error": outcome.error,
            "is_cause": bool(outcome.details),
        }
        for outcome in failed
    ]


def failure_error(summary: Mapping[str, Any], workspace: Workspace) -> StageError | None:
    """The error that tells of a study's failures; None where there are none."""
    failed: Sequence[Mapping[str, Any]] = summary.get("failures", ())
    if not failed:
        return None
    causes = [one for one in failed if one["is_cause"]]
    lines = [f"{one['part']}: {_shortened(one['error'])}" for one in causes[:_SHOWN]]
    if len(causes) > _SHOWN:
        lines.append(f"... and {len(causes) - _SHOWN} more")
    return StageError(
        f"{len(failed)} of {summary['parts']} parts of the study failed: {_listed([one['part'] for one in failed])}",
        where=str(workspace.path / LOG),
        expected="every part to finish; the others did and are kept\n" + "\n".join(lines),
        todo="Mend the cause and run the same command again: only these are done anew.",
    )


def _shortened(text: str) -> str:
    """The first lines of an error; the log has all."""
    lines = text.splitlines()
    return " ".join(lines[:_LINES]) + (" ..." if len(lines) > _LINES else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
