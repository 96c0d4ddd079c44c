"""A tiny checkpoint in one .safetensors file, named as Stability's own training code names tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def write_single_file(checkpoint: Path, target: Path) -> Path:
    """The diffusers folder's UNet, autoencoder and text encoder as one file; for two levels of one layer each."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    vae = AutoencoderKL.from_pretrained(checkpoint / "vae")
    text = CLIPTextModel.from_pretrained(checkpoint / "text_encoder")
    tensors = {f"model.diffusion_model.{_unet_name(name)}": tensor for name, tensor in unet.state_dict().items()}
    levels = len(vae.config.block_out_channels)
    tensors |= {f"first_stage_model.{_vae_name(name, levels)}": tensor for name, tensor in vae.state_dict().items()}
    prefix = "cond_stage_model.transformer.text_model."
    tensors |= {prefix + name.removeprefix("text_model."): tensor for name, tensor in text.state_dict().items()}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, target)
    return target


def _unet_name(name: str) -> str:
    places = {
        **_UNET_ENDS,
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "down_blocks.1.attentions.0": "input_blocks.3.1",
        "up_blocks.0.resnets.0": "output_blocks.0.0",
        "up_blocks.0.attentions.0": "output_blocks.0.1",
        "up_blocks.0.resnets.1": "output_blocks.1.0",
        "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0",
        "up_blocks.1.resnets.1": "output_blocks.3.0",
    }
    return _renamed(name, places, _RESNET)


def _vae_name(name: str, levels: int) -> str:
    places: dict[str, str] = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for side, down, up in (("encoder", "down_blocks", "down"), ("decoder", "up_blocks", "up")):
        for level in range(levels):
            original = level if side == "encoder" else levels - 1 - level
            for layer in range(3):
                places[f"{side}.{down}.{level}.resnets.{layer}"] = f"{side}.{up}.{original}.block.{layer}"
            sampler = "downsample" if side == "encoder" else "upsample"
            places[f"{side}.{down}.{level}.{sampler}rs.0.conv"] = f"{side}.{up}.{original}.{sampler}.conv"
        places |= {f"{side}.mid_block.resnets.{k}": f"{side}.mid.block_{k + 1}" for k in (0, 1)}
        places |= {f"{side}.conv_norm_out": f"{side}.norm_out"}
        places |= {f"{side}.{part}": f"{side}.{part}" for part in ("conv_in", "conv_out")}
    return _renamed(name, places, {"conv_shortcut": "nin_shortcut"})


def _renamed(name: str, places: Mapping[str, str], inner: Mapping[str, str]) -> str:
    """The longest known beginning is replaced, then the first word of what follows it."""
    start = max((place for place in places if name.startswith(f"{place}.")), key=len)
    rest = name.removeprefix(f"{start}.")
    first, dot, more = rest.partition(".")
    is_resnet = "resnets" in start
    renamed: Any = (inner.get(first, first) if is_resnet else first) + dot + more
    return f"{places[start]}.{renamed}"
