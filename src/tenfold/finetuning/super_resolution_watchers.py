"""An upscaler looked at while it is trained: the same held-out pictures drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tenfold.core.files import write_bytes_atomic
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.super_resolution_pairs import HeldOutPairs
from tenfold.finetuning.super_resolution_scores import enlarge_pairs
from tenfold.models.upscaling import Upscaler, UpscaleSettings


class PairSampleWatcher:
    """Draws the same held-out images with the same noise into ``folder/step-XXXXXXXX.png``, side by side."""

    def __init__(
        self,
        upscaler: Upscaler,
        pairs: HeldOutPairs,
        sampling: UpscaleSettings,
        folder: Path,
        *,
        every_steps: int,
        seed: int,
    ) -> None:
        self._upscaler, self._pairs, self._sampling = upscaler, pairs, sampling
        self._folder, self._seed = folder, seed
        self.every_steps = every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """Draw after `step` steps."""
        images = enlarge_pairs(self._upscaler, self._pairs, self._sampling, seed=self._seed)
        write_bytes_atomic(self._folder / f"step-{step:08d}.png", encode_png(image_grid(images, len(images))))
        return {}
