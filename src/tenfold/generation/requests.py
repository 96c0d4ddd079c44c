"""A request: all that decides one synthetic image, and the image's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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

    @property
    def model(self) -> ModelIdentity:
        """The weights that draw, and how they are held."""
        return ModelIdentity(self.checkpoint_sha256, self.adapter_sha256, self.adapter_scale, self.dtype)

    @property
    def image_id(self) -> str:
        """16 hex digits, known before anything is drawn; None does not count, so that new fields rename nothing."""
        return sha256_json({name: value for name, value in asdict(self).items() if value is not None})[:16]

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ImageRequest:
        """The request that `as_dict` gave."""
        return cls(**fields)
