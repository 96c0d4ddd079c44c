"""The generation stage: plan every image, draw batch by batch, then write the manifest, a grid and the data card."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.device import resolve_device
from tenfold.core.errors import StageError
from tenfold.core.executor import Executor
from tenfold.core.files import write_bytes_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png, image_grid
from tenfold.data.manifest import make_manifest, write_manifest
from tenfold.generation.adapter import adapter_inputs, other_base, resolve_model
from tenfold.generation.card import data_card
from tenfold.generation.config import GenerateConfig
from tenfold.generation.drawing import (
    DrawnImage,
    DrawTask,
    draw_batch,
    forget_checkpoint,
    read_cut_prompts,
    read_drawn,
)
from tenfold.generation.planning import PROMPTS, TRAINING_ROWS, Plan, plan, write_requests
from tenfold.generation.rows import manifest_row
from tenfold.models.checkpoint_ref import checkpoint_parts

GRID_COLUMNS = 8
GRID_ROWS_PER_LABEL = 2


def run(config: GenerateConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Make ``synthetic/<name>``: requests.parquet, images/, manifest.parquet, grid.png and README.md.

    Batches are drawn by the executor's workers; which worker draws what changes nothing. Finished batches of an
    interrupted run are kept when their files have the recorded hashes.
    """
    inputs = _inputs(config, workspace)
    stage_run = begin_stage(workspace, "generate", f"synthetic/{config.name}", config, inputs, seed=config.seed)
    if stage_run.is_finished:
        return stage_run.result()
    folder = stage_run.folder
    planned = plan(config, workspace)
    write_requests(planned, folder / "requests.parquet")

    device = resolve_device(config.device)
    checkpoint, adapter = resolve_model(config, workspace)
    other = other_base(adapter, checkpoint)
    if other is not None:
        progress.log(f"{config.adapter} was trained on {other}, which is not the checkpoint that draws here")
    tasks = _tasks(planned, workspace, (checkpoint, adapter), device, folder)
    drawn = _draw(tasks, executor, progress, f"Drawing {config.name}")

    cut = sorted({prompt for task in tasks for prompt in read_cut_prompts(task)})
    if cut:
        progress.log(f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut, e.g. {cut[0]!r}")
    _write_manifest(planned, tasks, drawn, workspace, folder)
    _write_grid(planned, folder)
    write_text_atomic(folder / "README.md", data_card(config, workspace, planned))
    outputs = [folder / name for name in ("requests.parquet", "images", "manifest.parquet", "grid.png", "README.md")]
    summary: dict[str, Any] = {"strategy": config.strategy, "images": planned.counts(), "cut_prompts": cut}
    if other is not None:
        summary["adapter_was_trained_on"] = other
    result = stage_run.finish(outputs, summary, device=device)
    shutil.rmtree(folder / "batches", ignore_errors=True)
    return result


def planned_image_count(config: GenerateConfig, label_count: int) -> int:
    """Images that a run will make, told before its checkpoint exists; `label_count` where the config names none."""
    if config.strategy == "autoencoder":
        return len(config.reference_ids)
    return config.images_per_class * (len(config.labels) or len(config.prompts) or label_count)


def _inputs(config: GenerateConfig, workspace: Workspace) -> list[Path]:
    checkpoint, adapter = resolve_model(config, workspace)
    inputs = [*checkpoint_parts(checkpoint), *adapter_inputs(adapter, (TRAINING_ROWS, PROMPTS))]
    inputs += [checkpoint / name for name in (TRAINING_ROWS, PROMPTS) if (checkpoint / name).is_file()]
    if config.ancestors_from is not None:
        inputs.append(workspace.resolve(config.ancestors_from) / TRAINING_ROWS)
    if config.strategy == "autoencoder":
        inputs += [workspace.resolve("data/manifest.parquet"), workspace.resolve("data/splits.json")]
    return inputs


def _tasks(
    planned: Plan, workspace: Workspace, model: tuple[Path, Path | None], device: str, folder: Path
) -> list[DrawTask]:
    return [
        DrawTask(
            batch=batch,
            checkpoint=model[0],
            adapter=model[1],
            device=device,
            images_folder=folder / "images",
            records_folder=folder / "batches",
            reference_paths=tuple(
                workspace.resolve(planned.references[request.parent_id]["path"])
                for request in batch.requests
                if request.parent_id is not None
            ),
        )
        for batch in planned.batches
    ]


def _draw(tasks: Sequence[DrawTask], executor: Executor, progress: Progress, description: str) -> dict[str, DrawnImage]:
    """Draw what is not yet there; what lies there afterwards, by image_id."""
    drawn: dict[str, DrawnImage] = {}
    remaining = []
    with progress.task(description, sum(len(task.batch.requests) for task in tasks)) as shown:
        for task in tasks:
            found = read_drawn(task)
            if found is None:
                remaining.append(task)
            else:
                drawn.update(found)
                shown.advance(len(found))
        try:
            for _, count in executor.map(draw_batch, remaining):
                shown.advance(count)
        finally:
            forget_checkpoint()
    for task in remaining:
        found = read_drawn(task)
        if found is None:
            raise StageError(
                f"the images of {task.batch.name} changed while the run went on",
                where=str(task.images_folder),
                todo="Leave the folder alone and run the same command again: the batch is drawn anew.",
            )
        drawn.update(found)
    return drawn


def _write_manifest(
    planned: Plan, tasks: Iterable[DrawTask], drawn: Mapping[str, DrawnImage], workspace: Workspace, folder: Path
) -> None:
    rows = []
    for task in tasks:
        for position, request in enumerate(task.batch.requests):
            path = workspace.relative(task.images_folder / f"{request.image_id}.png")
            rows.append(manifest_row(planned, task.batch, position, drawn[request.image_id], path))
    write_manifest(make_manifest(rows), folder / "manifest.parquet")


def _write_grid(planned: Plan, folder: Path) -> None:
    """The first images of each label, in lines of GRID_COLUMNS."""
    chosen: dict[str, list[str]] = {}
    for request in planned.requests:
        names = chosen.setdefault(request.label, [])
        if len(names) < GRID_COLUMNS * GRID_ROWS_PER_LABEL:
            names.append(request.image_id)
    pictures = []
    for names in chosen.values():
        images = [decode_image(folder / "images" / f"{name}.png") for name in names]
        empty = -len(images) % GRID_COLUMNS if len(chosen) > 1 else 0
        pictures += [*images, *[np.full_like(images[0], 255)] * empty]
    write_bytes_atomic(folder / "grid.png", encode_png(image_grid(np.stack(pictures), GRID_COLUMNS)))
