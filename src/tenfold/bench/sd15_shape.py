"""Stable Diffusion 1.5's shape with random weights, a narrow copy for smoke tests, and their counted work."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from tenfold.core.seeds import derive_seed, seed_everything
from tenfold.models.pipelines import Components, quiet_loading
from tenfold.models.sampling import SamplingSettings

_LATENT_CHANNELS = 4
_BLOCKS = 4
_VAE_SCALE = 8
_TOKENS = 77


@dataclass(frozen=True)
class Shape:
    """Widths of the parts; everything else is as in the published checkpoint."""

    name: str
    unet_channels: tuple[int, ...]
    vae_channels: tuple[int, ...]
    text_width: int
    text_layers: int
    text_heads: int
    image_size_px: int

    @property
    def latent_edge(self) -> int:
        """Cells along an edge of the latents."""
        return self.image_size_px // _VAE_SCALE


SD15 = Shape("Stable Diffusion 1.5", (320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12, 12, 512)
NARROW = Shape("a narrow copy of it", (32, 32, 64, 64), (32, 32, 32, 32), 32, 1, 2, 64)


def make_components(shape: Shape, dtype: torch.dtype, device: str) -> Components:
    """Random weights, the same for the same shape; drawn on the CPU."""
    from diffusers import PNDMScheduler

    with torch.random.fork_rng(devices=[]):
        seed_everything(derive_seed(0, "bench", shape.name))  # the libraries take no generator
        unet, vae, text_encoder = _unet(shape), _vae(shape), _text_encoder(shape)
    with quiet_loading():  # the library asks to convert while reading files; there are none
        for model in (vae, unet, text_encoder):
            model.to(device, dtype).eval().requires_grad_(False)
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return Components(vae, unet, text_encoder, _tokenizer(), scheduler)


def flop_per_image(shape: Shape, settings: SamplingSettings) -> float:
    """Counted floating-point operations (a multiply-add is two) of UNet and decoder for one image.

    A guided step asks the UNet twice; encoding the prompt once for many images does not count.
    """
    steps = settings.num_inference_steps
    passes = sum(2 if settings.is_guided(step, steps) else 1 for step in range(steps))
    unet, decoder = _flop(shape)
    return passes * unet + decoder


@cache
def _flop(shape: Shape) -> tuple[float, float]:
    """Of one forward pass of the UNet and of the decoder at batch 1, counted without computing anything."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    with torch.device("meta"), torch.no_grad():
        unet, vae = _unet(shape), _vae(shape)
        latents = torch.zeros(1, _LATENT_CHANNELS, shape.latent_edge, shape.latent_edge)
        context = torch.zeros(1, _TOKENS, shape.text_width)
        calls: list[tuple[Any, tuple[torch.Tensor, ...]]] = [
            (unet, (latents, torch.zeros(1), context)),
            (vae.decode, (latents,)),
        ]
        for forward, inputs in calls:
            with FlopCounterMode(display=False) as counter:
                forward(*inputs)
            counts.append(float(counter.get_total_flops()))
    return counts[0], counts[1]


def _unet(shape: Shape) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=shape.latent_edge,
        block_out_channels=shape.unet_channels,
        cross_attention_dim=shape.text_width,
        attention_head_dim=8,
    )


def _vae(shape: Shape) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * _BLOCKS,
        up_block_types=("UpDecoderBlock2D",) * _BLOCKS,
        block_out_channels=shape.vae_channels,
        layers_per_block=2,
        sample_size=shape.image_size_px,
    )


def _text_encoder(shape: Shape) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    size = len(_vocabulary())
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=size,
            hidden_size=shape.text_width,
            intermediate_size=4 * shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=shape.text_heads,
            bos_token_id=size - 2,
            eos_token_id=size - 1,
            pad_token_id=size - 1,
        )
    )


def _tokenizer() -> Any:
    """A token for each letter: what prompts say means nothing to random weights."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(_vocabulary())}, merges=[], model_max_length=_TOKENS
    )


def _vocabulary() -> list[str]:
    letters = string.ascii_lowercase + string.digits + string.punctuation
    return [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
