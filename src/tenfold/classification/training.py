"""The training loop of a classifier: a batch keyed by its step, the best checkpoint by validation, exact resume."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.classification.augmenting import Augmenter
from tenfold.classification.averaging import MovingAverage
from tenfold.classification.config import Transforms
from tenfold.classification.optimizing import Optimization, Schedule, Stepper, learning_rate_at
from tenfold.classification.prediction import predict_logits, softmax
from tenfold.classification.saving import LAST_GOOD, TrainingState, newest_state, save_state, write_weights
from tenfold.core.errors import StageError
from tenfold.core.progress import TaskProgress
from tenfold.core.seeds import derive_seed, seed_everything
from tenfold.data.mixing import Sampling, TrainingMix, TwoStageMix
from tenfold.metrics.catalog import METRICS
from tenfold.models.classifiers import set_training


@dataclass(frozen=True)
class TrainingImages:
    """Pixels (N, H, W, 3) uint8 and class numbers (N,): the real training images first, then the extra ones.

    real_weights, extra_weights: how often each is drawn within its class, as numbers >= 0; None: all alike.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    real_count: int
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    real_weights: NDArray[np.float64] | None = None
    extra_weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast; the same for every arm but for how its images are drawn and changed.

    two_stage_fraction: part of the steps, the first ones, for extra images alone; None: `extra_share` of each batch.
    class_weights: of each class in the loss; None: all alike. The other fields are those of `ClassifierConfig`.
    """

    max_train_steps: int
    batch_size: int
    evaluate_every_steps: int
    extra_share: float
    transforms: Transforms
    class_count: int
    seed: int
    optimization: Optimization = field(default_factory=Optimization)
    lr_scheduler: Schedule = "cosine"
    lr_warmup_steps: int = 10
    label_smoothing: float = 0.1
    sampling: Sampling = "balanced"
    two_stage_fraction: float | None = None
    class_weights: tuple[float, ...] | None = None
    ema_decay: float | None = None
    early_stopping_looks: int | None = None
    checkpointing_steps: int | None = None

    @property
    def first_stage_steps(self) -> int:
        """Steps for extra images alone."""
        fraction = self.two_stage_fraction
        return 0 if fraction is None else min(max(1, round(fraction * self.max_train_steps)), self.max_train_steps - 1)


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


@dataclass(frozen=True)
class Fit:
    """The checkpoint that the validation images chose, all looks at them, and the number of steps taken."""

    best: Checkpoint
    history: list[Checkpoint]
    stopped_at_step: int


def fit(
    model: nn.Module,
    data: TrainingImages,
    settings: TrainingSettings,
    progress: TaskProgress,
    *,
    folder: Path | None = None,
    on_look: Callable[[Checkpoint], None] | None = None,
) -> Fit:
    """Train in place; the model ends with the weights of the best checkpoint, in evaluation mode.

    folder: where states are kept to go on from, and the last good weights if it fails. on_look is told every look; what
    it raises ends the training.

    Raises:
        StageError: the loss is no number; the model then has the last good weights, if there are any.
    """
    device = next(model.parameters()).device
    pixels, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels).to(device)
    mix = mix_of(data, settings)
    augmenter = Augmenter(settings.transforms, settings.class_count, settings.seed)
    weights = None if settings.class_weights is None else torch.tensor(settings.class_weights, device=device)
    criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing)
    run = _Run(model, data, settings, folder)
    start = run.resume()
    progress.advance(start)
    set_training(model)
    for step in range(start, settings.max_train_steps):
        is_extra, index = mix.batch(step)
        chosen = torch.from_numpy(np.where(is_extra, index + data.real_count, index)).to(device)
        # Dropout and torchvision draw from the global stream: seeded by the step, a resumed run draws the same.
        seed_everything(derive_seed(settings.seed, "step", step))
        batch, targets = augmenter(pixels[chosen], labels[chosen], step)
        run.take_step(step, batch, targets, criterion)
        progress.advance()
        done = step + 1
        if done % settings.evaluate_every_steps == 0 or done == settings.max_train_steps:
            checkpoint = run.look(done)
            if on_look is not None:
                on_look(checkpoint)
            if run.is_patience_over():
                break
        if settings.checkpointing_steps and done % settings.checkpointing_steps == 0:
            run.save(done)
    return run.finish()


def mix_of(data: TrainingImages, settings: TrainingSettings) -> TrainingMix | TwoStageMix:
    """The sampler of the batches. Raises DesignError when the share cannot be drawn from these images."""
    real, extra = data.labels[: data.real_count].tolist(), data.labels[data.real_count :].tolist()

    def mix(share: float) -> TrainingMix:
        return TrainingMix(
            real,
            extra,
            share,
            settings.batch_size,
            derive_seed(settings.seed, "mix"),
            settings.sampling,
            None if data.real_weights is None else data.real_weights.tolist(),
            None if data.extra_weights is None else data.extra_weights.tolist(),
        )

    if settings.two_stage_fraction is None:
        return mix(settings.extra_share)
    return TwoStageMix(mix(1.0), mix(0.0), settings.first_stage_steps)


def drawn_shares(data: TrainingImages, settings: TrainingSettings) -> NDArray[np.float64]:
    """Share (N,) of all draws that falls to each image, in the order of `data`; sums to 1."""
    mix = mix_of(data, settings)
    if isinstance(mix, TrainingMix):
        return mix.expected_shares()
    part = mix.first_steps / settings.max_train_steps
    return part * mix.first.expected_shares() + (1 - part) * mix.last.expected_shares()


class _Run:
    """What changes while a classifier is trained: model, optimizer, average, history, the best weights so far."""

    def __init__(self, model: nn.Module, data: TrainingImages, settings: TrainingSettings, folder: Path | None) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.folder = folder
        self.stepper = Stepper(model, settings.optimization)
        self.average = None if settings.ema_decay is None else MovingAverage(model, settings.ema_decay)
        self.history: list[Checkpoint] = []
        self.best: Checkpoint | None = None
        self.best_weights: dict[str, torch.Tensor] = {}
        self.losses: list[torch.Tensor] = []
        self.rate = 0.0
        self.is_on_cpu = self.stepper.device_type == "cpu"

    def take_step(self, step: int, batch: torch.Tensor, targets: torch.Tensor, criterion: nn.Module) -> None:
        settings = self.settings
        self.rate = learning_rate_at(
            step,
            settings.max_train_steps,
            settings.lr_warmup_steps,
            settings.optimization.learning_rate,
            settings.lr_scheduler,
        )
        self.losses.append(self.stepper.step(batch, targets, criterion, self.rate))
        if self.average is not None:
            self.average.update(self.model, step + 1)
        if self.is_on_cpu and not math.isfinite(float(self.losses[-1])):  # a GPU is not waited for at each step
            self._fail(step + 1)

    def look(self, step: int) -> Checkpoint:
        """Judge the model (its average where one is kept) on the validation images."""
        self._check_losses(step)
        judged = self.model if self.average is None else self.average.model
        logits = predict_logits(judged, self.data.validation_images)
        if not np.isfinite(logits).all():
            self._fail(step, "an answer to a validation image")
        probs, truth = softmax(logits), self.data.validation_labels
        auroc, nll = (METRICS[name].point(truth, probs) for name in ("macro_auroc", "log_loss"))
        checkpoint = Checkpoint(step, float(torch.stack(self.losses).mean()), self.rate, auroc, nll)
        self.losses.clear()
        self.history.append(checkpoint)
        if checkpoint.is_better_than(self.best):
            self.best, self.best_weights = checkpoint, copy.deepcopy(judged.state_dict())
        set_training(self.model)
        return checkpoint

    def is_patience_over(self) -> bool:
        """Whether the last looks brought nothing better; looks of a first stage of extra images do not count."""
        looks = self.settings.early_stopping_looks
        if looks is None or self.best is None:
            return False
        since = max(self.best.step, self.settings.first_stage_steps)
        return sum(checkpoint.step > since for checkpoint in self.history) >= looks

    def finish(self) -> Fit:
        if self.best is None:
            raise StageError("no training step was taken", expected="max_train_steps of 1 or more")
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        return Fit(self.best, self.history, self.history[-1].step)

    def save(self, step: int) -> None:
        if self.folder is None:
            return
        self._check_losses(step)
        parts = {"model": self.model.state_dict(), "optimizer": self.stepper.state(), "best": self.best_weights}
        if self.average is not None:
            parts["average"] = self.average.model.state_dict()
        tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
        facts = {
            "history": [asdict(checkpoint) for checkpoint in self.history],
            "best": None if self.best is None else asdict(self.best),
            "losses": [float(loss) for loss in self.losses],
        }
        save_state(self.folder, TrainingState(step, tensors, facts))

    def resume(self) -> int:
        """Go on from the newest saved state; the number of steps that it has behind it, 0 without one."""
        state = newest_state(self.folder) if self.folder is not None and self.settings.checkpointing_steps else None
        if state is None:
            return 0
        self.model.load_state_dict(state.part("model"))
        self.stepper.load_state(state.part("optimizer"))
        if self.average is not None:
            self.average.model.load_state_dict(state.part("average"))
        self.best_weights = state.part("best")
        self.history = [Checkpoint(**look) for look in state.facts["history"]]
        self.best = Checkpoint(**state.facts["best"]) if state.facts["best"] else None
        device = next(self.model.parameters()).device
        self.losses = [torch.tensor(loss, device=device) for loss in state.facts["losses"]]
        return state.step

    def _check_losses(self, step: int) -> None:
        if not self.losses:
            return
        is_finite = torch.isfinite(torch.stack(self.losses))
        if not bool(is_finite.all()):
            self._fail(step - len(self.losses) + int(is_finite.int().argmin()) + 1)

    def _fail(self, step: int, what: str = "the training loss") -> None:
        """End the training, with the best weights so far in the model and, where there is a folder, in a file."""
        kept = "there was no look at the validation images before"
        if self.best is not None:
            self.model.load_state_dict(self.best_weights)
            self.model.eval()
            kept = f"the last good weights are those of step {self.best.step}"
            if self.folder is not None:
                write_weights(self.folder / LAST_GOOD, self.best_weights)
                kept += f", kept in {self.folder / LAST_GOOD}"
        raise StageError(
            f"{what} is no number at step {step}; {kept}",
            expected="finite losses and answers",
            todo="lower classify.learning_rate, set classify.gradient_clip=1, or set classify.mixed_precision=no",
        )
