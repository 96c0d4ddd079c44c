"""A request: all that decides one synthetic image, and the image's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.hashing import sha256_json


@dataclass(frozen=True)
class ModelIdentity:
    """Which weights draw: equal ones need not be loaded again."""

    checkpoint_sha256: str
    adapter_sha256: str | None
    adapter_scale: float | None
    dtype: str


@dataclass(frozen=True)
class ImageRequest:
    """One image to be made. Equal requests are the same image; a change of any field is another one."""

    strategy: str
    label: str
    checkpoint: str
    """The checkpoint's reference, for people; `checkpoint_sha256` says which weights."""
    checkpoint_sha256: str
    dtype: str
    image_size_px: int | None
    """None is the size the checkpoint was trained for."""
    prompt: str | None = None
    negative_prompt: str | None = None
    skin_type: int | None = None
    seed: int | None = None
    """Of the image's own noise; None where none is drawn."""
    sampler: str | None = None
    """None is the checkpoint's own."""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_rescale: float | None = None
    parent_id: str | None = None
    adapter: str | None = None
    """The LoRA's reference, for people; `adapter_sha256` says which weights."""
    adapter_sha256: str | None = None
    adapter_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    """Guided only where the share of steps done lies in [first, second); None guides every step."""
    strength: float | None = None
    """Share of the noise levels that an image-to-image, inpainting or outpainting pass runs through."""
    outpaint_strength: float | None = None
    """In-then-outpaint: the strength of its second pass."""
    outpaint_seed: int | None = None
    """In-then-outpaint: of the second pass's own noise."""
    mask: str | None = None
    """What is painted anew: lesion, center or random; outpainting paints its complement."""
    mask_area_fraction: float | None = None
    mask_dilate_px: int | None = None
    mask_feather_px: int | None = None
    mask_seed: int | None = None
    keep_border_px: int | None = None
    """Outpainting: how far the kept part reaches beyond the mask, at the size that is drawn."""
    surroundings: str | None = None
    """How a plain UNet sees what is known: clean or noisy; None for inpainting UNets."""
    recolor_to: int | None = None
    """Fitzpatrick type whose tone the kept lesion is given before it is pasted."""
    background_id: str | None = None
    """Composite: the real image that the lesion is set into."""
    upscaler: str | None = None
    upscaler_sha256: str | None = None
    upscale_steps: int | None = None
    upscale_seed: int | None = None
    file_format: str | None = None
    """None is PNG; else jpeg."""
    jpeg_quality: int | None = None

    @property
    def model(self) -> ModelIdentity:
        """The weights that draw, and how they are held."""
        return ModelIdentity(self.checkpoint_sha256, self.adapter_sha256, self.adapter_scale, self.dtype)

    @property
    def image_id(self) -> str:
        """16 hex digits, known before anything is drawn; None does not count, so that new fields rename nothing."""
        return sha256_json({name: value for name, value in vars(self).items() if value is not None})[:16]

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ImageRequest:
        """The request that `as_dict` gave, also by way of JSON."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**plain)
