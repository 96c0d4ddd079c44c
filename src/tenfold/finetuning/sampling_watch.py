"""Samples at fixed seeds while a model is trained: a picture of every few steps, and each class over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.files import write_bytes_atomic
from tenfold.core.seeds import derive_seed
from tenfold.data.images import decode_image, encode_png, image_grid
from tenfold.finetuning.datasets import ImageSet
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, decode_latents, sample_latents

SAMPLES = "samples"
_GAP_PX = 2


@dataclass(frozen=True)
class SamplePlan:
    """Which pictures are drawn of a label: its training images' prompts in turn, a seed each."""

    label: str
    numbers: tuple[int, ...]
    """Places of the training images whose prompts are used."""
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    def draw(self, components: Components) -> NDArray[np.uint8]:
        """(N, H, W, 3) pictures, as one batch."""
        return decode_latents(components, sample_latents(components, self.prompts, self.seeds, SamplingSettings()))


def plan_samples(instances: ImageSet, count: int, *, seed: int) -> list[SamplePlan]:
    """`count` pictures of every label; the same plan from the first step to the last."""
    plans = []
    for label in sorted(set(instances.labels)):
        own = [number for number, other in enumerate(instances.labels) if other == label]
        chosen = tuple(own[number % len(own)] for number in range(count))
        seeds = tuple(derive_seed(seed, "samples", label, number) for number in range(count))
        plans.append(SamplePlan(label, chosen, tuple(instances.prompts[k] for k in chosen), seeds))
    return plans


class SampleWatcher:
    """Draws the plans into ``samples/step-XXXXXXXX.png``: a line for each label."""

    def __init__(self, components: Components, plans: Sequence[SamplePlan], folder: Path, *, every_steps: int) -> None:
        self._components, self._plans, self._folder = components, tuple(plans), folder / SAMPLES
        self.every_steps = every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """Draw after `step` steps."""
        pictures = np.concatenate([plan.draw(self._components) for plan in self._plans])
        grid = image_grid(pictures, len(self._plans[0].seeds), _GAP_PX)
        write_bytes_atomic(self._folder / f"step-{step:08d}.png", encode_png(grid))
        return {}


def write_class_strips(folder: Path, plans: Sequence[SamplePlan]) -> list[Path]:
    """``samples/class-N-LABEL.png`` from the steps' pictures: a line for each looked-at step, the first on top."""
    steps = sorted((folder / SAMPLES).glob("step-*.png"))
    grids = [decode_image(path) for path in steps]
    paths = []
    for number, plan in enumerate(plans):
        height = (grids[0].shape[0] + _GAP_PX) // len(plans)
        top = number * height
        lines = np.stack([grid[top : top + height - _GAP_PX] for grid in grids])
        plain_label = re.sub(r"[^\w.-]+", "_", plan.label)
        path = folder / SAMPLES / f"class-{number}-{plain_label}.png"
        write_bytes_atomic(path, encode_png(image_grid(lines, 1, _GAP_PX)))
        paths.append(path)
    return paths


def write_samples(path: Path, components: Components, instances: ImageSet, plans: Sequence[SamplePlan]) -> None:
    """One line of pictures for each label: some of its training images, then as many samples of their prompts."""
    pictures: list[NDArray[np.uint8]] = []
    for plan in plans:
        pictures += [instances.images[k] for k in plan.numbers]
        pictures += list(plan.draw(components))
    write_bytes_atomic(path, encode_png(image_grid(np.stack(pictures), 2 * len(plans[0].seeds))))
