"""Color jitter: pictures a little darker or lighter, flatter or richer in color, as other cameras would show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance


@dataclass(frozen=True)
class ColorJitter:
    """How far colors may change: factors lie in 1 +- the share, the hue in +- the share of the color circle."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything changes."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB with brightness, contrast, saturation and hue changed in this order by draws of `rng`."""
        factors = [1 + share * rng.uniform(-1, 1) for share in (self.brightness, self.contrast, self.saturation)]
        turn = self.hue * rng.uniform(-1, 1)
        picture = Image.fromarray(image)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors, strict=True):
            if factor != 1:
                picture = kind(picture).enhance(factor)
        return _turn_hue(np.asarray(picture), turn) if turn else np.array(picture, dtype=np.uint8)


def _turn_hue(image: NDArray[np.uint8], turn: float) -> NDArray[np.uint8]:
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int64) + round(turn * 256)) % 256
    picture = Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value))
    return np.array(picture.convert("RGB"), dtype=np.uint8)
