"""A judge of phantom conditions: a small net trained once, from random weights, on phantoms that no generator has seen.

Used to tell what share of a generator's images shows what was asked for. Its settings stand here and are not
adjusted to any generator; its accuracy on held-out phantoms is told beside every share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tenfold.core.progress import NullProgress
from tenfold.core.seeds import derive_seed, numpy_generator, seed_everything, torch_generator
from tenfold.data.phantom import make_cohort
from tenfold.data.transforms import Augmentation, augment
from tenfold.finetuning.loop import LoopSettings, train
from tenfold.models.small_net import SmallNet

JUDGE_SEED = 770_001
IMAGES_PER_CONDITION = 600
STEPS = 1500
BATCH_SIZE = 48


@dataclass(frozen=True)
class Judge:
    """Conditions and the net that tells them apart."""

    labels: tuple[str, ...]
    net: SmallNet

    @torch.inference_mode()
    def name_all(self, images: NDArray[np.uint8]) -> list[str]:
        """The most likely condition of each of (N, H, W, 3) uint8 images."""
        parts = [self.net(_batch(images[start : start + 64])) for start in range(0, len(images), 64)]
        return [self.labels[k] for k in torch.cat(parts).argmax(dim=1).tolist()]


def trained_judge(folder: Path, labels: Sequence[str]) -> Judge:
    """Train a judge of these conditions, or load the one that ``folder`` keeps (a folder per set of conditions)."""
    ordered = tuple(sorted(labels))
    objective = _JudgeObjective(ordered)
    settings = LoopSettings(
        max_train_steps=STEPS, learning_rate=2e-3, lr_scheduler="cosine", lr_warmup_steps=100, adam_weight_decay=0.02,
        ema_decay=0.99, checkpointing_steps=250,
    )  # fmt: skip
    with NullProgress().task("judge", STEPS) as task:
        train(objective, settings, folder, task)
    return Judge(ordered, objective.net)


class _JudgeObjective:
    def __init__(self, labels: tuple[str, ...]) -> None:
        cohort = make_cohort({label: IMAGES_PER_CONDITION for label in labels}, seed=JUDGE_SEED)
        self.images = np.stack([item.image for item in cohort])
        self.answers = np.array([labels.index(item.label) for item in cohort])
        seed_everything(derive_seed(JUDGE_SEED, "weights"))
        self.net = SmallNet(len(labels)).to(memory_format=torch.channels_last)

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"net": self.net}

    def loss(self, step: int) -> torch.Tensor:
        seed = derive_seed(JUDGE_SEED, "step", step)
        rows = numpy_generator(seed).integers(len(self.images), size=BATCH_SIZE)
        images = augment(_batch(self.images[rows]), Augmentation(rotation_degrees=180.0), torch_generator(seed))
        return F.cross_entropy(self.net(images), torch.from_numpy(self.answers[rows]))


def _batch(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
