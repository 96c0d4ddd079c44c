"""The DreamBooth stage: a base learns a few images of several classes, and keeps what it knew by prior preservation."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.executor import Executor
from tenfold.core.processes import is_first_process
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.finetuning.checkpointing import WEIGHTS, save_weights
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth_material import read_material
from tenfold.finetuning.dreambooth_training import (
    STAGE,
    DreamBoothTraining,
    choose_weights,
    finish_training,
    make_training,
    training_inputs,
    watchers_of,
)
from tenfold.finetuning.finishing import clear_working_files, save_trained
from tenfold.finetuning.launched import begin_finetuning, follower_result
from tenfold.finetuning.loop import LossTrace, train
from tenfold.finetuning.model_records import learned_by_base, training_identity
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.settings import add_adapter, checkpointed_gradients, loop_settings
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.pipelines import load_components


def run(config: DreamBoothConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: a diffusers folder or an adapter, its records, curves and samples.

    One run is one task, so `executor` is not asked; several runs at once are a study's work. Processes that
    `accelerate launch` started share its steps, and the first writes.

    Raises:
        DataError: a training image is not in the training split, a validation image is a training or test image, or
            a caption or mask is missing or does not fit.
        CheckpointError: the base is missing or damaged.
        InputError: a half-done training with other settings lies in the folder.
        StageError: the loss is not a finite number, or the memory ran out.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    inputs = training_inputs(config, workspace, base)
    stage_run = begin_finetuning(workspace, STAGE, config, inputs, device=resolve_device(config.device))
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        components = load_components(base, resolve_device(config.device))
        learned = learned_by_base(base, workspace)
        material = read_material(config, workspace, components.image_size_px, learned.image_ids)
        add_adapter(config, components)
        return _work(make_training(config, stage_run, components, material, learned, progress), base, progress)


def _work(training: DreamBoothTraining, base: Path, progress: Progress) -> Result:
    config, weights = training.config, training.folder / WEIGHTS
    parameters = trained_parameters(training.objective.modules())
    losses = _train(training, progress)
    if not is_first_process():
        return follower_result(training.stage_run)
    choice = None
    if config.checkpoint_choice == "validation":
        save_weights(weights, config.max_train_steps, parameters)
        choice = choose_weights(training, parameters, weights)
    trained = tuple(training.objective.modules())
    model = save_trained(config, training.components, training.folder, base, trained)
    result = finish_training(training, losses, choice, model, progress)
    clear_working_files(training.folder, config)
    return result


def _train(training: DreamBoothTraining, progress: Progress) -> LossTrace:
    config, stage_run = training.config, training.stage_run
    watchers = watchers_of(training) if is_first_process() else []
    settings = loop_settings(config, training.components, training_identity(stage_run.config, stage_run.inputs))
    with (
        checkpointed_gradients(config, training.components),
        progress.task(f"DreamBooth {config.name}", config.max_train_steps) as task,
    ):
        return train(training.objective, settings, training.folder, task, watchers=watchers)
