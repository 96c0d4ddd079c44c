"""Saliency: which pixels of an image spoke for a class, by captum, and the picture that shows it.

Integrated gradients (Sundararajan 2017) from a blurred copy of the image: a black start would hide what is dark. They
add up to the difference of the class's logit between image and copy. Grad-CAM (Selvaraju 2017) weights the channels of
the last convolution. Neither says why the network answers so, nor that it is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from tenfold.core.errors import InputError
from tenfold.models.features import to_batch

SaliencyMethod = Literal["integrated_gradients", "gradcam"]
SALIENCY_METHODS: tuple[SaliencyMethod, ...] = ("integrated_gradients", "gradcam")

_STEPS = 48
_BATCH_SIZE = 16
_SMALLEST_SIDE_PX = 288
_MARGIN_PX, _LINE_PX, _TEXT_PX = 10, 20, 14
_COLORS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Inferno, dark to light."""


@dataclass(frozen=True)
class Saliency:
    """heat: (H, W) float32 in [0, 1], 1 where most; gap: what integrated gradients miss of the logit's difference."""

    heat: NDArray[np.float32]
    gap: float | None


def saliency(model: nn.Module, image: NDArray[np.uint8], class_index: int, method: SaliencyMethod) -> Saliency:
    """Of one image (H, W, 3) uint8 and one class; the model is in evaluation mode.

    Raises:
        InputError: the model has no convolution over a grid for Grad-CAM.
    """
    device = next(model.parameters()).device
    inputs = to_batch(image[None]).to(device).contiguous()
    if method == "gradcam":
        return Saliency(_heat(_gradcam(model, inputs, class_index)), None)
    from captum.attr import IntegratedGradients

    start = _blurred(inputs, max(inputs.shape[2:]) / 8)
    attributions, gap = IntegratedGradients(model).attribute(
        inputs, start, target=class_index, n_steps=_STEPS, internal_batch_size=_BATCH_SIZE,
        return_convergence_delta=True,
    )  # fmt: skip
    total = attributions.detach().sum(dim=1, keepdim=True).clamp(min=0).float()
    return Saliency(_heat(_blurred(total, max(inputs.shape[2:]) / 32)), float(gap.abs().max()))


def saliency_picture(image: NDArray[np.uint8], heat: NDArray[np.float32], lines: Sequence[str]) -> NDArray[np.uint8]:
    """Image and overlay side by side above lines of text: (H', W', 3) uint8. image: (H, W, 3); heat: (H, W)."""
    height, width = image.shape[:2]
    scale = max(1, math.ceil(_SMALLEST_SIDE_PX / min(height, width)))
    size = (width * scale, height * scale)
    plain = Image.fromarray(image).resize(size, Image.Resampling.NEAREST)
    smooth = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)[..., None]
    gray = np.asarray(plain.convert("L").convert("RGB"), dtype=np.float64)
    opacity = 0.85 * np.clip(smooth, 0.0, 1.0)
    laid = np.rint(gray * (1 - opacity) + _colored(smooth[..., 0]) * opacity).astype(np.uint8)
    page = Image.new(
        "RGB", (2 * size[0] + 3 * _MARGIN_PX, size[1] + 2 * _MARGIN_PX + _LINE_PX * len(lines)), (255, 255, 255)
    )
    page.paste(plain, (_MARGIN_PX, _MARGIN_PX))
    page.paste(Image.fromarray(laid), (2 * _MARGIN_PX + size[0], _MARGIN_PX))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_TEXT_PX)
    for number, line in enumerate(lines):
        draw.text((_MARGIN_PX, size[1] + 1.6 * _MARGIN_PX + _LINE_PX * number), line, fill=(31, 42, 51), font=font)
    return np.array(page, dtype=np.uint8)


def _gradcam(model: nn.Module, inputs: torch.Tensor, class_index: int) -> torch.Tensor:
    from captum.attr import LayerGradCam

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.out_channels > 1]
    maps = [LayerGradCam(model, layer) for layer in layers[-1:]]
    found: Any = maps[0].attribute(inputs, target=class_index, relu_attributions=True).detach() if maps else None
    if found is None or found.ndim != 4 or min(found.shape[2:]) < 2 or len(layers) < 2:
        raise InputError(
            "this network has no convolutions that Grad-CAM could show",
            expected="a convolutional network",
            todo="Use --saliency-method integrated_gradients.",
        )
    return nn.functional.interpolate(found.float(), size=inputs.shape[2:], mode="bilinear")


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of (B, C, H, W); the border is repeated."""
    radius = min(math.ceil(2.5 * sigma), min(images.shape[2:]) - 1)
    places = torch.arange(-radius, radius + 1, dtype=torch.float32, device=images.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    channels = images.shape[1]
    padded = nn.functional.pad(images, (radius,) * 4, mode="replicate")
    across = nn.functional.conv2d(padded, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return nn.functional.conv2d(across, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _heat(values: torch.Tensor) -> NDArray[np.float32]:
    """(1, 1, H, W), at least 0, scaled so that its 99.5th percentile is 1."""
    heat = values[0, 0].cpu().numpy().astype(np.float32)
    top = float(np.quantile(heat, 0.995))
    return np.clip(heat / top, 0.0, 1.0) if top > 0 else np.zeros_like(heat)


def _colored(values: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.linspace(0.0, 1.0, len(_COLORS))
    return np.stack([np.interp(values, places, [color[part] for color in _COLORS]) for part in range(3)], axis=-1)
