"""The end of every fine-tuning: weights chosen, the model and its tables written, leftovers of the work removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tenfold.core.files import write_json_atomic
from tenfold.core.progress import Progress
from tenfold.finetuning.checkpointing import CHECKPOINTS, WEIGHTS, load_weights, save_weights, saved_weights
from tenfold.finetuning.choosing import Choice, choose_by_loss
from tenfold.finetuning.config import FinetuneConfig
from tenfold.finetuning.datasets import ImageSet, Wording
from tenfold.finetuning.loop import LossTrace
from tenfold.finetuning.model_records import save_adapter, save_full_model
from tenfold.finetuning.validation import VALIDATION
from tenfold.models.pipelines import Components

CHOICE = "choice.json"
PROMPTS = "prompts.json"


def choose_weights_by_loss(
    config: FinetuneConfig, folder: Path, losses: Mapping[int, float], parameters: Mapping[str, torch.nn.Parameter],
    *, no_copies: str,
) -> Choice | None:  # fmt: skip
    """Put the kept weights of the lowest validation loss into the model; None where the last weights are wanted.

    Args:
        losses: validation loss by finished steps.
        no_copies: why copies of training images are not looked for among its samples.
    """
    if config.checkpoint_choice == "last":
        return None
    save_weights(folder / WEIGHTS, config.max_train_steps, parameters)
    kept = {step: path for step, path in saved_weights(folder / WEIGHTS).items() if step in losses}
    choice = choose_by_loss(losses, list(kept), no_copies=no_copies)
    load_weights(kept[choice.step], parameters)
    return choice


def save_trained(
    config: FinetuneConfig, components: Components, folder: Path, base: Path, trained: Sequence[str]
) -> list[Path]:
    """Write the whole checkpoint or the adapter, as the configuration asks; the files and folders written."""
    if config.method == "full":
        return save_full_model(components, folder, base, trained)
    return save_adapter(
        components, folder, base, trained, (config.base_checkpoint, config.lora_rank, config.told_alpha)
    )


def write_choice(folder: Path, choice: Choice | None, progress: Progress) -> list[Path]:
    """``choice.json``, where there was one."""
    if choice is None:
        return []
    write_json_atomic(folder / CHOICE, choice.to_json())
    progress.log(f"weights of step {choice.step}: {choice.reason}")
    return [folder / CHOICE]


def write_prompts(folder: Path, images: ImageSet, wording: Wording) -> Path:
    """``prompts.json``: the prompts and the identifier of each label."""
    by_label: dict[str, list[str]] = {label: [] for label in sorted(set(images.labels))}
    for prompt, label in zip(images.prompts, images.labels, strict=True):
        by_label[label].append(prompt)
    identifiers = {label: wording.identifiers[label] for label in by_label}
    write_json_atomic(folder / PROMPTS, {"identifiers": identifiers, "prompts": by_label})
    return folder / PROMPTS


def training_facts(
    config: FinetuneConfig, losses: LossTrace, validation: Mapping[int, float], choice: Choice | None
) -> dict[str, Any]:
    """What the record of any fine-tuning tells of its steps, as plain JSON."""
    facts: dict[str, Any] = {
        "method": config.method,
        "max_train_steps": config.max_train_steps,
        "loss_of_last_tenth": losses.mean_of_last(max(1, config.max_train_steps // 10)),
        "validation_loss": {str(step): loss for step, loss in sorted(validation.items())},
        "weights_of_step": config.max_train_steps if choice is None else choice.step,
    }
    return facts if choice is None else {**facts, "choice": choice.to_json()}


def clear_working_files(folder: Path, config: FinetuneConfig) -> None:
    """Take away what only an interrupted training needs, once the record is written."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    if config.weights_every_steps is None:
        shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    (folder / VALIDATION).unlink(missing_ok=True)
