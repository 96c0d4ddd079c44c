"""The generation stage: plan every image, draw part by part, then write the manifest, a grid and the data card."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tenfold.core.device import resolve_device
from tenfold.core.errors import DataError, InputError, StageError, WorkspaceError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_json_atomic, write_text_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage, hash_inputs
from tenfold.core.workspace import Workspace
from tenfold.generation.adapter import other_base, resolve_model
from tenfold.generation.card import data_card
from tenfold.generation.config import WITHOUT_GENERATOR, GenerateConfig
from tenfold.generation.coverage import COVERAGE, write_asked, write_coverage
from tenfold.generation.drawing import DrawSettings, DrawTask, ModelFiles, draw_parts, forget_checkpoint
from tenfold.generation.finishing import MANIFEST, REQUESTS, DrawnSet, write_grid, write_manifest_files
from tenfold.generation.locking import Shard, folder_lock
from tenfold.generation.parts import (
    DAMAGED,
    UNFINISHED,
    Part,
    chosen_parts,
    cut_parts,
    discard_unfinished,
    finished_parts,
)
from tenfold.generation.planning import plan, plan_inputs, write_requests
from tenfold.models.checkpoint_ref import resolve_checkpoint

STAGE = "generate"
PLAN = "plan.json"
CARD = "README.md"
_PLAN_KEYS = ("requests_sha256", "ancestors", "config", "inputs")
_IMAGES_PER_TASK = 64
_TASKS_PER_WORKER = 4
_SHOWN = 3
_LETTERS = 100


def run(
    config: GenerateConfig,
    workspace: Workspace,
    executor: Executor,
    progress: Progress,
    *,
    shard: Shard | None = None,
    limit: int | None = None,
) -> Result:
    """Make ``synthetic/<name>``: requests.parquet, images/ or shards/, manifest.parquet, grid.png and README.md.

    Parts are drawn by the executor's workers; which worker draws what changes nothing. Finished parts of an interrupted
    run are kept when their files are as recorded.

    Args:
        shard: draw only this share of the parts; other processes may draw the others into the same folder meanwhile.
        limit: draw only the first parts (of the shard) that hold so many images.

    Returns:
        The finished set's result, by whoever drew the last part; before that, a result without outputs whose summary
        counts what is drawn.

    Raises:
        WorkspaceError: another process draws into the folder.
        StorageError: the disk is full, or the folder cannot be written.
    """
    folder = workspace.resolve(f"synthetic/{config.name}")
    with folder_lock(folder, shard) as lock:
        with lock.setup() as is_alone:
            if is_alone:
                discard_unfinished(folder, of_all=True)
            else:
                _refuse_other_settings(config, workspace, folder)
            stage_run = _begin(config, workspace, progress)
            if stage_run.is_finished:
                return stage_run.result()
            drawn = _open_plan(config, stage_run)
        chosen = chosen_parts(drawn.parts, shard, limit)
        settings = _settings(config, drawn, executor.device(config.device))
        _tell_if_uncompiled(settings.models, progress)
        unchecked, others = _draw(drawn, chosen, settings, executor, progress)
        with lock.setup():
            missing = _missing(drawn, unchecked, progress)
            if not missing and not (folder / "run.json").is_file():
                missing = _missing(drawn, others, progress, reads_all=True)
            result = _conclude(config, stage_run, drawn, missing, settings.models.device, progress)
    if not result.outputs and shard is None and limit is None:
        raise StageError(
            "images are not as they were written",
            where=str(folder),
            todo="Leave the folder alone and run the same command again: what is damaged is drawn anew.",
        )
    return result


def model_files(config: GenerateConfig, workspace: Workspace, device: str) -> ModelFiles:
    """Where the weights that the config names lie. Raises CheckpointError when one is missing."""
    checkpoint = adapter = None
    if config.strategy not in WITHOUT_GENERATOR:
        checkpoint, adapter = resolve_model(config, workspace)
    upscaler = None if config.upscaler is None else resolve_checkpoint(config.upscaler, workspace)
    return ModelFiles(checkpoint, adapter, upscaler, device, config.compile)


def _begin(config: GenerateConfig, workspace: Workspace, progress: Progress) -> StageRun:
    """Begin or resume; a finished set with a file that is not as recorded is resumed too."""
    inputs, name = plan_inputs(config, workspace), f"synthetic/{config.name}"
    stage_run = begin_stage(workspace, STAGE, name, config, inputs, seed=config.seed)
    if stage_run.is_finished:
        drawn = _open_plan(config, stage_run)
        if not _missing(drawn, drawn.parts, progress):
            return stage_run
        (drawn.folder / MANIFEST).unlink()  # an output that is gone makes the set unfinished
        stage_run = begin_stage(workspace, STAGE, name, config, inputs, seed=config.seed)
    return stage_run


def _refuse_other_settings(config: GenerateConfig, workspace: Workspace, folder: Path) -> None:
    """WorkspaceError when another process draws another plan into the folder, which would be removed under its feet."""
    known, wanted = _known_plan(folder), config.model_dump(mode="json")
    inputs = hash_inputs(workspace, STAGE, plan_inputs(config, workspace))
    if known and (known["config"], known["inputs"]) != (wanted, inputs):
        names = [name for name in wanted if known["config"].get(name) != wanted[name]]
        raise WorkspaceError(
            f"another process draws into this folder with other settings: {', '.join(names) or 'other inputs'}",
            where=str(folder),
            expected="the same settings for every shard of a set",
            todo="Start all shards with the same command, or give the new set another name.",
        )


def _open_plan(config: GenerateConfig, stage_run: StageRun) -> DrawnSet:
    """The plan that lies there, or a new one; a plan of a hundred thousand images is not made twice."""
    workspace, folder = stage_run.workspace, stage_run.folder
    requests, known = folder / REQUESTS, _known_plan(folder)
    if not requests.is_file() or known.get("requests_sha256") != sha256_file(requests):
        planned = plan(config, workspace)
        write_requests(planned, requests)
        if not stage_run.is_finished:  # then it holds what was achieved, too
            write_asked(planned.coverage(), folder)
        known = {
            "requests_sha256": sha256_file(requests),
            "ancestors": None if planned.ancestors is None else list(planned.ancestors),
            "config": stage_run.config,
            "inputs": stage_run.inputs,
        }
        write_json_atomic(folder / PLAN, known)
    in_shards = config.container == "webdataset"
    sizes = np.unique(pq.read_table(requests, columns=["batch"])["batch"].to_numpy(), return_counts=True)[1]
    parts = cut_parts(sizes.tolist(), config.images_per_shard if in_shards else None)
    ancestors = known["ancestors"]
    return DrawnSet(workspace, folder, config.name, parts, in_shards, None if ancestors is None else tuple(ancestors))


def _known_plan(folder: Path) -> dict[str, Any]:
    """What the record beside the plan says; empty when there is none that can be read."""
    try:
        known = read_json(folder / PLAN)
    except DataError:
        return {}
    return known if isinstance(known, dict) and set(_PLAN_KEYS) <= known.keys() else {}


def _settings(config: GenerateConfig, drawn: DrawnSet, device: str) -> DrawSettings:
    return DrawSettings(
        workspace=drawn.workspace.path,
        folder=drawn.folder,
        requests=drawn.requests,
        set_name=config.name,
        models=model_files(config, drawn.workspace, device),
        dtype=config.dtype,
        labels=tuple(sorted(drawn.counts())),
        in_shards=drawn.in_shards,
        redraw_limit=config.redraw_limit,
        encoder_threads=config.encoder_threads,
    )


def _tell_if_uncompiled(models: ModelFiles, progress: Progress) -> None:
    """Say why torch.compile is left out; of devices that only other machines have, each image's record tells."""
    if not models.compiles:
        return
    from tenfold.models.compiling import compiler_fault

    try:
        resolve_device(models.device)
    except InputError:
        return
    fault = compiler_fault(models.device)
    if fault is not None:
        progress.log(f"{fault}. The images are drawn without it.")


