"""Export of a pretrained base: a Stable Diffusion folder that plain diffusers loads, and the feature net beside it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_denoiser import build_scheduler
from tenfold.finetuning.pretrain_tasks import load_trained, make_denoiser, make_feature_net, standard_autoencoder
from tenfold.models.pipelines import quiet_loading

PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
"""The folders of a base; model_index.json names them."""


def export_base(config: PretrainConfig, work: Path, folder: Path) -> dict[str, int]:
    """Write the newest averaged weights of a pretraining, finished or not, as float16 safetensors into ``folder``.

    Returns:
        Training steps behind the decoder's last training (0 when it has not begun) and the denoiser.
    """
    vae = standard_autoencoder(config, work)
    steps = {"autoencoder-decoder": 0}
    if (work / "autoencoder-decoder" / "checkpoints").is_dir():
        steps["autoencoder-decoder"] = load_trained({"vae": vae}, work / "autoencoder-decoder")
    unet, text_encoder, tokenizer = make_denoiser(config, work)
    steps["denoiser"] = load_trained({"unet": unet, "text_encoder": text_encoder}, work / "denoiser")
    for part in PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    with quiet_loading():
        StableDiffusionPipeline(
            vae=_halved(vae),
            text_encoder=_halved(text_encoder),
            tokenizer=tokenizer,
            unet=_halved(unet),
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder, safe_serialization=True)
    shutil.copyfile(work / "tokenizer" / "vocab.json", folder / "tokenizer" / "vocab.json")
    shutil.copyfile(work / "tokenizer" / "merges.txt", folder / "tokenizer" / "merges.txt")
    for name in ("model_index.json", "vae/config.json", "unet/config.json", "text_encoder/config.json"):
        _forget_origin(folder / name)
    for part in PARTS:
        _let_all_read(folder / part)
    return steps


def export_features(config: PretrainConfig, work: Path, folder: Path) -> int:
    """Write the feature net's averaged weights (float16 ``model.safetensors``, ``config.json``); its training steps."""
    net = make_feature_net(config)
    steps = load_trained({"net": net}, work / "features")
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomic(folder / "model.safetensors") as temporary:
        save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, temporary)
    write_json_atomic(folder / "config.json", {"class": "SmallNet", "channels": list(config.features.channels)})
    _let_all_read(folder)
    return steps


def _halved(module: nn.Module) -> Any:
    """A float16 copy in plain memory layout."""
    return copy.deepcopy(module).to(torch.float16).to(memory_format=torch.contiguous_format).eval()


def _let_all_read(folder: Path) -> None:
    """Weights are written for their owner alone by safetensors; an installed package is read by everyone."""
    for path in folder.iterdir():
        path.chmod(0o644)


def _forget_origin(path: Path) -> None:
    """Drop the path of this machine; let the text encoder load in float32 unless told otherwise."""
    config = {key: value for key, value in read_json(path).items() if key != "_name_or_path"}
    if "dtype" in config:
        config["dtype"] = "float32"
    write_json_atomic(path, config)
