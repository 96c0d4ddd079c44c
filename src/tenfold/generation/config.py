"""The configuration of a generation run: which checkpoint draws what, how often and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tenfold.core.config import FolderName, StageConfig

Strategy = Literal[
    "text2img", "img2img", "inpaint", "outpaint", "in_then_outpaint", "autoencoder", "recolor", "composite"
]
Sampler = Literal["checkpoint", "ddim", "dpmsolver++", "unipc", "euler", "euler_a", "pndm"]

PAINTING: tuple[Strategy, ...] = ("inpaint", "outpaint", "in_then_outpaint")
"""Strategies that repaint a part of a real image."""
PROMPTED: tuple[Strategy, ...] = ("text2img", "img2img", *PAINTING)
"""Strategies that draw noise and read prompts."""
WITHOUT_GENERATOR: tuple[Strategy, ...] = ("recolor", "composite")
"""Strategies that load no checkpoint."""
_FROM_IMAGES: tuple[Strategy, ...] = ("img2img", *PAINTING, "autoencoder", *WITHOUT_GENERATOR)
USED_BY: Mapping[str, tuple[Strategy, ...]] = {
    **dict.fromkeys(("adapter", "prompts", "fields", "negative_prompt", "negative_prompts", "sampler"), PROMPTED),
    **dict.fromkeys(("num_inference_steps", "guidance_scale", "guidance_scales", "guidance_rescale"), PROMPTED),
    "guidance_interval": PROMPTED,
    "skin_types": (*PROMPTED, *WITHOUT_GENERATOR),
    "reference_ids": _FROM_IMAGES,
    "strength": ("img2img", *PAINTING),
    "outpaint_strength": ("in_then_outpaint",),
    **dict.fromkeys(("mask", "mask_area_fraction", "mask_feather_px", "surroundings"), PAINTING),
    "mask_dilate_px": (*PAINTING, "composite"),
    **dict.fromkeys(("keep_border_px", "recolor_to_skin_type"), ("outpaint", "in_then_outpaint")),
    "background_labels": ("composite",),
}
"""The strategies that read a field; all do that are not named here."""
AMOUNTS = ("images_per_class", "images_per_prompt", "images_per_real_image", "balance_to", "total")


class PromptTemplate(StageConfig):
    """A prompt with what belongs to it."""

    text: str = Field(description="May hold fields in braces, such as {class_noun} or {site}.")
    weight: float = Field(1.0, gt=0, description="How often it is taken, against its label's other templates.")
    negative_prompt: str | None = Field(None, description="null takes the label's, or the run's.")


class GenerateConfig(StageConfig):
    """Draw images of some labels, from prompts or from real images; they go to ``synthetic/<name>``."""

    name: FolderName = Field(description="Folder of the images, under synthetic/.")
    seed: int = Field(ge=0, lt=2**63)
    strategy: Strategy = "text2img"
    checkpoint: str = Field("embedded:base", description="`embedded:base`, models/NAME, or a diffusers folder.")
    adapter: str | None = Field(
        None, description="models/NAME or a .safetensors file: a LoRA merged into the checkpoint before it draws."
    )
    adapter_scale: float = Field(1.0, ge=0, description="Weight of the adapter; 0 draws with the checkpoint alone.")
    ancestors_from: str | None = Field(
        None,
        description="models/NAME whose training images are the ancestors; null reads the checkpoint's own record.",
    )

    prompts: dict[str, tuple[str | PromptTemplate, ...]] = Field(
        default_factory=dict,
        description="label: prompts, which may hold fields such as {class_noun}, {skin_type} or {site}; empty takes "
        "those the checkpoint was fine-tuned with.",
    )
    fields: dict[str, tuple[str | int | float, ...] | dict[str, float]] = Field(
        default_factory=dict,
        description="field of the prompts: its values, or value: weight; a field that is not named here takes the "
        "source image's value, or values as frequent as in the training images.",
    )
    class_nouns: dict[str, str] = Field(default_factory=dict, description="label: what {class_noun} says.")
    labels: tuple[str, ...] = Field((), description="Only these labels; empty takes all that have prompts.")
    skin_types: tuple[int, ...] | None = Field(
        None,
        description="Fitzpatrick types asked for in equal numbers, instead of those in prompts; null adds none.",
    )
    images_per_class: int | None = Field(
        None, description="Images of each label; 10 when no amount is given and prompts alone are drawn from."
    )
    images_per_prompt: int | tuple[int, int] | None = Field(
        None, description="Images of each template, or [30, 50] for a number between them by template."
    )
    images_per_real_image: int | None = Field(
        None, description="Images for each real training image; 1 when real images are started from."
    )
    balance_to: Literal["largest"] | int | None = Field(
        None, description="Fill each label's training images up to this number, or to the largest label's."
    )
    total: int | None = Field(None, description="Images in all, shared out over the labels.")
    class_weights: dict[str, float] = Field(
        default_factory=dict, description="label: its share of `total`; a label that is not named has 1."
    )
    negative_prompt: str = ""
    negative_prompts: dict[str, str] = Field(default_factory=dict, description="label: its own negative prompt.")
    sampler: Sampler | None = Field(
        None, description="null is what suits the checkpoint; `checkpoint` is the checkpoint's own."
    )
    num_inference_steps: int | None = Field(None, ge=1, le=1000, description="null is what suits the checkpoint.")
    guidance_scale: float | None = Field(None, ge=1, description="1 does not guide; null is what suits the checkpoint.")
    guidance_scales: dict[str, float] = Field(default_factory=dict, description="label: its own guidance scale.")
    guidance_rescale: float = Field(0.0, ge=0, le=1, description="Above 0 tempers over-exposure; 0.7 is usual.")
    guidance_interval: tuple[float, float] | None = Field(
        None, description="Guide only while the share of steps done lies in [first, second); null guides every step."
    )
    image_size_px: int | None = Field(None, ge=8, description="null is the size the checkpoint was trained for.")

    reference_ids: tuple[str, ...] = Field(
        (), description="Real training images to start from; empty takes all of the labels."
    )
    strength: float | None = Field(
        None, description="Above 0, at most 1: how much is drawn anew; null: 0.7 img2img, 0.97 inpaint, 0.95 outpaint."
    )
    outpaint_strength: float | None = Field(None, description="Of in_then_outpaint's second pass; null is 0.95.")
    mask: Literal["lesion", "center", "random"] | None = Field(
        None, description="What is painted anew, or kept by outpainting; null is the lesion's mask."
    )
    mask_area_fraction: float = Field(0.25, gt=0, lt=1, description="Of a center or random mask.")
    mask_dilate_px: int | None = Field(None, ge=0, description="How far a lesion's mask is widened.")
    mask_feather_px: int | None = Field(None, ge=0, description="Width of the soft edge, on the painted side.")
    keep_border_px: int | None = Field(
        None, ge=0, description="What outpainting keeps around the mask; null is 16 px for each 512 px of the edge."
    )
    surroundings: Literal["clean", "noisy"] | None = Field(
        None,
        description="How a UNet that is none for inpainting sees what is kept; null is as it was trained, or noisy.",
    )
    recolor_to_skin_type: bool = Field(
        False, description="Give the kept lesion the tone of the skin type asked for before it is pasted."
    )
    background_labels: tuple[str, ...] = Field(
        (), description="Strategy composite: labels of the images that lesions are set into; empty takes all others."
    )
    upscaler: str | None = Field(None, description="`embedded:upscaler` or models/NAME: enlarges every image by 4.")
    upscale_steps: int = Field(20, ge=1, le=1000)

    batch_size: int = Field(16, ge=1, description="Images drawn at once; another number gives other last bits.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    compile: bool = Field(False, description="torch.compile the UNet: faster after minutes of start, other last bits.")

    file_format: Literal["png", "jpeg"] = "png"
    jpeg_quality: int = Field(95, ge=1, le=100)
    container: Literal["folder", "webdataset"] = Field("folder", description="One file an image, or tar shards.")
    images_per_shard: int = Field(256, ge=1, description="Images in a shard, and in a part that one worker finishes.")
    redraw_limit: int = Field(3, ge=0, description="How often a black, flat or broken image is drawn again.")
    encoder_threads: int = Field(2, ge=1, description="Threads that encode and write while the next batch is drawn.")

    @field_validator("images_per_class", "images_per_real_image", "total", "balance_to", "images_per_prompt")
    @classmethod
    def _asks_for_something(cls, value: object) -> object:
        counts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(count, int) and count < 1 for count in counts):
            raise ValueError("no images are asked for: give 1 or more")
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(f"[{value[0]}, {value[1]}] is no range: give the smaller number first")
        return value

    @field_validator("strength", "outpaint_strength")
    @classmethod
    def _paints_something(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"a strength of {value:g} cannot be drawn: 0 would change nothing; give more, at most 1")
        return value

    @field_validator("guidance_interval")
    @classmethod
    def _is_interval(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1] <= 1:
            raise ValueError(f"[{value[0]:g}, {value[1]:g}] is no interval of steps: give two shares within 0 and 1")
        return value

    @model_validator(mode="after")
    def _fits_strategy(self) -> Self:
        strategy = self.strategy
        self._refuse_idle_options()
        if self.skin_types is not None and (not self.skin_types or not set(self.skin_types) <= set(range(1, 7))):
            raise ValueError("skin_types are some of 1 to 6, or null")
        if strategy == "recolor" and self.skin_types is None:
            raise ValueError("the strategy recolor needs skin_types, the tones to give")
        if self.recolor_to_skin_type and self.skin_types is None and "skin_type" not in self.fields:
            raise ValueError("recolor_to_skin_type needs skin_types, or values of skin_type under `fields`")
        given = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one amount, not {' and '.join(given)}")
        if self.class_weights and self.total is None:
            raise ValueError("class_weights share out `total`, which is not given")
        if any(weight < 0 for weight in self.class_weights.values()):
            raise ValueError("class_weights are 0 or more")
        if any(scale < 1 for scale in self.guidance_scales.values()):
            raise ValueError("guidance_scales are 1 or more")
        for name, values in self.fields.items():
            if not values or (isinstance(values, dict) and not _is_weighting(values)):
                raise ValueError(f"the field {name} has no values: list some, or give each a weight of 0 or more")
        return self

    def _refuse_idle_options(self) -> None:
        """Raises ValueError for an option that would do nothing."""
        for name, strategies in USED_BY.items():
            if self.strategy not in strategies and self._is_given(name):
                raise ValueError(f"{name} belongs to {', '.join(strategies)}; {self.strategy} has no use for it")
        if self.file_format != "jpeg" and self._is_given("jpeg_quality"):
            raise ValueError("jpeg_quality belongs to file_format jpeg; a png loses nothing")
        if self.mask not in ("center", "random") and self._is_given("mask_area_fraction"):
            raise ValueError("mask_area_fraction belongs to mask center or random; a lesion's mask has its own area")

    def _is_given(self, name: str) -> bool:
        """Whether a field says something else than its default does; a study fills in defaults, too."""
        default = type(self).model_fields[name].get_default(call_default_factory=True)
        return bool(getattr(self, name) != default)


def _is_weighting(weights: dict[str, float]) -> bool:
    return all(weight >= 0 for weight in weights.values()) and sum(weights.values()) > 0
