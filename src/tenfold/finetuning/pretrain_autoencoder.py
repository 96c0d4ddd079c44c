"""Pretraining of the autoencoder: images to latents a quarter as wide and back, with color and fine detail kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, numpy_generator, torch_generator
from tenfold.finetuning.pretrain_config import AutoencoderConfig
from tenfold.finetuning.pretrain_linear_start import hold_anchors


def build_autoencoder(config: AutoencoderConfig, image_size_px: int, *, seed: int) -> AutoencoderKL:
    """A convolutional AutoencoderKL with freshly drawn weights; each further width halves the picture's side."""
    depth = len(config.block_out_channels)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(derive_seed(seed, "autoencoder")).get_state())
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * depth,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=tuple(config.block_out_channels),
            layers_per_block=1,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_num_groups,
            sample_size=image_size_px,
            mid_block_add_attention=False,
        )
    return _channels_last(vae)


def _channels_last(vae: AutoencoderKL) -> AutoencoderKL:
    vae.to(memory_format=torch.channels_last)
    return vae


class AutoencoderObjective:
    """Reconstruction of random crops, turned and mirrored, of archive images."""

    def __init__(
        self, vae: AutoencoderKL, images: NDArray[np.uint8], *, crop_px: int, batch_size: int, kl_weight: float,
        seed: int,
    ) -> None:  # fmt: skip
        """``batch_size`` crops of ``crop_px`` px are drawn at each step, shared among the processes."""
        self._vae, self._images, self._crop_px = vae, images, crop_px
        self._batch_size = batch_size
        self._seed = seed
        hold_anchors(vae)
        self._cost = _AutoencoderCost(vae, kl_weight)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The autoencoder."""
        return {"vae": self._vae}

    def loss(self, step: int) -> torch.Tensor:
        """Scalar loss of the crops of this batch."""
        seed = derive_seed(self._seed, "autoencoder", self._crop_px, step)
        crops = draw_crops(self._images, self._batch_size, self._crop_px, seed=seed)
        latent_px = self._crop_px // 2 ** (len(self._vae.config["block_out_channels"]) - 1)
        shape = (self._batch_size, self._vae.config["latent_channels"], latent_px, latent_px)
        device = self._vae.device
        noise = torch.randn(shape, generator=torch_generator(seed)).to(device)
        cost: torch.Tensor = self._cost(as_pictures(crops).to(device), noise)
        return cost


class _AutoencoderCost(torch.nn.Module):
    def __init__(self, vae: AutoencoderKL, kl_weight: float) -> None:
        super().__init__()
        self.vae, self.kl_weight = vae, kl_weight

    def forward(self, pictures: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """pictures: (B, 3, H, W) in [-1, 1]; noise: (B, C, h, w) standard normal, for the draw from the posterior."""
        posterior = self.vae.encode(pictures).latent_dist
        decoded: torch.Tensor = self.vae.decode(posterior.mean + posterior.std * noise).sample
        divergence = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        cost: torch.Tensor = reconstruction_cost(decoded, pictures) + self.kl_weight * divergence
        return cost


def reconstruction_cost(decoded: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Scalar distance of (B, 3, H, W) pictures in [-1, 1]: brightness, color differences, and edges at three scales.

    Color differences count by themselves because a gray picture is otherwise a cheap answer; edges because a
    blurred one is.
    """
    error = decoded - pictures
    red, green, blue = error.unbind(1)
    brightness = (red + green + blue) / 3
    cost = _charbonnier(brightness) + _charbonnier(red - green) + _charbonnier((red + green) / 2 - blue)
    for _ in range(3):
        cost = cost + 0.5 * (_charbonnier(error.diff(dim=2)) + _charbonnier(error.diff(dim=3)))
        error = F.avg_pool2d(error, 2)
    return cost


def draw_crops(images: NDArray[np.uint8], count: int, crop_px: int, *, seed: int) -> NDArray[np.uint8]:
    """(count, crop_px, crop_px, 3) uint8 crops at random places, in one of the eight turned or mirrored positions."""
    rng = numpy_generator(seed)
    height, width = images.shape[1:3]
    rows = rng.integers(len(images), size=count)
    tops, lefts = rng.integers(height - crop_px + 1, size=count), rng.integers(width - crop_px + 1, size=count)
    turns, mirrors = rng.integers(4, size=count), rng.integers(2, size=count)
    crops = np.empty((count, crop_px, crop_px, 3), dtype=np.uint8)
    for index in range(count):
        top, left = tops[index], lefts[index]
        crop = np.rot90(images[rows[index], top : top + crop_px, left : left + crop_px], turns[index])
        crops[index] = crop[:, ::-1] if mirrors[index] else crop
    return crops


def as_pictures(images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels last in memory."""
    pictures = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, images: NDArray[np.uint8]) -> None:
    """Fold each latent channel's mean and spread over (N, H, W, 3) uint8 images into the 1x1 convolutions beside it.

    Pictures come out as before; the latents then have mean 0 and variance 1, so that the scaling factor is 1.
    """
    moments = [vae.encode(part.to(vae.device)).latent_dist for part in as_pictures(images).split(64)]
    means, variances = torch.cat([m.mean for m in moments]), torch.cat([m.var for m in moments])
    shift = means.mean(dim=(0, 2, 3))
    scale = ((means - shift[:, None, None]).square() + variances).mean(dim=(0, 2, 3)).sqrt()
    channels = len(shift)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:channels] /= scale[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - shift) / scale
    before.bias[channels:] -= 2 * scale.log()
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight *= scale[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)


def _charbonnier(error: torch.Tensor, softness: float = 0.02) -> torch.Tensor:
    return (error.square() + softness**2).sqrt().mean() - softness
