"""Looks at an upscaler while it is trained: the loss of held-out pairs, and the same pictures drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tenfold.core.files import write_bytes_atomic
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.super_resolution_objective import PairLoss
from tenfold.finetuning.super_resolution_pairs import HeldOutPairs, PairValidation
from tenfold.finetuning.super_resolution_scores import enlarge_pairs
from tenfold.finetuning.validation import ValidationTrace
from tenfold.models.upscaling import Upscaler, UpscaleSettings


class PairLossWatcher:
    """Records the validation loss."""

    def __init__(
        self,
        validation: PairValidation,
        pair_loss: PairLoss,
        trace: ValidationTrace,
        *,
        every_steps: int,
        batch_size: int,
    ) -> None:
        self._validation, self._pair_loss, self._trace = validation, pair_loss, trace
        self._batch_size = batch_size
        self.every_steps = every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """The loss after `step` steps."""
        loss = self._validation.loss(self._pair_loss, batch_size=self._batch_size)
        self._trace.record(step, loss)
        return {"validation_loss": loss}


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
