"""The estimate of a plan: how many images of what, and from a short probe the time and disk that they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.device import resolve_device
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.generation.drawing import ModelFiles, draw_batch, drawing_environment, forget_checkpoint
from tenfold.generation.origins import Origin, find_origin
from tenfold.generation.plan_reading import Batch
from tenfold.generation.planning import plan
from tenfold.generation.provenance import Provenance, encode_synthetic
from tenfold.generation.requests import ImageRequest
from tenfold.generation.run import model_files

_PROBED_ON_CPU = 2
_STEPS_BETWEEN = 2
"""Steps by which the longer probe exceeds the shorter one."""
_START_SECONDS = 5.0
_MANIFEST_BYTES = 300
"""Of one image in the plan and the manifest together."""


@dataclass(frozen=True)
class CoverageRow:
    """What will be made of one label, strategy and skin type; `facts`: of one value of each of the prompts' fields."""

    label: str
    strategy: str
    skin_type: int | None
    facts: dict[str, str]
    images: int


@dataclass(frozen=True)
class DryRun:
    """What a run would make and take."""

    images: int
    batches: int
    rows: tuple[CoverageRow, ...]
    seconds: float
    seconds_per_image: float
    megabytes: float
    bytes_per_image: int
    basis: str
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def dry_run(config: GenerateConfig, workspace: Workspace, *, workers: int = 1, progress: Progress) -> DryRun:
    """Plan, draw a few images of the first batch in few steps, and reckon what the whole run would take.

    Nothing is written. Time grows in proportion to the steps and to the images by worker; of guided steps outside the
    guidance interval half is reckoned.

    Raises what planning and drawing raise: a plan that cannot be drawn is refused here too.
    """
    planned = plan(config, workspace)
    device = resolve_device(config.device)
    models = replace(model_files(config, workspace, device), compiles=False)
    whole = planned.batch(0)
    origins = [find_origin(request, workspace) for request in whole.requests]
    count = len(whole.requests) if device.startswith("cuda") else min(_PROBED_ON_CPU, len(whole.requests))
    batch = Batch(0, whole.requests[:count])
    try:
        with progress.task("Drawing a probe", 1) as shown:
            seconds, images = _probe(batch, origins[:count], models)
            shown.advance()
    finally:
        forget_checkpoint()
    environment = drawing_environment(device, config.dtype)
    records = tuple(origin.record for origin in origins)
    files = [
        encode_synthetic(image, Provenance(whole, position, environment, None, records))
        for position, image in enumerate(images)
    ]
    size = round(sum(map(len, files)) / len(files))
    per_image = seconds / count
    each = size + _MANIFEST_BYTES
    return DryRun(
        images=planned.image_count,
        batches=planned.batch_count,
        rows=_rows(planned.coverage()),
        seconds=round(_START_SECONDS + planned.image_count * per_image / max(1, workers), 1),
        seconds_per_image=round(per_image, 4),
        megabytes=round(planned.image_count * each / 1e6, 2),
        bytes_per_image=each,
        basis=f"measured now: {count} images at once on {device}, {per_image:.3g} s an image, "
        f"{workers} worker{'s' if workers != 1 else ''}",
        notes=_notes(config, device, workers),
    )


def _probe(batch: Batch, origins: Sequence[Origin], models: ModelFiles) -> tuple[float, NDArray[np.uint8]]:
    """Seconds that the batch takes in all its steps, and pictures of it, perhaps of fewer steps."""
    first = batch.requests[0]
    steps = first.num_inference_steps
    if steps is None:
        _timed(batch, origins, models)  # what is done once, such as loading weights, is not counted
        return _timed(batch, origins, models)
    few = next(number for number in range(1, steps + 1) if _passes(first, number))
    more = min(steps, few + _STEPS_BETWEEN)
    short, long = (_with_steps(batch, number) for number in (few, more))
    _timed(short, origins, models)
    least, images = _timed(short, origins, models)
    if more == few:
        return least, images
    seconds, images = _timed(long, origins, models)
    begun, done = _work(short.requests[0]), _work(long.requests[0])
    by_step = max(0.0, seconds - least) / max(1.0, done - begun)
    return seconds + (_work(first) - done) * by_step, images


def _timed(batch: Batch, origins: Sequence[Origin], models: ModelFiles) -> tuple[float, NDArray[np.uint8]]:
    started = time.perf_counter()
    drawing, _ = draw_batch(batch, origins, models)
    return time.perf_counter() - started, drawing.images


def _with_steps(batch: Batch, steps: int) -> Batch:
    fewer = [replace(one, num_inference_steps=steps, guidance_interval=None) for one in batch.requests]
    return Batch(batch.number, tuple(fewer))


def _passes(request: ImageRequest, steps: int) -> list[int]:
    """Steps that are run in each pass; [] when a strength leaves none."""
    strengths = [1.0 if request.strength is None else request.strength]
    if request.outpaint_strength is not None:
        strengths.append(request.outpaint_strength)
    run = [int(steps * strength) for strength in strengths]
    return run if all(run) else []


def _work(request: ImageRequest) -> float:
    """Steps in units of one that is guided like the probe's: a step that is not guided where others are is half."""
    total = 0.0
    for steps in _passes(request, request.num_inference_steps or 1):
        guided = steps
        if request.guidance_interval is not None and (request.guidance_scale or 1.0) > 1:
            low, high = request.guidance_interval
            guided = sum(low <= step / steps < high for step in range(steps))
        total += guided + (steps - guided) / 2
    return total


def _rows(coverage: pd.DataFrame) -> tuple[CoverageRow, ...]:
    facts = [name for name in coverage.columns if name not in ("label", "strategy", "skin_type", "images")]
    return tuple(
        CoverageRow(
            str(row["label"]), str(row["strategy"]), None if pd.isna(row["skin_type"]) else int(row["skin_type"]),
            {name: str(row[name]) for name in facts if not pd.isna(row[name])}, int(row["images"]),
        )
        for row in coverage.to_dict("records")
    )  # fmt: skip


def _notes(config: GenerateConfig, device: str, workers: int) -> tuple[str, ...]:
    notes = []
    if config.compile:
        notes.append("the probe was drawn without torch.compile, which takes minutes to start and is faster then")
    if workers > 1:
        notes.append("workers are reckoned as if none slowed the others down")
    if not device.startswith("cuda") and config.batch_size > _PROBED_ON_CPU:
        notes.append(f"batches of {config.batch_size} may be faster by image than the probe's {_PROBED_ON_CPU}")
    return tuple(notes)
