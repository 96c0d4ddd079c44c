"""Super-resolution's configuration: how images are degraded and enlarged, and all that fine-tunings share."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tenfold.finetuning.config import FinetuneConfig, Share

NotNegative = Annotated[float, Field(ge=0)]
JpegQuality = Annotated[int, Field(ge=1, le=100)]


class SuperResolutionConfig(FinetuneConfig):
    """Fine-tune an upscaler on pairs made from a few images; the model goes to ``models/<name>``.

    Only the UNet is trained. A crop that would be enlarged holds no detail to learn, so `crops_per_image` asks for
    crops only of images larger than the upscaler's pictures.
    """

    base_checkpoint: str = Field(
        "embedded:upscaler", description="`embedded:upscaler`, models/NAME, or an upscaler's diffusers folder."
    )

    blur_sigma: tuple[NotNegative, NotNegative] = Field(
        (0.0, 0.4), description="Least and greatest blur before the reduction, in pixels of the low image."
    )
    noise_sigma: tuple[NotNegative, NotNegative] = Field(
        (0.0, 4.0), description="Least and greatest camera noise of the low image, in levels of 255."
    )
    jpeg_quality: tuple[JpegQuality, JpegQuality] = (75, 100)
    jpeg_share: Share = Field(0.5, description="Share of the low images that pass through JPEG.")
    plain_degradation: bool = Field(False, description="Bicubic reduction alone: no blur, noise or JPEG.")
    max_noise_level: int | None = Field(
        None, ge=0, description="Highest noise level laid on low images in training; null is the upscaler's own."
    )

    num_inference_steps: int = Field(20, ge=1, description="Sampling steps in the comparison and the samples.")
    guidance_scale: float = Field(1.0, ge=0)
    noise_level: int = Field(0, ge=0, description="Noise laid on the low image when sampling.")
    samples_count: int = Field(4, ge=0, description="Held-out images shown in samples.png; 0 draws none.")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("blur_sigma", "noise_sigma", "jpeg_quality"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least ({low}) is above the greatest ({high})")
        return self
