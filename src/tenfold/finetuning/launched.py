"""Fine-tuning in processes that were launched together: the first begins the stage and writes, the others train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from tenfold.core.processes import is_first_process, process_count
from tenfold.core.run_record import Result, StageRun, begin_stage, hash_inputs
from tenfold.core.workspace import Workspace
from tenfold.finetuning.accelerating import refuse_absent_trackers
from tenfold.finetuning.config import FinetuneConfig
from tenfold.finetuning.model_records import refuse_other_training


def begin_finetuning(
    workspace: Workspace, stage: str, config: FinetuneConfig, inputs: Sequence[Path], *, device: str
) -> StageRun:
    """`begin_stage` for ``models/<name>``, once the folder is known to hold no other run's half-done training.

    Of several launched processes the first begins; the others wait for it and write nothing.

    Args:
        device: as `resolve_device` gave it; on a GPU each process takes its own from here on.

    Raises:
        InputError: a half-done training with other settings lies in the folder, or a tracker is not installed.
        DataError: an input is missing.
    """
    refuse_absent_trackers(config.trackers)
    place = f"models/{config.name}"
    folder = workspace.resolve(place)
    if process_count() == 1:
        refuse_other_training(workspace, stage, folder, config, inputs)
        return begin_stage(workspace, stage, place, config, inputs, seed=config.seed)
    together = PartialState(cpu=device == "cpu")
    if is_first_process():
        refuse_other_training(workspace, stage, folder, config, inputs)
        begun = begin_stage(workspace, stage, place, config, inputs, seed=config.seed)
        together.wait_for_everyone()
        return begun
    together.wait_for_everyone()
    return _following(workspace, stage, config, inputs)


def follower_result(stage_run: StageRun) -> Result:
    """What a process that wrote nothing has to tell: the first one's record has the rest."""
    return Result(stage_run.stage, stage_run.folder, {}, {})


def _following(workspace: Workspace, stage: str, config: FinetuneConfig, inputs: Sequence[Path]) -> StageRun:
    folder = workspace.resolve(f"models/{config.name}")
    return StageRun(
        workspace=workspace,
        stage=stage,
        folder=folder,
        seed=config.seed,
        is_finished=(folder / "run.json").exists(),
        fingerprint="",
        config=config.model_dump(mode="json"),
        inputs=hash_inputs(workspace, stage, inputs),
        started_at="",
    )
