"""How much an image is like its reference: PSNR, SSIM (Wang et al. 2004) and a distance of feature maps.

PSNR and SSIM reward the mean of all possible answers, so a blurred image may beat a sharp one; the feature distance,
of the kind of LPIPS (Zhang et al. 2018) but without its weights from people's votes, sees the missing detail. Tell
all three.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from tenfold.metrics.arrays import FloatArray

Images = NDArray[np.uint8]

HIGHEST_PSNR_DB = 100.0
"""Given for equal images, whose ratio is infinite."""

_WINDOW_SIGMA_PX, _WINDOW_RADIUS_PX = 1.5, 5
_PEAK = 255.0


def psnr_db(images: Images, references: Images) -> FloatArray:
    """Peak signal-to-noise ratio (N,) in dB of images (N, H, W, C) uint8 against references of the same shape."""
    _check_shapes(images, references)
    errors = np.square(images.astype(np.float64) - references).mean(axis=(1, 2, 3))
    floor = _PEAK**2 / 10 ** (HIGHEST_PSNR_DB / 10)
    return np.asarray(10 * np.log10(_PEAK**2 / np.maximum(errors, floor)), dtype=np.float64)


def ssim(images: Images, references: Images) -> FloatArray:
    """Structural similarity (N,) in [-1, 1] of images (N, H, W, C) uint8: the mean over channels and positions.

    Gaussian window of 11 px with sigma 1.5, only where it fits wholly. ValueError for images smaller than the window.
    """
    _check_shapes(images, references)
    if min(images.shape[1:3]) <= 2 * _WINDOW_RADIUS_PX:
        raise ValueError(f"images of {images.shape[1]} x {images.shape[2]} px are smaller than the window of 11 px")
    c1, c2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    values = np.empty(len(images))
    for number, pair in enumerate(zip(images, references, strict=True)):
        first, second = (image.astype(np.float64) for image in pair)
        mean_1, mean_2 = _windowed(first), _windowed(second)
        variance_1 = _windowed(first * first) - mean_1**2
        variance_2 = _windowed(second * second) - mean_2**2
        covariance = _windowed(first * second) - mean_1 * mean_2
        above = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
        below = (mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2)
        values[number] = (above / below).mean()
    return values


def feature_map_distance(
    maps: Sequence[NDArray[np.float32]], reference_maps: Sequence[NDArray[np.float32]]
) -> FloatArray:
    """Distance (N,) in [0, 4] of feature maps, one (N, C, h, w) array for each layer; 0 for equal images.

    At each position the features are scaled to length one; squared differences are averaged over positions, then over
    layers, all layers alike.
    """
    if [part.shape for part in maps] != [part.shape for part in reference_maps] or not maps:
        raise ValueError("the feature maps of images and references differ in shape")
    layers = []
    for own, other in zip(maps, reference_maps, strict=True):
        difference = _unit(own) - _unit(other)
        layers.append(np.square(difference).sum(axis=1).mean(axis=(1, 2)))
    return np.asarray(np.mean(layers, axis=0), dtype=np.float64)


def _windowed(image: FloatArray) -> FloatArray:
    """Gaussian means of (H, W, C) where the window fits: (H - 10, W - 10, C)."""
    places = np.arange(-_WINDOW_RADIUS_PX, _WINDOW_RADIUS_PX + 1)
    window = np.exp(-(places**2) / (2 * _WINDOW_SIGMA_PX**2))
    window /= window.sum()
    smooth = correlate1d(correlate1d(image, window, axis=0), window, axis=1)
    inner = slice(_WINDOW_RADIUS_PX, -_WINDOW_RADIUS_PX)
    return np.asarray(smooth[inner, inner], dtype=np.float64)


def _unit(features: NDArray[np.float32]) -> FloatArray:
    wide = features.astype(np.float64)
    return np.asarray(wide / np.sqrt(np.square(wide).sum(axis=1, keepdims=True) + 1e-10), dtype=np.float64)


def _check_shapes(images: Images, references: Images) -> None:
    if images.shape != references.shape or images.ndim != 4:
        raise ValueError(f"images of shape {images.shape} cannot be compared with references of {references.shape}")