def _draw(
    drawn: DrawnSet, parts: Sequence[Part], settings: DrawSettings, executor: Executor, progress: Progress
) -> tuple[list[Part], list[Part]]:
    """Draw what is not yet there.

    Returns:
        The parts of the plan that were not found whole before, and those that others drew or an earlier run did.
    """
    remaining = _missing(drawn, parts, progress)
    tasks = _tasks(remaining, settings, executor.worker_count)
    images, missing = (sum(part.images for part in some) for some in (parts, remaining))
    with progress.task(f"Drawing {drawn.name}", images) as shown:
        shown.advance(images - missing)
        try:
            for index, _ in executor.map(draw_parts, tasks):
                shown.advance(tasks[index].image_count)
        finally:
            forget_checkpoint()
    own = {part.number for part in remaining}
    whole = {part.number for part in parts} - own
    return (
        [part for part in drawn.parts if part.number not in whole],
        [part for part in drawn.parts if part.number not in own],
    )


def _missing(drawn: DrawnSet, parts: Sequence[Part], progress: Progress, *, reads_all: bool = False) -> list[Part]:
    """Parts that are not done, or no longer: a file that is not as it was written is set aside, and told."""
    faults: list[str] = []
    states = list(finished_parts(drawn.folder, parts, drawn.image_ids(), faults, reads_all=reads_all))
    if faults:
        shown = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
        kept = f" What is left of them lies in {drawn.folder / DAMAGED}." if (drawn.folder / DAMAGED).exists() else ""
        progress.log(f"{len(faults)} files are not as they were written and are made again: {shown}.{kept}")
    return [part for part, is_done in states if not is_done]


