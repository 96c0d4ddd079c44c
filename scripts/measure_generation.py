"""Measure planning, finding one's place and memory of the generation stage at a hundred thousand images.

    python scripts/measure_generation.py plan [--images 100000] [--folder DIR]     plan, and write it
    python scripts/measure_generation.py run [--images 100000] [--folder DIR]      the whole stage: its peak memory
    python scripts/measure_generation.py resume [--folder DIR]                     the same command again afterwards

`resume` needs the folder that `run` left: it forgets that the set is finished, as if the run had died before its
manifest. In `run` flat pictures stand in for what the network draws: everything else (plan, encoding, hashes, files,
records, manifest, grid) is the stage's own. Run each in a process of its own with OMP_NUM_THREADS=1; peak memory
includes Python and its libraries, so compare `--images 1000` with `--images 100000`. CPU seconds beside those of the
clock, which other work on the machine disturbs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tenfold.core.device import resolve_device
from tenfold.core.environment import peak_memory_bytes
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.generation import drawing, finishing, parts
from tenfold.generation import run as stage
from tenfold.generation.config import GenerateConfig
from tenfold.generation.origins import Origin
from tenfold.generation.plan_reading import Batch
from tenfold.generation.planning import plan, write_requests
from tenfold.generation.strategies.result import Drawing

NAME = "many"
EDGE_PX = 16
LABELS = ("mole", "rash")


def config(images: int) -> GenerateConfig:
    """Two classes, three prompts."""
    return GenerateConfig(
        name=NAME,
        seed=5,
        prompts={"mole": ("a mole",), "rash": ("a rash", "another rash")},
        images_per_class=images // len(LABELS),
        num_inference_steps=2,
    )


def measure_plan(images: int, workspace: Workspace) -> None:
    """Plan, then write what was planned."""
    planned = timed(f"plan of {images} images", lambda: plan(config(images), workspace))
    timed("written", lambda: write_requests(planned, workspace.resolve("requests.parquet")))


def measure_run(images: int, workspace: Workspace) -> None:
    """The whole stage with pictures that cost nothing."""
    drawing.draw_batch = flat_pictures  # type: ignore[assignment]
    run_stage(images, workspace)


def measure_resume(images: int, workspace: Workspace) -> None:
    """Until the run knows that nothing is left to draw; then the manifest, anew."""
    drawing.draw_batch = refuse  # type: ignore[assignment]
    folder = workspace.resolve(f"synthetic/{NAME}")
    for name in ("run.json", finishing.MANIFEST):
        (folder / name).unlink(missing_ok=True)
    resolve_device("auto")  # loads torch, which is no part of finding one's place
    began, computed = time.perf_counter(), time.process_time()

    def told(*arguments: Any) -> list[parts.Part]:
        missing = original(*arguments)
        report("found its place, from the stage's start", began, computed)
        stage._missing = original
        return missing

    original, stage._missing = stage._missing, told
    run_stage(images, workspace)


def run_stage(images: int, workspace: Workspace) -> None:
    """By one process, as `tenfold generate` does."""
    timed(
        f"stage of {images} images",
        lambda: stage.run(config(images), workspace, SerialExecutor(), NullProgress()),
    )


def flat_pictures(
    batch: Batch, origins: Sequence[Origin], models: drawing.ModelFiles, **_: Any
) -> tuple[Drawing, list[str | None]]:
    """A color of its own for each image."""
    colors = [tuple(bytes.fromhex(request.image_id[:6])) for request in batch.requests]
    images = np.broadcast_to(np.array(colors, np.uint8)[:, None, None], (len(colors), EDGE_PX, EDGE_PX, 3))
    return Drawing(np.ascontiguousarray(images)), [None] * len(colors)


def refuse(*_: Any, **__: Any) -> Any:
    """Nothing may be drawn where all is drawn."""
    raise AssertionError("an image that lies there was to be drawn again")


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do the work and print what it took."""
    began, computed = time.perf_counter(), time.process_time()
    answer = work()
    report(what, began, computed)
    return answer


def report(what: str, began: float, computed: float) -> None:
    """A line of seconds, memory and load."""
    wall, cpu = time.perf_counter() - began, time.process_time() - computed
    peak, load = peak_memory_bytes() / 2**20, psutil.getloadavg()[0]
    print(f"{what}: {wall:.2f} s, CPU {cpu:.2f} s; peak {peak:.0f} MiB so far; load {load:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("plan", "run", "resume"))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Where the workspace is made and kept; else a temporary one.")
    arguments = parser.parse_args()
    measure = {"plan": measure_plan, "run": measure_run, "resume": measure_resume}[arguments.what]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "workspace"
        workspace = Workspace.open_or_create(folder, name="measure", root_seed=0, data_license="made to measure")
        measure(arguments.images, workspace)


if __name__ == "__main__":
    main()
