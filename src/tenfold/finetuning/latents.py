"""Cached latents: the autoencoder's moments of enumerated crops, flips and turns, sampled anew at each step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.finetuning.color_jitter import ColorJitter
from tenfold.models.pipelines import Components
from tenfold.models.sampling import encode_images

_ENCODE_BATCH = 32


@dataclass(frozen=True)
class Views:
    """Which views of an image are enumerated: crops x 2 when mirrored x 4 when turned.

    The first crop is the whole image as it is; the others' colors are jittered.
    """

    crops: int = 1
    crop_scale: float = 1.0
    mirrors: bool = False
    turns: bool = False
    jitter: ColorJitter = field(default_factory=ColorJitter)

    @property
    def count(self) -> int:
        """Views of one image."""
        return self.crops * (2 if self.mirrors else 1) * (4 if self.turns else 1)


@dataclass(frozen=True)
class LatentCache:
    """Moments of every view of every image; a draw takes a view and a point of its Gaussian."""

    moments: torch.Tensor
    """(images, views, 2 x channels, h, w) float: mean, then log variance."""
    scaling_factor: float

    def draw(self, image_indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(B, channels, h, w) scaled latents of a random view of each image; `generator` lies on the CPU."""
        view_indices = torch.randint(self.moments.shape[1], image_indices.shape, generator=generator)
        mean, log_variance = self.moments[image_indices, view_indices].chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        spread = (0.5 * log_variance.clamp(-30, 20)).exp()
        return (mean + spread * noise) * self.scaling_factor

    def means(self) -> torch.Tensor:
        """(images, channels, h, w) scaled latents of the whole images, without noise."""
        return self.moments[:, 0].chunk(2, dim=1)[0] * self.scaling_factor


@torch.no_grad()
def cache_latents(components: Components, images: NDArray[np.uint8], views: Views, *, seed: int) -> LatentCache:
    """Encode every view of every image once.

    Args:
        images: (N, H, W, 3) sRGB, square, of the checkpoint's size.
        seed: decides where the crops lie; image n's crops depend on (seed, n) only.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    rows = []
    for number, image in enumerate(pixels):
        enumerated = enumerate_views(image, views, derive_seed(seed, "crops", number))
        parts = [
            encode_images(components, part.permute(0, 2, 3, 1).numpy()) for part in enumerated.split(_ENCODE_BATCH)
        ]
        rows.append(torch.cat(parts).float())
    return LatentCache(torch.stack(rows), float(components.vae.config.scaling_factor))


def enumerate_views(image: torch.Tensor, views: Views, seed: int) -> torch.Tensor:
    """(views, 3, H, W) uint8 of one (3, H, W) image: the whole image first, then crops, each mirrored and turned."""
    rng = numpy_generator(seed)
    crops = torch.stack([image, *(_crop(image, views.crop_scale, rng) for _ in range(views.crops - 1))])
    if views.jitter.is_on:
        own_rng = numpy_generator(derive_seed(seed, "jitter"))
        for crop in crops[1:]:
            crop.copy_(_jittered(crop, views.jitter, own_rng))
    if views.mirrors:
        crops = torch.cat([crops, crops.flip(-1)])
    if views.turns:
        crops = torch.cat([torch.rot90(crops, turns, (-2, -1)) for turns in range(4)])
    return crops


def _crop(image: torch.Tensor, crop_scale: float, rng: np.random.Generator) -> torch.Tensor:
    """A random box with sides of `crop_scale` to all of the image's, scaled back to the image's size."""
    edge_px = image.shape[-1]
    height, width = (max(1, round(edge_px * side)) for side in rng.uniform(crop_scale, 1.0, 2))
    top, left = int(rng.integers(edge_px - height + 1)), int(rng.integers(edge_px - width + 1))
    box = image[None, :, top : top + height, left : left + width].float()
    scaled = F.interpolate(box, size=(edge_px, edge_px), mode="bilinear", align_corners=False, antialias=True)
    return scaled[0].round().clamp(0, 255).to(torch.uint8)


def _jittered(image: torch.Tensor, jitter: ColorJitter, rng: np.random.Generator) -> torch.Tensor:
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(jitter.apply(pixels, rng)).permute(2, 0, 1)
