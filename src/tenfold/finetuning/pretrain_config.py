"""Configuration of base pretraining; the defaults are those of the embedded base."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tenfold.core.config import FolderName, StageConfig


class AutoencoderConfig(StageConfig):
    """The autoencoder and its trainings: on crops, on whole pictures, then of the decoder alone on whole pictures."""

    block_out_channels: tuple[int, ...] = (32, 64, 96)
    latent_channels: int = Field(default=8, ge=1)
    norm_num_groups: int = Field(default=8, ge=1)
    kl_weight: float = Field(default=1e-4, ge=0)
    crop_px: int = Field(default=32, ge=8)
    crop_steps: int = Field(default=700, ge=1)
    crop_batch_size: int = Field(default=64, ge=1)
    crop_learning_rate: float = Field(default=1.2e-4, gt=0)
    full_steps: int = Field(default=60, ge=1)
    decoder_steps: int = Field(default=0, ge=0, description="last steps of the decoder alone; 0 leaves them out")
    full_batch_size: int = Field(default=24, ge=1)
    full_learning_rate: float = Field(default=1e-4, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)


class DenoiserConfig(StageConfig):
    """The UNet with its text encoder, and their training."""

    block_out_channels: tuple[int, ...] = (48, 64, 96)
    norm_num_groups: int = Field(default=16, ge=1)
    attention_heads: int = Field(default=4, ge=1)
    text_hidden_size: int = Field(default=128, ge=8)
    text_layers: int = Field(default=2, ge=1)
    vocabulary_size: int = Field(
        default=1400, ge=600, description="tokens learned; word-end forms of all bytes come on top"
    )
    caption_tokens: int = Field(default=48, ge=8)
    caption_dropout: float = Field(default=0.1, ge=0, lt=1)
    snr_gamma: float = Field(default=5.0, gt=0)
    steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=8e-4, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


class FeatureConfig(StageConfig):
    """The feature net and its training."""

    channels: tuple[int, ...] = (24, 48, 96, 160)
    steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)


class PretrainConfig(StageConfig):
    """What a base is trained on, and how long each of its parts."""

    name: FolderName = Field(default="base", description="Folder of the model, under models/.")
    archive: str = Field(
        default="phantom", description="phantom, or a manifest of the workspace: archives/NAME/manifest.parquet"
    )
    class_free_caption: str = Field(
        default="a photo", description="of images that neither a caption nor a label tells of"
    )
    archive_images: int = Field(default=65_536, ge=1, description="images drawn from the phantom's archive")
    image_size_px: int = Field(default=64, ge=16)
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    features: FeatureConfig = FeatureConfig()
    data_parallel: int = Field(default=1, ge=1, description="processes that share each batch of one training")
    device: str = Field(default="auto", description="auto, cpu or cuda")
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    samples: int = Field(default=16, ge=0, description="pictures drawn for samples.png at the end; 0 draws none")
    checkpointing_steps: int = Field(default=250, ge=1)
    seed: int = Field(default=0, ge=0)
