"""A tiny random Stable Diffusion in diffusers format with a tokenizer of its own, made in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VAE_SCALE = 4
LATENT_CHANNELS = 8
IMAGE_SIZE_PX = 32


def make_tiny_stable_diffusion(folder: Path, *, seed: int = 0, prediction_type: str = "v_prediction") -> Path:
    """Write a random checkpoint of 0.2 M parameters for 32 px images and return its folder.

    Autoencoder with f = 4 and 8 latent channels, conditional UNet, CLIP text model with a byte vocabulary, and a DDIM
    scheduler: zero-terminal-SNR and trailing for ``v_prediction``, Stable Diffusion's own for ``epsilon``.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline = StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=_text_encoder(),
            tokenizer=make_byte_tokenizer(),
            unet=_unet(),
            scheduler=make_scheduler(prediction_type),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_tiny_sdxl(folder: Path, *, seed: int = 0) -> Path:
    """Write a random checkpoint in SDXL's format for 32 px images and return its folder.

    As in SDXL: two text encoders and tokenizers of other padding, pooled embeddings and sizes told to the UNet, a
    linear projection in its attention blocks, and an Euler scheduler.
    """
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline = StableDiffusionXLPipeline(
            vae=_vae(),
            text_encoder=_text_encoder(),
            text_encoder_2=_text_encoder(projection_dim=20),
            tokenizer=make_byte_tokenizer(),
            tokenizer_2=make_byte_tokenizer(pad_token="!"),
            unet=_unet(
                cross_attention_dim=48,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=20 + 6 * 8,
            ),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="epsilon",
                timestep_spacing="leading",
                steps_offset=1,
            ),
            force_zeros_for_empty_prompt=True,
            add_watermarker=False,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_byte_tokenizer(pad_token: str = "<|endoftext|>") -> Any:
    """A CLIP tokenizer of every byte, alone and at a word's end, without merges: 514 tokens, 40 at most a prompt."""
    from transformers import CLIPTokenizer

    characters = _byte_characters()
    tokens = [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: k for k, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=40, pad_token=pad_token)


def make_scheduler(prediction_type: str = "v_prediction") -> Any:
    """A DDIM scheduler, zero-terminal-SNR and trailing for ``v_prediction``."""
    from diffusers import DDIMScheduler

    is_zero_snr = prediction_type == "v_prediction"
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=not is_zero_snr,
        prediction_type=prediction_type,
        timestep_spacing="trailing" if is_zero_snr else "leading",
        rescale_betas_zero_snr=is_zero_snr,
        steps_offset=1,
    )


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=IMAGE_SIZE_PX,
        scaling_factor=0.7,
        mid_block_add_attention=False,
    )


def _unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    options: dict[str, Any] = dict(
        sample_size=IMAGE_SIZE_PX // VAE_SCALE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=24,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return UNet2DConditionModel(**(options | changes))


def _text_encoder(projection_dim: int | None = None) -> Any:
    """A CLIP text model, with a projection of its pooled features where a width for it is given."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=40,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    if projection_dim is None:
        return CLIPTextModel(config).eval()
    config.projection_dim = projection_dim
    return CLIPTextModelWithProjection(config).eval()


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    by_byte = {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(hidden)}
    return [by_byte[byte] for byte in range(256)]
