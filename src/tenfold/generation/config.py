"""The configuration of a generation run: which checkpoint draws what, how often and how."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tenfold.core.config import StageConfig


class GenerateConfig(StageConfig):
    """Draw images of some labels, or send real ones through the autoencoder; they go to ``synthetic/<name>``."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Folder of the images, under synthetic/.")
    seed: int = Field(ge=0, lt=2**63)
    strategy: Literal["text2img", "autoencoder"] = "text2img"
    checkpoint: str = Field("embedded:base", description="`embedded:base`, models/NAME, or a diffusers folder.")
    adapter: str | None = Field(
        None, description="models/NAME or a .safetensors file: a LoRA merged into the checkpoint before it draws."
    )
    adapter_scale: float = Field(1.0, ge=0, description="Weight of the adapter; 0 draws with the checkpoint alone.")
    ancestors_from: str | None = Field(
        None,
        description="models/NAME whose training images are the ancestors; null reads the checkpoint's own record.",
    )

    prompts: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="label: prompts; empty takes those the checkpoint was fine-tuned with."
    )
    labels: tuple[str, ...] = Field((), description="Only these labels; empty takes all that have prompts.")
    skin_types: tuple[int, ...] | None = Field(
        None,
        description="Fitzpatrick types asked for in equal numbers, instead of those in prompts; null adds none.",
    )
    images_per_class: int = Field(10, ge=1)
    negative_prompt: str = ""
    sampler: Literal["ddim", "dpmsolver++", "euler"] | None = Field(None, description="null is the checkpoint's own.")
    num_inference_steps: int = Field(20, ge=1, le=1000)
    guidance_scale: float = Field(3.0, ge=1, description="1 does not guide.")
    guidance_rescale: float = Field(0.0, ge=0, le=1, description="Above 0 tempers over-exposure; 0.7 is usual.")
    image_size_px: int | None = Field(None, ge=8, description="null is the size the checkpoint was trained for.")

    reference_ids: tuple[str, ...] = Field(
        (), description="Strategy autoencoder: the real training images to reconstruct."
    )

    batch_size: int = Field(16, ge=1, description="Images drawn at once; another number gives other last bits.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _fits_strategy(self) -> Self:
        if self.strategy == "autoencoder" and not self.reference_ids:
            raise ValueError("the strategy autoencoder needs reference_ids, the real images to reconstruct")
        if self.strategy == "text2img" and self.reference_ids:
            raise ValueError("reference_ids belong to the strategy autoencoder; text2img draws from prompts")
        if self.strategy == "autoencoder" and self.adapter is not None:
            raise ValueError("the strategy autoencoder has no use for an adapter, which leaves the autoencoder alone")
        if self.skin_types is not None and (not self.skin_types or not set(self.skin_types) <= set(range(1, 7))):
            raise ValueError("skin_types are some of 1 to 6, or null")
        return self
