"""Inpainting looked at while it is learned: the same holes in the same images painted again at fixed seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.files import write_bytes_atomic
from tenfold.core.seeds import derive_seed
from tenfold.data.images import encode_png, image_grid
from tenfold.data.mask_arrays import central_mask
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.sampling_watch import SAMPLES
from tenfold.models.inpainting import Surroundings, inpaint_latents, known_part
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, decode_latents, encode_images

_BATCH = 8
_GRAY = 128


@dataclass(frozen=True)
class PaintingPlan:
    """Which images are painted anew where: fixed from the first step to the last."""

    images: NDArray[np.uint8]
    """(N, S, S, 3)."""
    masks: NDArray[np.bool_]
    """(N, S, S)."""
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    def paint(self, components: Components, surroundings: Surroundings) -> NDArray[np.uint8]:
        """(N, S, S, 3) as the autoencoder gives them: what was known is not pasted back."""
        pictures = []
        for start in range(0, len(self.images), _BATCH):
            part = slice(start, start + _BATCH)
            with torch.no_grad():
                latents = encode_images(components, self.images[part]).chunk(2, dim=1)[0]
                latents = (latents * components.vae.config.scaling_factor).to(components.dtype)
                known = known_part(components, latents, self.images[part], self.masks[part])
            painted = inpaint_latents(
                components, known, self.prompts[part], self.seeds[part], SamplingSettings(), surroundings=surroundings
            )
            pictures.append(decode_latents(components, painted))
        return np.concatenate(pictures)

    def with_holes(self) -> NDArray[np.uint8]:
        """(N, S, S, 3), gray where masked."""
        return np.where(self.masks[..., None], np.uint8(_GRAY), self.images)


def plan_paintings(shown: ImageSet, lesions: NDArray[np.bool_] | None, count: int, *, seed: int) -> PaintingPlan:
    """The first `count` images of each label; holes are their lesion masks, or else the central square."""
    numbers = []
    for label in sorted(set(shown.labels)):
        numbers += [number for number, own in enumerate(shown.labels) if own == label][:count]
    masks = []
    for number in numbers:
        has_lesion = lesions is not None and lesions[number].any()
        masks.append(lesions[number] if lesions is not None and has_lesion else central_mask(shown.images.shape[1]))
    return PaintingPlan(
        shown.images[numbers],
        np.stack(masks),
        tuple(shown.prompts[number] for number in numbers),
        tuple(derive_seed(seed, "samples", shown.image_ids[number]) for number in numbers),
    )


def write_paintings(path: Path, plan: PaintingPlan, columns: Sequence[NDArray[np.uint8]]) -> None:
    """A line for each image: the image, with its hole, then what each of `columns` has in its place."""
    shown = [plan.images, plan.with_holes(), *columns]
    pictures = np.stack(shown, axis=1).reshape(-1, *plan.images.shape[1:])
    write_bytes_atomic(path, encode_png(image_grid(pictures, len(shown))))


class PaintingWatcher:
    """Paints the plan into ``samples/step-XXXXXXXX.png``, side by side."""

    def __init__(
        self, components: Components, plan: PaintingPlan, surroundings: Surroundings, folder: Path, *, every_steps: int
    ) -> None:
        self._components, self._plan, self._surroundings = components, plan, surroundings
        self._folder = folder / SAMPLES
        self.every_steps = every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """Paint after `step` steps."""
        pictures = self._plan.paint(self._components, self._surroundings)
        write_bytes_atomic(self._folder / f"step-{step:08d}.png", encode_png(image_grid(pictures, len(pictures))))
        return {}
