"""Super-resolution's configuration: which images, how they are degraded, which upscaler, and how it learns."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.config import StageConfig

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
JpegQuality = Annotated[int, Field(ge=1, le=100)]


class SuperResolutionConfig(StageConfig):
    """Fine-tune an upscaler on pairs made from a few images; the model goes to ``models/<name>``."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Folder of the model, under models/.")
    seed: int = Field(ge=0, lt=2**63)
    base_checkpoint: str = Field(
        "embedded:upscaler", description="`embedded:upscaler`, models/NAME, or an upscaler's diffusers folder."
    )
    training_ids: tuple[str, ...] = Field(min_length=1, description="image_ids, all of the training split.")
    validation_ids: tuple[str, ...] = Field(
        (), description="Held-out image_ids for validation loss and comparison with bicubic; never test images."
    )
    validation_steps: int = Field(50, ge=1, description="Steps between two validation losses.")

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
    caption_dropout: Share = Field(0.1, description="Share of instances trained without a prompt.")

    method: Literal["full", "lora"] = Field("full", description="Train the whole UNet, or a LoRA in it.")
    lora_rank: int = Field(8, ge=1, description="Used only with method lora, like lora_alpha.")
    lora_alpha: float | None = Field(None, gt=0, description="null is the rank.")

    max_train_steps: int = Field(120, ge=1)
    train_batch_size: int = Field(8, ge=1, description="Pairs in each step, balanced over the labels.")
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    lr_warmup_steps: int = Field(0, ge=0)
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_weight_decay: float = Field(0.01, ge=0)
    adam_epsilon: float = Field(1e-8, gt=0)
    use_8bit_adam: bool = False
    max_grad_norm: float = Field(1.0, ge=0, description="0 does not clip.")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="0 keeps no moving average.")
    snr_gamma: float | None = Field(5.0, gt=0, description="Min-SNR loss weights; null weighs all noise levels alike.")
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = Field(False, description="Less memory for about a third more time.")

    crops_per_image: int = Field(
        4, ge=1, description="Enumerated crops, the whole image first; one only where a crop would be enlarged."
    )
    random_flip: bool = Field(True, description="Mirror left and right.")
    random_rotation: bool = Field(False, description="Quarter turns, for pictures without an up.")

    num_inference_steps: int = Field(20, ge=1, description="Sampling steps in the comparison and the samples.")
    guidance_scale: float = Field(1.0, ge=0)
    noise_level: int = Field(0, ge=0, description="Noise laid on the low image when sampling.")

    checkpointing_steps: int = Field(500, ge=1, description="Steps between two saved states to resume from.")
    samples_steps: int | None = Field(None, ge=1, description="Steps between two strips of samples; null for none.")
    samples_count: int = Field(4, ge=0, description="Held-out images shown in samples.png; 0 draws none.")
    trackers: tuple[str, ...] = Field((), description="accelerate's trackers, e.g. tensorboard.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    threads: int = Field(1, ge=1, description="CPU threads; another number gives other last bits.")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("blur_sigma", "noise_sigma", "jpeg_quality"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least ({low}) is above the greatest ({high})")
        return self
