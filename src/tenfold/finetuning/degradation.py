"""Degradation: a low-resolution image made from a high one by blur, reduction, noise and JPEG, keyed by a seed.

The order is that of Real-ESRGAN's first pass (Wang et al. 2021); strengths are drawn anew for each seed, so that an
upscaler does not learn to undo one camera only.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tenfold.core.errors import DataError
from tenfold.core.seeds import numpy_generator

_REDUCTIONS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_SUBSAMPLINGS = ("4:4:4", "4:2:0")
_BEST_QUALITY = 100


@dataclass(frozen=True)
class Degradation:
    """Each pair is a range from which a strength is drawn evenly; one number twice fixes it.

    blur_sigma: of a Gaussian before the reduction, in pixels of the *low* image, so that it means the same at any
    scale; noise_sigma: in levels of 255; jpeg_quality: 1 to 100. ``jpeg_share`` of the images pass through JPEG.
    ``is_plain`` leaves all of it out but one reduction: Pillow's antialiased bicubic.
    """

    blur_sigma: tuple[float, float] = (0.0, 0.4)
    noise_sigma: tuple[float, float] = (0.0, 4.0)
    jpeg_quality: tuple[int, int] = (75, 100)
    jpeg_share: float = 0.5
    is_plain: bool = False


PLAIN = Degradation(is_plain=True)
"""Bicubic reduction alone, the setting in which published PSNR and SSIM are told."""


def degrade(image: NDArray[np.uint8], scale: int, degradation: Degradation, *, seed: int) -> NDArray[np.uint8]:
    """The low-resolution image (H / scale, W / scale, 3) uint8 of (H, W, 3); the same seed gives the same image.

    JPEG's bits may differ between builds of its library; everything else does not.

    Raises:
        DataError: the image's sides are not multiples of `scale`.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise DataError(
            f"an image of {width} x {height} px cannot be reduced {scale} times",
            expected=f"sides that are multiples of {scale} px",
            todo="Resize or crop it first.",
        )
    picture, low_size = Image.fromarray(image), (width // scale, height // scale)
    if degradation.is_plain:
        return np.array(picture.resize(low_size, Image.Resampling.BICUBIC), dtype=np.uint8)
    rng = numpy_generator(seed)
    sigma_px = float(rng.uniform(*degradation.blur_sigma)) * scale
    reduction = _REDUCTIONS[int(rng.integers(len(_REDUCTIONS)))]
    noise_sigma = float(rng.uniform(*degradation.noise_sigma))
    is_jpeg = bool(rng.random() < degradation.jpeg_share)
    low_quality, high_quality = degradation.jpeg_quality
    quality = int(rng.integers(low_quality, high_quality + 1))
    subsampling = _SUBSAMPLINGS[int(rng.integers(len(_SUBSAMPLINGS)))]
    if sigma_px > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(sigma_px))
    low = np.array(picture.resize(low_size, reduction), dtype=np.float64)
    low = (low + rng.normal(0.0, 1.0, low.shape) * noise_sigma).round().clip(0, 255)
    pixels = np.asarray(low, dtype=np.uint8)
    return _through_jpeg(pixels, min(quality, _BEST_QUALITY), subsampling) if is_jpeg else pixels


def enlarge_bicubic(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H x scale, W x scale, 3) uint8 by Pillow's bicubic: what an upscaler is compared with."""
    return _enlarge(image, scale, Image.Resampling.BICUBIC)


def enlarge_nearest(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H x scale, W x scale, 3) uint8 with square pixels: what the low image holds, to look at."""
    return _enlarge(image, scale, Image.Resampling.NEAREST)


def _enlarge(image: NDArray[np.uint8], scale: int, resampling: Image.Resampling) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    return np.array(Image.fromarray(image).resize((width * scale, height * scale), resampling), dtype=np.uint8)


def _through_jpeg(image: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(stream, formats=("JPEG",)) as picture:
        return np.array(picture, dtype=np.uint8)
