"""Stable Diffusion 1.5's shape with random weights: two DreamBooth steps at 512 px on the CPU, reloaded by diffusers.

Everything but the weights and the vocabulary is that of the real checkpoint: 860 M parameters in the UNet, 512 px,
prior preservation, the command a person types. Full training with gradient checkpointing where the preflight finds
room for it, else a LoRA.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.workspace import Workspace
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_byte_tokenizer, make_scheduler

pytestmark = pytest.mark.large

MOST_BYTES = 24 * 2**30
NAME = "sd15"
ONE_OF_EACH = ["train_batch_size=1", "prior_batch_size=1", "crops_per_image=1", "random_flip=false", "device=cpu"]
SETTINGS = [*ONE_OF_EACH, "max_train_steps=2", "samples_per_class=0", "prior.num_inference_steps=1"]
SETTINGS += ["prior.guidance_scale=1", "prior.batch_size=1"]
FULL, LORA = ["gradient_checkpointing=true"], ["gradient_checkpointing=true", "method=lora"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd15") / "base"
    _write_stable_diffusion(folder)
    gc.collect()
    return folder


def test_two_dreambooth_steps_at_512_px(
    base: Path, tmp_path: Path, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = make_tiny_workspace(
        tmp_path / "ws", images_per_split={"train": 1, "test": 1}, labels=("mole",), image_size_px=512
    )
    settings, estimate = _what_fits(workspace, base)
    words = ["--base", str(base), "--name", NAME, "--images-per-class", "1", "--prior-images", "1", "--json"]
    words += [word for text in (*SETTINGS, *settings) for word in ("--set", text)]
    command = [sys.executable, "-m", "tenfold", "finetune", "dreambooth", "-w", str(workspace.path), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    folder = workspace.path / "models" / NAME
    record = json.loads((folder / "run.json").read_text())
    method, peak = record["config"]["method"], record["peak_memory_bytes"]
    assert record["summary"]["prior_images"] == 1
    figures = {"method": method, "estimate_gib": estimate / 2**30, "peak_gib": peak / 2**30, "ratio": estimate / peak}
    for name, value in figures.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\nSD 1.5 shape, {record['seconds']:.0f} s: {figures}")

    image = _drawn_by_diffusers(base, folder, method)
    assert image.shape == (512, 512, 3)
    assert image.std() > 0
    # The bound is wide: what malloc keeps differs between machines. A part forgotten would fall out of it.
    assert 0.85 < estimate / peak < 1.3


def _what_fits(workspace: Workspace, base: Path) -> tuple[list[str], int]:
    """The settings of the largest training that fits into 24 GiB and into what is at hand, and its estimated bytes."""
    from tenfold.models.memory import memory_at_hand
    from tenfold.recipes.finetuning import Chosen, order_finetuning, plan_finetuning

    available = min(MOST_BYTES, memory_at_hand("cpu"))
    chosen = Chosen(NAME, images_per_class=1, prior_images=1)
    options = {"base_checkpoint": ("--base", str(base))}
    for settings in (FULL, LORA):
        order = order_finetuning("dreambooth", workspace.path, chosen, [*SETTINGS, *settings], options)
        plan = plan_finetuning(order, available)
        if plan.shortage is None:
            return settings, plan.memory.total_bytes
    pytest.skip(f"neither fits: a LoRA takes {plan.memory.total_bytes / 2**30:.1f} GiB of {available / 2**30:.1f}")


def _drawn_by_diffusers(base: Path, folder: Path, method: str) -> np.ndarray:
    import torch
    from diffusers import StableDiffusionPipeline

    source = base if method == "lora" else folder
    pipeline = StableDiffusionPipeline.from_pretrained(source, torch_dtype=torch.float32)
    if method == "lora":
        pipeline.load_lora_weights(folder)
    picture = pipeline("a photo of mole", num_inference_steps=2, guidance_scale=1.0, output_type="np").images[0]
    return np.asarray(picture)


def _write_stable_diffusion(folder: Path) -> None:
    """Stable Diffusion 1.5's parts with random weights in half precision (as published), and bytes for tokens."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = make_byte_tokenizer()
    tokenizer.model_max_length = 77
    channels = (320, 640, 1280, 1280)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=channels, cross_attention_dim=768, attention_head_dim=8
        ).half()
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        ).half()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                vocab_size=49408,
                bos_token_id=512,
                eos_token_id=513,
                pad_token_id=513,
            )
        ).half()
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964  # as in the published checkpoint
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler("epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
