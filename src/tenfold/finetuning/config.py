"""Configuration of fine-tuning: what all kinds of it share, what those of prompted pictures do, and DreamBooth's."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.config import FolderName, StageConfig

Share = Annotated[float, Field(ge=0, le=1)]


class FinetuneConfig(StageConfig):
    """What all fine-tunings are told: images, base, steps, optimizer, views, and what is written on the way."""

    name: FolderName = Field(description="Folder of the model, under models/.")
    seed: int = Field(ge=0, lt=2**63)
    base_checkpoint: str = Field("embedded:base", description="`embedded:base`, models/NAME, or a diffusers folder.")
    training_ids: tuple[str, ...] = Field(min_length=1, description="image_ids, all of the training split.")
    validation_ids: tuple[str, ...] = Field(
        (), description="Held-out image_ids for a validation loss; never test images."
    )
    validation_steps: int = Field(50, ge=1, description="Steps between two validation losses.")

    method: Literal["full", "lora"] = Field("full", description="Train all weights of the UNet, or a small adapter.")
    lora_rank: int = Field(8, ge=1)
    lora_alpha: float | None = Field(None, gt=0, description="Scale of the adapter times its rank; null is the rank.")

    max_train_steps: int = Field(120, ge=1)
    train_batch_size: int = Field(8, ge=1, description="Instances in each step, balanced over the labels.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    learning_rate: float = Field(1e-4, gt=0)
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    lr_warmup_steps: int = Field(0, ge=0)
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_weight_decay: float = Field(0.01, ge=0)
    adam_epsilon: float = Field(1e-8, gt=0)
    use_8bit_adam: bool = Field(False, description="Adam's memory in 8 bits; needs a GPU and bitsandbytes.")
    max_grad_norm: float = Field(1.0, ge=0, description="0 does not clip.")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="0 keeps no moving average.")
    snr_gamma: float | None = Field(5.0, gt=0, description="Min-SNR loss weights; null weighs all noise levels alike.")
    caption_dropout: Share = Field(0.1, description="Share of instances trained without a prompt, for guidance.")
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = Field(False, description="Less memory for about a third more time.")

    crops_per_image: int = Field(4, ge=1, description="Enumerated crops, the whole image first.")
    random_flip: bool = Field(True, description="Mirror left and right.")
    random_rotation: bool = Field(False, description="Quarter turns, for pictures without an up.")

    checkpointing_steps: int = Field(500, ge=1, description="Steps between two saved states to resume from.")
    weights_every_steps: int | None = Field(
        None,
        ge=1,
        description="Steps between two kept weights in weights/; null keeps none (while choosing: validation_steps).",
    )
    checkpoint_choice: Literal["last", "validation"] = Field(
        "last", description="The last weights, or the best by validation loss; DreamBooth's also by its samples."
    )
    samples_steps: int | None = Field(
        None, ge=1, description="Steps between two strips of samples at fixed seeds; null for none."
    )
    trackers: tuple[str, ...] = Field((), description="accelerate's trackers, e.g. tensorboard.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    threads: int = Field(1, ge=1, description="CPU threads; another number gives other last bits.")

    @property
    def told_alpha(self) -> float:
        """``lora_alpha``, or the rank where it is null."""
        return float(self.lora_rank if self.lora_alpha is None else self.lora_alpha)

    @model_validator(mode="after")
    def _choice_has_losses(self) -> Self:
        if self.checkpoint_choice == "validation":
            if not self.validation_ids:
                raise ValueError("checkpoint_choice=validation needs validation_ids")
            if (self.weights_every_steps or self.validation_steps) % self.validation_steps:
                raise ValueError("weights_every_steps must be a multiple of validation_steps to choose by validation")
        return self


class PromptedConfig(FinetuneConfig):
    """What fine-tunings of bases that draw by a prompt are told besides: the text encoder, prompts, views, samples."""

    train_text_encoder: bool = Field(False, description="Train it too, all its weights; with method=full.")
    lora_text_encoder: bool = Field(False, description="Adapt it too; with method=lora.")
    text_encoder_lr: float = Field(1e-5, gt=0, description="Used only where the text encoder is trained or adapted.")
    text_encoder_max_steps: int | None = Field(
        None, ge=1, description="Its training ends after so many steps; null trains it to the end."
    )

    crop_scale: float = Field(0.9, gt=0, le=1, description="Smallest side of a crop, as a share of the image's.")
    jitter_brightness: Share = Field(0.0, description="Crops are dimmed or lit by up to this share; 0 leaves them.")
    jitter_contrast: Share = 0.0
    jitter_saturation: Share = 0.0
    jitter_hue: float = Field(0.0, ge=0, le=0.5, description="Hue is turned by up to this share of the color circle.")

    class_nouns: dict[str, str] = Field(default_factory=dict, description="label: its noun in the manifest's captions.")
    identifiers: dict[str, str] | None = Field(None, description="label: its rare token; null chooses them.")
    class_noun: str | None = Field(
        None, description="One noun for all labels in the prompts; null uses each label's own."
    )

    samples_per_class: int = Field(4, ge=0, description="Pictures of each label in samples.png; 0 draws none.")

    @property
    def trains_text(self) -> bool:
        """Whether the text encoder changes."""
        return self.train_text_encoder or self.lora_text_encoder

    @property
    def has_jitter(self) -> bool:
        """Whether colors of crops are changed."""
        return max(self.jitter_brightness, self.jitter_contrast, self.jitter_saturation, self.jitter_hue) > 0

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.method == "lora" and self.train_text_encoder:
            raise ValueError("method=lora adapts the text encoder by lora_text_encoder, not by train_text_encoder")
        if self.method == "full" and self.lora_text_encoder:
            raise ValueError("lora_text_encoder belongs to method=lora; with method=full use train_text_encoder")
        if self.text_encoder_max_steps is not None and not self.trains_text:
            raise ValueError("text_encoder_max_steps is given, but the text encoder is not trained")
        if self.has_jitter and self.crops_per_image < 2:
            raise ValueError(
                "color jitter changes crops only, the whole image stays: crops_per_image must be 2 or more"
            )
        return self


class DreamBoothConfig(PromptedConfig):
    """Fine-tune a base on a few images of several classes at once; the model goes to ``models/<name>``."""

    captions: Literal["manifest", "template", "files"] = Field(
        "manifest", description="The rows' captions, only tone and site, or a text file for each image."
    )
    caption_files: str | None = Field(
        None, description="Folder of NAME.txt files, named like the images; with captions=files."
    )

    focus: Literal["image", "mask"] = Field("image", description="Learn whole images, or cut to the lesion's mask.")
    focus_margin: float = Field(0.25, ge=0, description="Skin left around a lesion, as a share of its longer side.")
    choice_candidates: int = Field(3, ge=1, description="Best candidates whose samples are looked at for copies.")
    choice_samples: int = Field(16, ge=1, description="Pictures of each label drawn from a candidate.")

    prior_manifest: str | None = Field(
        None, description="synthetic/NAME/manifest.parquet of prior images; null for none."
    )
    prior_labels: tuple[str, ...] | None = Field(None, description="Labels of its rows to use; null uses all.")
    prior_loss_weight: float = Field(1.0, ge=0)
    prior_batch_size: int = Field(4, ge=1, description="Prior images in each step, beside the instances.")

    @model_validator(mode="after")
    def _captions_have_files(self) -> Self:
        if (self.captions == "files") != (self.caption_files is not None):
            raise ValueError("captions=files and caption_files, a folder, go together")
        return self
