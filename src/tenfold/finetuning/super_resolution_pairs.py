"""Pairs of few images: enumerated views for training, fixed pairs for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed, numpy_generator, torch_generator
from tenfold.data.images import resize_and_crop
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.degradation import Degradation
from tenfold.finetuning.super_resolution_objective import (
    HighImages,
    NoisyPairs,
    PairLoss,
    encode_high_images,
    low_images,
    make_noisy_pairs,
)
from tenfold.models.upscaling import Upscaler

LEVELS_PER_IMAGE = 4


@dataclass(frozen=True)
class PairViews:
    """Which views of an image are trained on: crops x 2 when mirrored x 4 when turned."""

    crops: int = 1
    mirrors: bool = False
    turns: bool = False


@dataclass(frozen=True)
class HeldOutPairs:
    """Pairs that never change, of held-out images: low (N, h, w, 3) and high (N, H, W, 3), uint8."""

    image_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]

    def first(self, count: int) -> HeldOutPairs:
        """The first of them."""
        return HeldOutPairs(self.image_ids[:count], self.prompts[:count], self.low[:count], self.high[:count])


def refuse_small_images(images: NDArray[np.uint8], image_size_px: int) -> None:
    """DataError when images (N, H, W, 3) are smaller than the upscaler's pictures."""
    height, width = images.shape[1:3]
    if min(height, width) < image_size_px:
        raise DataError(
            f"the images are {width} x {height} px",
            expected=f"at least {image_size_px} px along each edge, what this upscaler makes",
            todo="Import the images at a larger size: enlarged ones hold no detail to learn from.",
        )


def training_views(material: ImageSet, image_size_px: int, views: PairViews, *, seed: int) -> tuple[ImageSet, int]:
    """Every view of every image as an image of its own, and the number of views of each image.

    Crops are cut from images larger than `image_size_px`, between that size and the whole; an image of that size
    gives only itself, for an enlarged crop holds no detail to learn. Image n's crops depend on (seed, n) only.
    """
    pictures: list[NDArray[np.uint8]] = []
    crops = views.crops if min(material.images.shape[1:3]) > image_size_px else 1
    for number, image in enumerate(material.images):
        rng = numpy_generator(derive_seed(seed, "crops", number))
        cut = [resize_and_crop(image, image_size_px)]
        cut += [_crop(image, image_size_px, rng) for _ in range(crops - 1)]
        cut += [picture[:, ::-1] for picture in cut] if views.mirrors else []
        pictures += [np.rot90(picture, turns) for turns in range(4 if views.turns else 1) for picture in cut]
    count = len(pictures) // len(material.images)
    repeated = [np.repeat(np.array(part), count).tolist() for part in (material.image_ids, material.labels)]
    prompts = tuple(prompt for prompt in material.prompts for _ in range(count))
    return ImageSet(tuple(repeated[0]), tuple(repeated[1]), prompts, np.ascontiguousarray(np.stack(pictures))), count


def high_images(upscaler: Upscaler, views: ImageSet) -> HighImages:
    """The views with their latents, encoded once."""
    return HighImages(views.images, encode_high_images(upscaler, views.images), views.prompts)


def held_out_pairs(
    material: ImageSet, image_size_px: int, scale: int, degradation: Degradation, *, seed: int
) -> HeldOutPairs:
    """The whole held-out images, each degraded once, by a seed of its image_id."""
    high = np.stack([resize_and_crop(image, image_size_px) for image in material.images])
    seeds = [derive_seed(seed, "held-out pair", image_id) for image_id in material.image_ids]
    return HeldOutPairs(material.image_ids, material.prompts, low_images(high, scale, degradation, seeds), high)


@dataclass(frozen=True)
class PairValidation:
    """The loss of held-out pairs at fixed noise, LEVELS_PER_IMAGE noise levels of each."""

    pairs: NoisyPairs

    @torch.no_grad()
    def loss(self, pair_loss: PairLoss, *, batch_size: int) -> float:
        """Mean loss over images and noise levels."""
        losses = []
        for start in range(0, len(self.pairs.prompts), batch_size):
            part = slice(start, start + batch_size)
            cut = NoisyPairs(**{name: values[part] for name, values in vars(self.pairs).items()})
            losses.append(pair_loss.losses(cut))
        return float(torch.cat(losses).mean())


def make_pair_validation(
    upscaler: Upscaler, held_out: HeldOutPairs, *, max_noise_level: int, timestep_count: int, seed: int
) -> PairValidation:
    """Fix noise and noise levels, keyed by image_id."""
    moments = torch.from_numpy(encode_high_images(upscaler, held_out.high))
    parts = []
    for number, image_id in enumerate(held_out.image_ids):
        generator = torch_generator(derive_seed(seed, "validation", image_id))
        places = torch.arange(LEVELS_PER_IMAGE) + torch.rand(LEVELS_PER_IMAGE, generator=generator)
        parts.append(
            make_noisy_pairs(
                upscaler,
                moments[number : number + 1, 0].repeat(LEVELS_PER_IMAGE, 1, 1, 1),
                held_out.low[[number] * LEVELS_PER_IMAGE],
                [held_out.prompts[number]] * LEVELS_PER_IMAGE,
                timesteps=(places / LEVELS_PER_IMAGE * timestep_count).long(),
                levels=torch.randint(0, max_noise_level + 1, (LEVELS_PER_IMAGE,), generator=generator),
                generator=generator,
            )
        )
    return PairValidation(_joined(parts))


def _joined(parts: Sequence[NoisyPairs]) -> NoisyPairs:
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("latents", "noise", "low", "low_noise", "timesteps", "levels")
    }
    return NoisyPairs(**tensors, prompts=[prompt for part in parts for prompt in part.prompts])


def _crop(image: NDArray[np.uint8], image_size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    side = int(rng.integers(image_size_px, min(height, width) + 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return resize_and_crop(np.ascontiguousarray(image[top : top + side, left : left + side]), image_size_px)
