"""Preflight: the traced step equals a real one byte for byte, and plans that fit are proposed, never taken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tenfold.core.errors import InputError
from tenfold.models import memory, memory_trace
from tenfold.models.lora import LoraSettings, add_lora
from tenfold.models.memory import (
    MemoryShortage,
    ModelShape,
    TrainingPlan,
    estimate_training_memory,
    memory_at_hand,
    propose,
    read_model_shape,
    require_memory,
)
from tenfold.models.memory_trace import StepShape, parameter_count, trace_step
from tenfold.models.pipelines import load_components
from tests.tiny_models import IMAGE_SIZE_PX, make_tiny_sdxl, make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler

PLAN = TrainingPlan(IMAGE_SIZE_PX, batch_size=8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def model(tiny: Path) -> ModelShape:
    return read_model_shape(tiny)


def test_parameters_are_counted_without_weights(tiny: Path, model: ModelShape, tmp_path: Path) -> None:
    components = load_components(tiny)
    for name in ("unet", "vae", "text_encoder"):
        count = sum(parameter.numel() for parameter in getattr(components, name).parameters())
        assert model.parameters[name] == count, name
    assert (model.image_size_px, model.vae_scale, model.tokens) == (IMAGE_SIZE_PX, 4, 40)


def test_stable_diffusion_15_has_its_parameters() -> None:
    config = {
        "sample_size": 64,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
    }
    assert parameter_count("diffusers", "UNet2DConditionModel", json.dumps(config)) == 859_520_964


@pytest.mark.parametrize(
    ("gradient_checkpointing", "dtype"), [(False, "float32"), (True, "float32"), (False, "bfloat16")]
)
def test_the_traced_step_equals_a_real_one(model: ModelShape, gradient_checkpointing: bool, dtype: str) -> None:
    shape = _shape(model, gradient_checkpointing=gradient_checkpointing, dtype=dtype)
    traced = trace_step(shape)
    unet = memory_trace._unet(shape)
    weights = list(unet.parameters())
    batch = memory_trace._batch(unet, shape)
    counter = memory_trace._LiveBytes(weights)
    with counter, counter.gradients(weights):
        with memory_trace._autocast(dtype):
            output = unet(**batch, return_dict=False)[0]
        (output.float() ** 2).mean().backward()
    # Under autocast the real kernels keep some small copies that the fake ones do not.
    assert traced.activations + traced.gradients == pytest.approx(
        counter.peak_bytes, rel=0 if dtype == "float32" else 0.01
    )
    assert traced.trained == sum(weight.numel() * 4 for weight in weights)


def test_checkpointing_lora_and_half_precision_take_less(model: ModelShape) -> None:
    plain = trace_step(_shape(model))
    assert trace_step(_shape(model, gradient_checkpointing=True)).activations < 0.6 * plain.activations
    assert trace_step(_shape(model, dtype="bfloat16")).activations < 0.8 * plain.activations
    lora = trace_step(_shape(model, lora_rank=4))
    assert lora.activations < plain.activations
    assert lora.trained == lora.adapters < 0.1 * plain.trained


def test_a_traced_adapter_is_as_large_as_a_real_one(tiny: Path, model: ModelShape) -> None:
    components = load_components(tiny)
    add_lora(components, LoraSettings(rank=4))
    real = sum(weight.numel() * 4 for weight in components.unet.parameters() if weight.requires_grad)
    assert trace_step(_shape(model, lora_rank=4)).adapters == real


def test_the_parts_of_full_training(model: ModelShape) -> None:
    parts = estimate_training_memory(model, replace(PLAN, keeps_average=True)).parts
    unet_bytes = 4 * model.parameters["unet"]
    assert parts["UNet"] == parts["moving average"] == unet_bytes
    assert parts["optimizer state"] == 2 * unet_bytes
    assert parts["autoencoder"] == 4 * model.parameters["vae"]
    assert parts["LoRA"] == 0
    eight = estimate_training_memory(model, replace(PLAN, optimizer_bits=8)).parts["optimizer state"]
    assert eight == pytest.approx(0.508 * unet_bytes, rel=0.01)
    halved = estimate_training_memory(
        model, replace(PLAN, lora_rank=4, dtype="bfloat16", frozen_dtype="bfloat16")
    ).parts
    assert halved["UNet"] == unet_bytes // 2


def test_a_trained_text_encoder_counts(model: ModelShape) -> None:
    text = estimate_training_memory(model, replace(PLAN, trains_text_encoder=True))
    alone = estimate_training_memory(model, PLAN)
    assert text.parts["optimizer state"] - alone.parts["optimizer state"] == 8 * model.parameters["text_encoder"]
    assert text.parts["activations"] > alone.parts["activations"]
    both = estimate_training_memory(
        model, replace(PLAN, trains_text_encoder=True, gradient_checkpointing=True, lora_rank=2)
    )
    assert both.total_bytes < text.total_bytes


def test_sdxl_and_upscalers_are_traced_too(tmp_path: Path) -> None:
    for folder in (make_tiny_sdxl(tmp_path / "sdxl"), make_tiny_upscaler(tmp_path / "upscaler")):
        shape = read_model_shape(folder)
        plan = TrainingPlan(shape.image_size_px, batch_size=2, trains_text_encoder=True)
        assert estimate_training_memory(shape, plan).parts["activations"] > 0


def test_the_peak_lies_below_the_line_between_two_batches(model: ModelShape) -> None:
    one, four, eight = (trace_step(_shape(model, batch_size=size)) for size in (1, 4, 8))
    peaks = [step.activations + step.gradients for step in (one, four, eight)]
    assert peaks[0] < peaks[1] <= peaks[0] + (peaks[2] - peaks[0]) * 3 / 7


def test_proposals_fit_are_ordered_and_none_holds_a_smaller_one(model: ModelShape) -> None:
    total = estimate_training_memory(model, PLAN, "cuda").total_bytes
    found = propose(model, PLAN, total - 10_000, "cuda")
    assert all(one.memory.total_bytes <= total - 10_000 for one in found)
    assert [one.changes for one in found] == [
        ("gradient checkpointing",),
        ("batch size 4 with 2 accumulation steps",),
        ("8-bit optimizer",),
        ("LoRA of rank 8",),
    ]
    assert all("8-bit" not in str(one) for one in propose(model, PLAN, total - 10_000, "cpu"))
    least = min(one.memory.total_bytes for one in found)
    combined = propose(model, PLAN, least - 10_000, "cuda")
    assert combined and all(len(one.changes) >= 2 or "batch" in one.changes[0] for one in combined)
    assert propose(model, PLAN, 1000, "cuda") == ()


def test_a_plan_that_fits_is_returned_and_one_that_does_not_is_refused(model: ModelShape) -> None:
    fits = require_memory(model, PLAN, "cpu", available_bytes=2**34)
    assert fits.plan == PLAN and "together" in fits.lines()[-1]
    with pytest.raises(MemoryShortage) as caught:
        require_memory(model, PLAN, "cpu", available_bytes=fits.total_bytes - 10_000)
    error = caught.value
    assert "are at hand" in error.what and "gradient checkpointing: " in error.todo and error.exit_code == 2
    assert error.as_dict()["proposals"][0]["changes"] == ["gradient checkpointing"]
    with pytest.raises(MemoryShortage, match="needs about") as caught:
        require_memory(model, PLAN, "cpu", available_bytes=1000)
    assert caught.value.proposals == () and "No smaller plan" in caught.value.todo


def test_sizes_that_cannot_be_trained_are_refused(model: ModelShape) -> None:
    for plan in (replace(PLAN, image_size_px=30), replace(PLAN, batch_size=0)):
        with pytest.raises(InputError, match="cannot be trained on"):
            estimate_training_memory(model, plan)
    with pytest.raises(InputError, match="frozen weights in bfloat16"):
        estimate_training_memory(model, replace(PLAN, frozen_dtype="bfloat16"))


def test_memory_at_hand_obeys_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory_at_hand("cpu")
    assert free > 2**20
    monkeypatch.setattr(memory, "_container_limits", lambda: [2**62, 12345])
    assert memory_at_hand("cpu") == 12345


def test_a_checkpoint_without_weights_can_be_estimated_once_its_parts_are_named(tiny: Path, tmp_path: Path) -> None:
    """Empty weight files will do: a plan can be made before gigabytes are copied."""
    folder = Path(shutil.copytree(tiny, tmp_path / "configs"))
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"")
    assert read_model_shape(folder).parameters == read_model_shape(tiny).parameters


def _shape(model: ModelShape, **changes: Any) -> StepShape:
    shape = StepShape(
        unet=model.unet,
        text_encoders=(),
        batch_size=8,
        latent_px=IMAGE_SIZE_PX // model.vae_scale,
        tokens=model.tokens,
        dtype="float32",
        frozen_dtype="float32",
        lora_rank=None,
        gradient_checkpointing=False,
        trains_text_encoder=False,
    )
    return replace(shape, **changes)


def test_tracing_leaves_random_numbers_alone(model: ModelShape) -> None:
    state = torch.random.get_rng_state()
    trace_step(_shape(model, batch_size=3, lora_rank=2))
    assert torch.equal(state, torch.random.get_rng_state())
