"""Transforms: random augmentation of image batches on the CPU or a GPU, keyed by a generator.

Crop, rotation, flip and warp are one map of coordinates, so every image is resampled once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tenfold.core.errors import DataError

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from, uniformly, one draw per image. The defaults suit dermatology and blood cells.

    crop_scale: share of the image's area that is kept; crop_ratio: width to height of the kept part (log-uniform);
    flips with probability 0.5 where on; rotation within +- rotation_degrees; brightness, contrast and saturation
    factors within 1 +- the given number. warp: the image is tilted in perspective, across and down, so that its sides
    shrink and grow by up to this part.
    """

    crop_scale: tuple[float, float] = (0.7, 1.0)
    crop_ratio: tuple[float, float] = (0.9, 1.11)
    horizontal_flip: bool = True
    vertical_flip: bool = True
    rotation_degrees: float = 30.0
    brightness: float = 0.15
    contrast: float = 0.15
    saturation: float = 0.1
    warp: float = 0.0

    def __post_init__(self) -> None:
        (low, high), (narrow, wide) = self.crop_scale, self.crop_ratio
        factors = (self.brightness, self.contrast, self.saturation)
        if (
            not 0 < low <= high <= 1
            or not 0 < narrow <= wide
            or not (all(0 <= factor < 1 for factor in factors) and 0 <= self.warp < 0.5)
        ):
            raise DataError(
                f"an augmentation out of range: {self}",
                expected="ascending ranges, 0 < crop_scale <= 1, 0 < crop_ratio, color factors in [0, 1), "
                "warp in [0, 0.5)",
            )


PAPER = Augmentation(warp=0.1)
"""Random crop, flip, rotation, warp and lighting: the transforms of Sagers et al. 2023."""


def augment(images: torch.Tensor, augmentation: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Augmented copies of images (B, 3, H, W) float in [0, 1]; same shape, type and device.

    The draws come from the generator (a CPU one) in a fixed order: the same generator state gives the same images.
    Places beyond the border show the image mirrored.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise DataError(f"images of shape {tuple(images.shape)}", expected="(B, 3, H, W)")
    draws = torch.rand((len(images), 10), generator=generator).to(images)
    maps = _affine_maps(draws, augmentation, images)
    if augmentation.warp:
        tilts = augmentation.warp * (2 * torch.rand((len(images), 2), generator=generator).to(images) - 1)
        grid = _warped_grid(maps, tilts, images)
    else:
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _recolored(moved, draws[:, 7:10], augmentation)


def _affine_maps(draws: torch.Tensor, augmentation: Augmentation, images: torch.Tensor) -> torch.Tensor:
    """(B, 2, 3): from output to input coordinates, both in [-1, 1]."""
    height, width = images.shape[2:]
    low, high = augmentation.crop_scale
    area = low + (high - low) * draws[:, 0]
    narrow, wide = (torch.log(torch.tensor(ratio, dtype=draws.dtype)) for ratio in augmentation.crop_ratio)
    ratio = torch.exp(narrow + (wide - narrow) * draws[:, 1])
    across = torch.sqrt(area * ratio).clamp(max=1.0)
    down = torch.sqrt(area / ratio).clamp(max=1.0)
    shift_x = (1 - across) * (2 * draws[:, 2] - 1)
    shift_y = (1 - down) * (2 * draws[:, 3] - 1)
    angle = torch.deg2rad(augmentation.rotation_degrees * (2 * draws[:, 4] - 1))
    mirror_x = 1 - 2 * ((draws[:, 5] < 0.5) & augmentation.horizontal_flip).to(draws)
    mirror_y = 1 - 2 * ((draws[:, 6] < 0.5) & augmentation.vertical_flip).to(draws)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    aspect = width / height
    first = torch.stack([cosine * across * mirror_x, -sine * down * mirror_y / aspect, shift_x], dim=1)
    second = torch.stack([sine * across * mirror_x * aspect, cosine * down * mirror_y, shift_y], dim=1)
    return torch.stack([first, second], dim=1)


def _warped_grid(maps: torch.Tensor, tilts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 2): the affine maps (B, 2, 3) after a perspective one, (x, y) -> (x, y) / (1 + p x + q y)."""
    height, width = images.shape[2:]
    y, x = ((2 * torch.arange(side, device=images.device).to(images) + 1) / side - 1 for side in (height, width))
    depth = 1 + tilts[:, :1, None] * x + tilts[:, 1:, None] * y[:, None]
    warped = torch.stack([x / depth, y[:, None] / depth], dim=1).flatten(2)
    moved = torch.baddbmm(maps[:, :, 2:], maps[:, :, :2], warped)
    return moved.transpose(1, 2).reshape(len(images), height, width, 2)


def _recolored(images: torch.Tensor, draws: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
    """Brightness scales, contrast moves from the mean gray, saturation from each pixel's gray (as in torchvision)."""
    ranges = torch.tensor([augmentation.brightness, augmentation.contrast, augmentation.saturation]).to(draws)
    factors = (1 + ranges * (2 * draws - 1))[:, :, None, None, None]
    images = (images * factors[:, 0]).clamp_(0, 1)
    mean = _gray(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * factors[:, 1]).clamp_(0, 1)
    gray = _gray(images)
    return (gray + (images - gray) * factors[:, 2]).clamp_(0, 1)


def _gray(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(1)
