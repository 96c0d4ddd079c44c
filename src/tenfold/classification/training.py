"""The training loop of a classifier: fixed steps, a batch keyed by its step, the best checkpoint by validation."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.classification.prediction import predict_logits, softmax
from tenfold.core.errors import StageError
from tenfold.core.progress import TaskProgress
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.data.mixing import TrainingMix
from tenfold.data.transforms import Augmentation, augment
from tenfold.metrics.catalog import METRICS
from tenfold.models.classifiers import set_training


@dataclass(frozen=True)
class TrainingImages:
    """Pixels (N, H, W, 3) uint8 and class numbers (N,): the real training images first, then the extra ones."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    real_count: int
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast; the same for every arm but for `transforms` and `extra_share`."""

    max_train_steps: int
    batch_size: int
    learning_rate: float
    lr_warmup_steps: int
    weight_decay: float
    label_smoothing: float
    evaluate_every_steps: int
    extra_share: float
    transforms: bool
    seed: int


@dataclass(frozen=True)
class Checkpoint:
    """One look at the validation images; `loss` is the mean training loss since the look before."""

    step: int
    loss: float
    learning_rate: float
    validation_macro_auroc: float
    validation_log_loss: float

    def is_better_than(self, other: Checkpoint | None) -> bool:
        """A higher validation macro AUROC, or an equal one with a lower log loss."""
        if other is None:
            return True
        mine = (self.validation_macro_auroc, -self.validation_log_loss)
        return mine > (other.validation_macro_auroc, -other.validation_log_loss)


def fit(
    model: nn.Module, data: TrainingImages, settings: TrainingSettings, progress: TaskProgress
) -> tuple[Checkpoint, list[Checkpoint]]:
    """Train in place; the model ends with the weights of the best checkpoint, which is returned with the history.

    Raises:
        StageError: the loss is no number.
    """
    device = next(model.parameters()).device
    pixels, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels).to(device)
    real, extra = data.labels[: data.real_count].tolist(), data.labels[data.real_count :].tolist()
    mix = TrainingMix(real, extra, settings.extra_share, settings.batch_size, derive_seed(settings.seed, "mix"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    history: list[Checkpoint] = []
    best: Checkpoint | None = None
    best_weights: dict[str, torch.Tensor] = {}
    losses: list[torch.Tensor] = []
    set_training(model)
    for step in range(settings.max_train_steps):
        is_extra, index = mix.batch(step)
        chosen = torch.from_numpy(np.where(is_extra, index + data.real_count, index)).to(device)
        batch = pixels[chosen].permute(0, 3, 1, 2).float().div_(255.0)
        if settings.transforms:
            generator = torch_generator(derive_seed(settings.seed, "transforms", step))
            batch = augment(batch, Augmentation(), generator)
        rate = learning_rate_at(step, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = criterion(model(batch.contiguous(memory_format=torch.channels_last)), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        progress.advance()
        done = step + 1
        if done % settings.evaluate_every_steps == 0 or done == settings.max_train_steps:
            checkpoint = _look(model, data, done, float(torch.stack(losses).mean()), rate)
            losses.clear()
            history.append(checkpoint)
            if checkpoint.is_better_than(best):
                best, best_weights = checkpoint, copy.deepcopy(model.state_dict())
            set_training(model)
    model.load_state_dict(best_weights)
    model.eval()
    return history[-1] if best is None else best, history


def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warmup = min(settings.lr_warmup_steps, settings.max_train_steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / (settings.max_train_steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _look(model: nn.Module, data: TrainingImages, step: int, loss: float, rate: float) -> Checkpoint:
    if not math.isfinite(loss):
        raise StageError(
            f"the training loss is no number by step {step}",
            expected="a finite loss",
            todo="lower classify.learning_rate",
        )
    probs = softmax(predict_logits(model, data.validation_images))
    truth = data.validation_labels
    auroc, nll = (METRICS[name].point(truth, probs) for name in ("macro_auroc", "log_loss"))
    return Checkpoint(step, loss, rate, auroc, nll)
