"""Drawing defaults: the sampler, steps and guidance that suit a checkpoint, and what its UNet can do; torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.models.checkpoint_ref import checkpoint_kind
from tenfold.models.registry import CheckpointKind

PAINTS: Mapping[CheckpointKind, tuple[str, ...]] = {
    "text2img": ("text2img", "img2img", "inpaint", "outpaint", "in_then_outpaint", "autoencoder"),
    "inpainting": ("inpaint", "outpaint", "in_then_outpaint", "autoencoder"),
    "upscale": ("upscale",),
}
"""The strategies that each kind of checkpoint can do."""


@dataclass(frozen=True)
class DrawingDefaults:
    """What is taken where the config says nothing."""

    sampler: str | None
    """None is the checkpoint's own."""
    num_inference_steps: int
    guidance_scale: float


_OWN = DrawingDefaults(None, 20, 3.0)
_LARGE: Mapping[int, DrawingDefaults] = {
    768: DrawingDefaults("dpmsolver++", 25, 7.5),
    1024: DrawingDefaults("dpmsolver++", 25, 3.0),
    2048: DrawingDefaults(None, 30, 5.0),
}
"""By the width of the text embeddings: Stable Diffusion 1, 2 (guided as in Sagers et al. 2023) and SDXL."""
_LARGE_CHANNELS = 320


def drawing_defaults(checkpoint: Path) -> DrawingDefaults:
    """By the UNet's shape and the noise schedule; small UNets, such as the embedded base's, draw by their own sampler.

    A schedule that ends in pure noise was trained with one sampler in mind: it keeps its own.
    """
    unet = read_json(checkpoint / "unet" / "config.json")
    schedule = read_json(checkpoint / "scheduler" / "scheduler_config.json")
    if list(unet.get("block_out_channels", ()))[:1] != [_LARGE_CHANNELS]:
        return _OWN
    found = _LARGE.get(unet.get("cross_attention_dim", 0), _OWN)
    if schedule.get("rescale_betas_zero_snr"):
        return DrawingDefaults(None, found.num_inference_steps, found.guidance_scale)
    return found


def check_strategy(checkpoint: Path, strategy: str) -> CheckpointKind:
    """The checkpoint's kind. Raises CheckpointError when it cannot do what is asked, saying which can."""
    kind = checkpoint_kind(checkpoint)
    if strategy in PAINTS[kind]:
        return kind
    able = " or ".join(name for name, strategies in PAINTS.items() if strategy in strategies)
    todo = f"Choose a checkpoint for {able}, or one of what this one can do."
    raise CheckpointError(
        f"this checkpoint cannot do {strategy}",
        where=str(checkpoint),
        expected=f"one of {', '.join(PAINTS[kind])}",
        todo=f"{todo} It enlarges what others drew, as `upscaler`." if kind == "upscale" else todo,
    )
