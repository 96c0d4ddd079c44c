"""DreamBooth's configuration: which images, which base, and how it learns from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tenfold.core.config import StageConfig

Share = Annotated[float, Field(ge=0, le=1)]


class DreamBoothConfig(StageConfig):
    """Fine-tune a base on a few images of several classes at once; the model goes to ``models/<name>``."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Folder of the model, under models/.")
    seed: int = Field(ge=0, lt=2**63)
    base_checkpoint: str = Field("embedded:base", description="`embedded:base`, models/NAME, or a diffusers folder.")
    training_ids: tuple[str, ...] = Field(min_length=1, description="image_ids, all of the training split.")
    validation_ids: tuple[str, ...] = Field(
        (), description="Held-out image_ids for a validation loss; never test images."
    )
    validation_steps: int = Field(50, ge=1, description="Steps between two validation losses.")

    class_nouns: dict[str, str] = Field(default_factory=dict, description="label: its noun in the manifest's captions.")
    identifiers: dict[str, str] | None = Field(None, description="label: its rare token; null chooses them.")
    class_noun: str | None = Field(
        None, description="One noun for all labels in the prompts; null uses each label's own."
    )
    captions: Literal["manifest", "template"] = Field(
        "manifest", description="The rows' captions, or only tone and site."
    )
    caption_dropout: Share = Field(0.1, description="Share of instances trained without a prompt, for guidance.")

    prior_manifest: str | None = Field(
        None, description="synthetic/NAME/manifest.parquet of prior images; null for none."
    )
    prior_loss_weight: float = Field(1.0, ge=0)
    prior_batch_size: int = Field(4, ge=1, description="Prior images in each step, beside the instances.")

    max_train_steps: int = Field(120, ge=1)
    train_batch_size: int = Field(8, ge=1, description="Instances in each step, balanced over the labels.")
    learning_rate: float = Field(1e-4, gt=0)
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    lr_warmup_steps: int = Field(0, ge=0)
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_weight_decay: float = Field(0.01, ge=0)
    adam_epsilon: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, ge=0, description="0 does not clip.")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="0 keeps no moving average.")
    snr_gamma: float | None = Field(5.0, gt=0, description="Min-SNR loss weights; null weighs all noise levels alike.")
    train_text_encoder: bool = False
    text_encoder_lr: float = Field(1e-5, gt=0, description="Used only with train_text_encoder.")

    crops_per_image: int = Field(4, ge=1, description="Enumerated crops, the whole image first.")
    crop_scale: float = Field(0.9, gt=0, le=1, description="Smallest side of a crop, as a share of the image's.")
    random_flip: bool = Field(True, description="Mirror left and right.")
    random_rotation: bool = Field(False, description="Quarter turns, for pictures without an up.")

    checkpointing_steps: int = Field(500, ge=1, description="Steps between two saved states to resume from.")
    samples_per_class: int = Field(4, ge=0, description="Pictures of each label in samples.png; 0 draws none.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    threads: int = Field(1, ge=1, description="CPU threads; another number gives other last bits.")
