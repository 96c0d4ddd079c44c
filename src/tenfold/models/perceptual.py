"""Feature maps of images by the embedded feature net, for distances that see detail rather than pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.models.features import load_feature_net, to_batch
from tenfold.models.small_net import SmallNet


class FeatureMaps:
    """The maps of all stages of the net. Images are taken at their own size: made smaller they would lose the very
    detail that is looked for."""

    def __init__(self) -> None:
        """CheckpointError when the embedded net is missing or damaged."""
        self._net: SmallNet = load_feature_net().eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """A (B, C, h, w) array for each stage, of images (B, H, W, 3) uint8."""
        hidden = self._net.stem((to_batch(images) - 0.5) / 0.25)
        maps = []
        for stage in self._net.stages:
            hidden = stage(hidden)
            maps.append(hidden.numpy())
        return maps
