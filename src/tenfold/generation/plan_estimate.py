"""The estimate of a plan: how many images of what, and from a short probe the time and disk that they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from tenfold.core.device import resolve_device
from tenfold.core.errors import InputError
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png, image_grid
from tenfold.generation.config import GenerateConfig
from tenfold.generation.drawing import ModelFiles, draw_batch, drawing_environment, forget_checkpoint
from tenfold.generation.finishing import GRID_IMAGES_PER_LABEL
from tenfold.generation.origins import Origin, find_origin
from tenfold.generation.parts import cut_parts
from tenfold.generation.plan_reading import Batch
from tenfold.generation.planning import Plan, plan
from tenfold.generation.provenance import Provenance
from tenfold.generation.requests import ImageRequest
from tenfold.generation.run import model_files
from tenfold.generation.shards import member_bytes, tar_bytes
from tenfold.generation.writer import Encoder, Picture

if TYPE_CHECKING:
    from tenfold.generation.strategies.result import Drawing

_PROBED_ON_CPU = 2
_STEPS_BETWEEN = 2
"""Steps by which the longer probe exceeds the shorter one."""
_START_SECONDS = 5.0
_TABLE_BYTES = 300
"""Of one image in the plan and the manifest together."""
_RECORD_BYTES, _FILE_BYTES, _PART_BYTES = 160, 130, 400
"""Of one image, of one of its files, and of the rest, in the record of a part and the checksums."""
_SET_BYTES = 50_000
"""Of a set: what its tables take without rows, the card and the record of the run."""


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
    """What a run would make and take; None is what could not be probed."""

    images: int
    batches: int
    rows: tuple[CoverageRow, ...]
    seconds: float | None = None
    seconds_per_image: float | None = None
    megabytes: float | None = None
    bytes_per_image: int | None = None
    basis: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def dry_run(
    config: GenerateConfig, workspace: Workspace, *, device: str, workers: int = 1, progress: Progress
) -> DryRun:
    """Plan, draw a few images of the first batch in few steps, and reckon what the whole run would take.

    Nothing is written. Time grows in proportion to the steps and to the images by worker; of guided steps outside the
    guidance interval half is reckoned.

    Args:
        device: what the workers draw on. Where this machine has no such one nothing is drawn, and only counts are told.

    Raises what planning and drawing raise: a plan that cannot be drawn is refused here too.
    """
    planned = plan(config, workspace)
    models = replace(model_files(config, workspace, device), compiles=False)
    whole = planned.batch(0)
    origins = [find_origin(request, workspace) for request in whole.requests]
    counted = DryRun(planned.image_count, planned.batch_count, _rows(planned.coverage()))
    if not _is_here(device):
        note = f"this machine has no {device}: time and disk could not be probed; start the dry run where one is"
        return replace(counted, basis="only counted", notes=(note,))
    count = len(whole.requests) if device.startswith("cuda") else min(_PROBED_ON_CPU, len(whole.requests))
    batch = Batch(0, whole.requests[:count])
    try:
        with progress.task("Drawing a probe", 1) as shown:
            seconds, drawing = _probe(batch, origins[:count], models)
            shown.advance()
    finally:
        forget_checkpoint()
    environment = drawing_environment(models, config.dtype)
    records = tuple(origin.record for origin in origins)
    provenances = [
        Provenance(whole, place, environment, None, records, drawing.notes[place] if drawing.notes else {})
        for place in range(count)
    ]
    by_image, total = _disk_bytes(config, planned, drawing, provenances)
    per_image = seconds / count
    return replace(
        counted,
        seconds=round(_START_SECONDS + planned.image_count * per_image / max(1, workers), 1),
        seconds_per_image=round(per_image, 4),
        megabytes=round(total / 1e6, 2),
        bytes_per_image=by_image,
        basis=f"measured now: {count} images at once on {device}, {per_image:.3g} s an image, "
        f"{workers} worker{'s' if workers != 1 else ''}",
        notes=_notes(config, device, workers),
    )


def _is_here(device: str) -> bool:
    try:
        resolve_device(device)
    except InputError:
        return False
    return True


def _disk_bytes(
    config: GenerateConfig, planned: Plan, drawing: Drawing, provenances: Sequence[Provenance]
) -> tuple[int, int]:
    """What one image takes and what the set takes: the files that the writer makes of the probe, and their records."""
    in_shards = config.container == "webdataset"
    pictures = [
        Picture(
            image, provenance, class_number=0,
            mask=None if drawing.masks is None else drawing.masks[place],
            first_pass=None if drawing.first_passes is None else drawing.first_passes[place],
        )
        for place, (image, provenance) in enumerate(zip(drawing.images, provenances, strict=True))
    ]  # fmt: skip
    with Encoder(config.encoder_threads, with_texts=in_shards) as encoder:
        members = [list(future.result().members.values()) for future in encoder.submit(pictures)]
    count = len(members)
    taken = sum(member_bytes(data) if in_shards else len(data) for files in members for data in files) / count
    in_tables = _TABLE_BYTES + _RECORD_BYTES + (0 if in_shards else len(members[0]) * _FILE_BYTES)
    parts = cut_parts(planned.batch_sizes, config.images_per_shard if in_shards else None)
    pixels = len(encode_png(image_grid(drawing.images, count))) / count
    total: float = _SET_BYTES + planned.image_count * in_tables + len(parts) * _PART_BYTES
    total += pixels * sum(min(GRID_IMAGES_PER_LABEL, images) for images in planned.counts().values())
    total += sum(tar_bytes(part.images * taken) if in_shards else part.images * taken for part in parts)
    return round(taken + in_tables), round(total)


def _probe(batch: Batch, origins: Sequence[Origin], models: ModelFiles) -> tuple[float, Drawing]:
    """Seconds that the batch takes in all its steps, and a drawing of it, perhaps of fewer steps."""
    first = batch.requests[0]
    steps = first.num_inference_steps
    if steps is None:
        _timed(batch, origins, models)  # what is done once, such as loading weights, is not counted
        return _timed(batch, origins, models)
    few = next(number for number in range(1, steps + 1) if _passes(first, number))
    more = min(steps, few + _STEPS_BETWEEN)
    short, long = (_with_steps(batch, number) for number in (few, more))
    _timed(short, origins, models)
    least, drawing = _timed(short, origins, models)
    if more == few:
        return least, drawing
    seconds, drawing = _timed(long, origins, models)
    begun, done = _work(short.requests[0]), _work(long.requests[0])
    by_step = max(0.0, seconds - least) / max(1.0, done - begun)
    return seconds + (_work(first) - done) * by_step, drawing


def _timed(batch: Batch, origins: Sequence[Origin], models: ModelFiles) -> tuple[float, Drawing]:
    started = time.perf_counter()
    drawing, _ = draw_batch(batch, origins, models)
    return time.perf_counter() - started, drawing


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