def _tasks(parts: Sequence[Part], settings: DrawSettings, workers: int) -> list[DrawTask]:
    """Neighboring parts together, so that encoding overlaps with drawing, yet enough tasks for every worker."""
    images = sum(part.images for part in parts)
    wanted = min(_IMAGES_PER_TASK, -(-images // (workers * _TASKS_PER_WORKER)))
    tasks: list[list[Part]] = []
    for part in parts:
        if not tasks or part.images + sum(one.images for one in tasks[-1]) > wanted:
            tasks.append([])
        tasks[-1].append(part)
    return [DrawTask(tuple(task), settings) for task in tasks]


def _conclude(
    config: GenerateConfig,
    stage_run: StageRun,
    drawn: DrawnSet,
    missing: Sequence[Part],
    device: str,
    progress: Progress,
) -> Result:
    """Finish the stage when no part is missing; else say how far it is."""
    folder = drawn.folder
    if (folder / "run.json").is_file():  # another shard's process came first
        return stage_run.result()
    if missing:
        planned = sum(part.images for part in drawn.parts)
        images = planned - sum(part.images for part in missing)
        progress.log(f"{images} of {planned} images are drawn; the set is whole when all parts are.")
        counts = {"parts": len(drawn.parts), "parts_drawn": len(drawn.parts) - len(missing)}
        return Result("generate", folder, {}, {"images_drawn": images, "images_planned": planned, **counts})
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    written, findings = write_manifest_files(drawn)
    coverage = write_coverage(folder / MANIFEST, drawn.workspace, seed=config.seed)
    if findings.cut_prompts:
        prompt, end = next(iter(sorted(findings.cut_prompts.items())))
        progress.log(
            f"{len(findings.cut_prompts)} prompts are longer than the checkpoint reads; their ends were cut, "
            f"e.g. {textwrap.shorten(end, _LETTERS)!r} of {textwrap.shorten(prompt, _LETTERS)!r}"
        )
    if findings.redrawn:
        progress.log(
            f"{findings.redrawn} images were black, flat or broken and drawn again with other seeds; "
            f"{findings.refused} stayed so and are marked in the manifest (quarantine_reason)"
        )
    summary: dict[str, Any] = {
        "strategy": config.strategy,
        "images": drawn.counts(),
        "cut_prompts": sorted(findings.cut_prompts),
        "redrawn": findings.redrawn,
        "refused": findings.refused,
        **coverage,
    }
    other = _other_base(config, workspace=drawn.workspace)
    if other is not None:
        summary["adapter_was_trained_on"] = other
        progress.log(f"{config.adapter} was trained on {other}, which is not the checkpoint that drew here")
    write_text_atomic(folder / CARD, data_card(config, drawn, findings, coverage["skin_tone"]))
    outputs = [drawn.requests, *written, folder / COVERAGE, write_grid(drawn), folder / CARD]
    return stage_run.finish(outputs, summary, device=device)


def _other_base(config: GenerateConfig, workspace: Workspace) -> str | None:
    if config.adapter is None:
        return None
    checkpoint, adapter = resolve_model(config, workspace)
    return other_base(adapter, checkpoint)
