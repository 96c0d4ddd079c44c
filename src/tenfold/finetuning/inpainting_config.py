"""Inpainting's configuration: what is masked, what the UNet sees of the rest, and all that fine-tunings share."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tenfold.finetuning.config import PromptedConfig


class InpaintingConfig(PromptedConfig):
    """Teach a base to paint a part of an image anew; the model goes to ``models/<name>``."""

    masks: Literal["random", "lesion"] = Field(
        "random", description="One random rectangle or ellipse an image, or the manifest's lesion masks."
    )
    mask_dilation: float = Field(
        0.05, ge=0, le=0.5, description="Lesion masks grow by this share of the image's edge on all sides."
    )
    images_without_mask: Literal["refuse", "random"] = Field(
        "refuse", description="With masks=lesion: images whose mask is missing or empty."
    )
    surroundings: Literal["clean", "noisy"] | None = Field(
        None,
        description="What a plain UNet sees outside the mask: clean at every noise level, or as noisy as inside, as "
        "diffusers' inpainting pipeline shows it; null is clean. Inpainting UNets see mask and rest beside the noise.",
    )

    captions: Literal["manifest", "template"] = Field(
        "manifest", description="The rows' captions, or only tone and site."
    )

    @model_validator(mode="after")
    def _options_of_masks_agree(self) -> Self:
        if self.images_without_mask == "random" and self.masks == "random":
            raise ValueError("images_without_mask belongs to masks=lesion; with masks=random every image has one")
        return self
