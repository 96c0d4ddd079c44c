"""DreamBooth LoRAs of several models trained at once on one frozen UNet: which can be, and the stage that does it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import Faults, InputError
from tenfold.core.hashing import sha256_json
from tenfold.core.processes import process_count
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun
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
from tenfold.finetuning.finishing import clear_working_files
from tenfold.finetuning.launched import begin_finetuning
from tenfold.finetuning.loop import LossTrace
from tenfold.finetuning.lora_stack import AdapterWatcher, LoraStack, train_lora_stack
from tenfold.finetuning.model_records import learned_by_base, record_adapter, training_identity
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.settings import checkpointed_gradients, loop_settings, lora_settings
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.pipelines import load_components

_OWN_FIELDS = {
    "name", "seed", "training_ids", "validation_ids", "class_nouns", "class_noun", "identifiers", "captions",
    "caption_files", "prior_manifest", "prior_labels", "together_with",
}  # fmt: skip
"""What adapters of one training may differ in."""


class TogetherConfig(DreamBoothConfig):
    """A LoRA that is trained at once with others; its losses are those of its solo run but for rounding."""

    together_with: dict[str, str] = Field(description="The others by name: the SHA-256 of each one's configuration.")


def join_configs(configs: Sequence[DreamBoothConfig]) -> list[TogetherConfig]:
    """The configurations of adapters that are trained at once; each knows the others.

    Raises:
        InputError, FaultsError: there are fewer than two, or they cannot share one frozen UNet and its steps.
    """
    plain = [{key: value for key, value in one.model_dump().items() if key != "together_with"} for one in configs]
    _refuse_what_cannot_be_shared(plain)
    digests = {one.name: sha256_json(DreamBoothConfig(**own).model_dump(mode="json"))
               for one, own in zip(configs, plain, strict=True)}  # fmt: skip
    return [
        TogetherConfig(**own, together_with={name: sha256 for name, sha256 in digests.items() if name != own["name"]})
        for own in plain
    ]


def run_together(configs: Sequence[DreamBoothConfig], workspace: Workspace, progress: Progress) -> list[Result]:
    """Train all adapters at once and write each one's ``models/<name>`` as its solo run would.

    The state to resume from lies in the first one's folder. All are written before any working file is removed.

    Raises:
        InputError: they cannot be trained together, or a half-done training with other settings lies in a folder.
        DataError, CheckpointError, StageError: as `dreambooth.run`.
    """
    joined = join_configs(configs)
    first = joined[0]
    base = resolve_checkpoint(first.base_checkpoint, workspace)
    device = resolve_device(first.device)
    # Each one depends on what all of them read.
    inputs = list(dict.fromkeys(path for one in joined for path in training_inputs(one, workspace, base)))
    stage_runs = [begin_finetuning(workspace, STAGE, one, inputs, device=device) for one in joined]
    if all(one.is_finished for one in stage_runs):
        return [one.result() for one in stage_runs]
    with limited_threads(first.threads):
        together = _prepare(list(zip(joined, stage_runs, strict=True)), base, progress)
        losses = _train(together, progress)
        return _write(together, losses, base, progress)


@dataclass(frozen=True)
class _Together:
    """All adapters of the UNet, and the training of each."""

    stack: LoraStack
    trainings: tuple[DreamBoothTraining, ...]

    @property
    def first(self) -> DreamBoothTraining:
        return self.trainings[0]


def _prepare(runs: Sequence[tuple[TogetherConfig, StageRun]], base: Path, progress: Progress) -> _Together:
    first, workspace = runs[0][0], runs[0][1].workspace
    components = load_components(base, resolve_device(first.device))
    learned = learned_by_base(base, workspace)
    materials = [read_material(config, workspace, components.image_size_px, learned.image_ids) for config, _ in runs]
    stack = LoraStack(components.unet, [lora_settings(config) for config, _ in runs])
    trainings = [
        make_training(config, stage_run, components, material, learned, progress)
        for (config, stage_run), material in zip(runs, materials, strict=True)
    ]
    return _Together(stack, tuple(trainings))


def _train(together: _Together, progress: Progress) -> list[LossTrace]:
    first, stack = together.first, together.stack
    watchers = [
        AdapterWatcher(stack, number, training.config.name, watcher)
        for number, training in enumerate(together.trainings)
        for watcher in watchers_of(training)
    ]
    identity = training_identity(first.stage_run.config, first.stage_run.inputs)
    settings = loop_settings(first.config, first.components, identity)
    with ExitStack() as held:
        held.enter_context(checkpointed_gradients(first.config, first.components))
        task = held.enter_context(
            progress.task(f"DreamBooth, {len(stack)} adapters at once", first.config.max_train_steps)
        )
        objectives = [training.objective for training in together.trainings]
        return train_lora_stack(stack, objectives, settings, first.folder, task, watchers=watchers)


def _write(together: _Together, losses: Sequence[LossTrace], base: Path, progress: Progress) -> list[Result]:
    first, stack = together.first, together.stack
    weights, parameters = first.folder / WEIGHTS, trained_parameters({"unet": stack.unet})
    is_chosen = first.config.checkpoint_choice == "validation"
    if is_chosen:
        save_weights(weights, first.config.max_train_steps, parameters)
    results = []
    for number, (training, trace) in enumerate(zip(together.trainings, losses, strict=True)):
        with stack.only(number):
            choice = choose_weights(training, parameters, weights) if is_chosen else None
            facts = (training.config.base_checkpoint, training.config.lora_rank, training.config.told_alpha)
            model = [stack.save(number, training.folder), record_adapter(training.folder, base, ("unet",), facts)]
            results.append(finish_training(training, trace, choice, model, progress))
    for training in together.trainings:
        clear_working_files(training.folder, training.config)
    return results


def _refuse_what_cannot_be_shared(configs: Sequence[dict[str, Any]]) -> None:
    where, todo = "adapters trained together", "Change the settings, or train them one after the other."
    if len(configs) < 2:
        raise InputError(
            f"{len(configs)} adapters are to be trained together", expected="two or more", todo="Train it alone."
        )
    faults = Faults()
    if process_count() > 1:
        faults.add(
            InputError(
                f"{process_count()} processes were launched together, but adapters train together in one",
                where="accelerate launch",
                todo="Run the command without a launcher.",
            )
        )

    def refuse(what: str, expected: str) -> None:
        faults.add(InputError(what, where=where, expected=expected, todo=todo))

    first = configs[0]
    for field in sorted(set(first) - _OWN_FIELDS):
        if any(own[field] != first[field] for own in configs):
            told = ", ".join(f"{own['name']}: {own[field]!r}" for own in configs)
            refuse(f"{field} is not the same for all ({told})", "one value, since they take the same steps")
    if len({own["prior_manifest"] is None for own in configs}) > 1:
        refuse("some have prior images and some have none", "batches of one size")
    if len({own["name"] for own in configs}) < len(configs):
        refuse("two of them have the same name", "a name for each")
    if first["method"] != "lora":
        refuse(f"method={first['method']}", "method=lora: only adapters can share a UNet")
    if first["lora_text_encoder"]:
        refuse("lora_text_encoder=true", "a frozen text encoder, which all of them share")
    if first["use_8bit_adam"]:
        refuse("use_8bit_adam=true", "32 bits: in 8 bits the adapters' moments would be rounded together")
    if first["weights_every_steps"] is not None:
        refuse("weights_every_steps is given", "null: weights kept on the way would be those of all adapters in one")
    faults.raise_if_any()
