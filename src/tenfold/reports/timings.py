"""What differs between runs of the same recipe: times, memory, versions and host, by stage."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_json
from tenfold.core.run_record import RunRecord, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.reports.contents import StageTiming, Timings

_OWN_STAGE = "report"


def read_timings(workspace: Workspace) -> Timings:
    """All finished stages of the workspace but the report itself, grouped by stage in the order they began."""
    records = sorted(_records(workspace.path), key=lambda record: (record.started_at, record.stage))
    by_stage: dict[str, list[RunRecord]] = {}
    for record in records:
        by_stage.setdefault(record.stage, []).append(record)
    return Timings(
        stages=tuple(_timing(stage, members) for stage, members in by_stage.items()),
        started_at=records[0].started_at if records else "",
        finished_at=max((record.finished_at for record in records), default=""),
        environment=records[-1].environment if records else {},
    )


def _records(folder: Path) -> list[RunRecord]:
    found = []
    for path in sorted(folder.glob("*/*/run.json")):
        try:
            found.append(read_run_record(path.parent))
        except DataError:
            continue
    return [record for record in found if record.stage != _OWN_STAGE]


def _timing(stage: str, records: list[RunRecord]) -> StageTiming:
    outputs = {path: digest for record in records for path, digest in record.outputs.items()}
    return StageTiming(
        stage=stage,
        n_runs=len(records),
        seconds=round(sum(record.seconds for record in records), 3),
        peak_memory_bytes=max(record.peak_memory_bytes for record in records),
        outputs_sha256=sha256_json(outputs),
    )
