"""B10: one generation run, the same in four shards, and killed half-way and resumed; byte-identical, at what cost."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.bench.figures import Figures, Row, Timings, describe_machine, interleaved
from tenfold.bench.generation_runs import Interrupted, draw, new_workspace, plain_config, set_folder, written
from tenfold.core.environment import describe_environment
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.generation.parts import RECORDS

CHECKPOINT = "embedded:base"
IMAGES = 512
BATCH = 16
SHARDS = 4
MOST_OVERHEAD = 0.02
_WHAT = {
    "one run": "{images} images by one run",
    "shards": "the same by {shards} shards, one after another",
    "killed": "the same, killed half-way and resumed",
}


@dataclass
class _Trial:
    """One turn of one way: made anew before each."""

    workspace: Workspace
    interrupted: Interrupted | None = None


def measure(
    repeats: int, progress: Progress, checkpoint: str = CHECKPOINT, images: int = IMAGES, batch_size: int = BATCH
) -> Figures:
    """The three ways, each in an empty workspace on one thread.

    The start of Python and its imports do not count; loading the checkpoint, reading the plan and what was drawn twice
    do.
    """
    config = plain_config(checkpoint, images, batch_size)
    trials: dict[str, _Trial] = {}
    found: dict[str, dict[str, str]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="tenfold-b10-") as folder,
        progress.task("B10", repeats * len(_WHAT)) as task,
    ):
        warm = new_workspace(Path(folder) / "warm")
        draw(plain_config(checkpoint, batch_size, batch_size), warm)

        def prepare(way: str) -> None:
            number = sum(1 for _ in Path(folder).iterdir())
            workspace = new_workspace(Path(folder) / str(number))
            trials[way] = _Trial(workspace, Interrupted(config, workspace) if way == "killed" else None)

        def one_run() -> None:
            draw(config, trials["one run"].workspace)

        def shards() -> None:
            draw(config, trials["shards"].workspace, SHARDS)

        def killed() -> None:
            interrupted = trials["killed"].interrupted
            assert interrupted is not None
            try:
                interrupted.draw(_parts(config) // 2)
            finally:
                interrupted.stop()

        ways = {"one run": one_run, "shards": shards, "killed": killed}
        timings = interleaved(ways, repeats, task, prepare=prepare)
        found = {way: written(trial.workspace) for way, trial in trials.items()}
        records = len(list((set_folder(trials["one run"].workspace) / RECORDS).iterdir()))
    return Figures(
        name="B10",
        title=f"generation in shards, killed and resumed; {records} parts of {batch_size} images",
        machine=describe_machine(1),
        threads=1,
        repeats=repeats,
        rows=tuple(_row(way, images, timings, found) for way in _WHAT),
        environment=describe_environment(),
    )


def _parts(config: GenerateConfig) -> int:
    """Parts of a set in a folder: its batches."""
    return -(-(config.images_per_class or 1) // config.batch_size)


def _row(way: str, images: int, timings: Timings, found: dict[str, dict[str, str]]) -> Row:
    row = Row(
        what=_WHAT[way].format(images=images, shards=SHARDS),
        unit="images",
        units=images,
        seconds={"ours": timings.wall[way]},
        cpu_seconds={"ours": timings.cpu[way]},
        target="-",
        check=f"{len(found[way])} files",
        is_equal=None,
    )
    if way == "one run":
        return row
    more = {clock: _overhead(seconds, way) for clock, seconds in (("CPU", timings.cpu), ("clock", timings.wall))}
    is_equal = found[way] == found["one run"]
    kind = "byte-identical" if is_equal else "DIFFERENT BYTES"
    return replace(
        row,
        target=f"byte-identical, at most {MOST_OVERHEAD:.0%} more",
        check=f"{row.check}, {kind}; {more['CPU']:+.1%} CPU time, {more['clock']:+.1%} by the clock",
        is_equal=is_equal,
    )


def _overhead(seconds: Mapping[str, tuple[float, ...]], way: str) -> float:
    """Share of one run's median that the way takes more."""
    return statistics.median(seconds[way]) / statistics.median(seconds["one run"]) - 1
