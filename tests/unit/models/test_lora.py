"""LoRA adapters start at the base, train alone, and are read by plain diffusers as they were saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.hashing import sha256_file
from tenfold.models.adapter_ref import AdapterRecord, read_adapter_record, resolve_adapter, write_adapter_record
from tenfold.models.lora import LoraSettings, add_lora, attach_lora, load_lora, lora_layers, merge_lora, save_lora
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, sample_latents, unet_conditioning
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion

Maker = Callable[[Path], Path]
PROMPTS, SEEDS = ["a photo of ohwx rash", "a mole"], [5, 7]
SETTINGS = SamplingSettings(num_inference_steps=3)


@pytest.fixture(scope="module", params=[make_tiny_stable_diffusion, make_tiny_sdxl], ids=["sd", "sdxl"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker: Maker = request.param
    return maker(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


def _with_lora(folder: Path, **options: Any) -> Components:
    components = load_components(folder)
    add_lora(components, LoraSettings(**({"rank": 2, "seed": 3} | options)))
    return components


def _shake(components: Components) -> None:
    """Weights as after a training: nothing stays zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for model in (components.unet, *components.text_encoders.values()):
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def _pipeline(folder: Path) -> Any:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _latents(pipeline: Any, **options: Any) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    drawn: torch.Tensor = pipeline(
        PROMPTS, num_inference_steps=3, guidance_scale=3.0, generator=generators, output_type="latent", **options
    ).images
    return drawn


def test_only_the_adapter_is_trained_and_it_starts_at_the_base(tiny: Path) -> None:
    plain = load_components(tiny)
    before = torch.get_rng_state()
    adapted = _with_lora(tiny, text_encoder=True)
    assert torch.equal(torch.get_rng_state(), before)
    for name, model in {"unet": adapted.unet, **adapted.text_encoders}.items():
        trained = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
        assert trained and all("lora_" in key for key in trained), name
        assert len(trained) == 2 * sum(1 for _ in lora_layers(model))
    ours = sample_latents(adapted, PROMPTS, SEEDS, SETTINGS)
    assert torch.equal(ours, sample_latents(plain, PROMPTS, SEEDS, SETTINGS))


def test_first_weights_come_from_the_seed_alone(tiny_sd: Path) -> None:
    def downs(**options: Any) -> list[torch.Tensor]:
        unet = _with_lora(tiny_sd, **options).unet
        return [layer.lora_A["default"].weight.detach() for _, layer in lora_layers(unet)]

    torch.manual_seed(1)
    first = downs()
    torch.manual_seed(2)
    assert all(torch.equal(one, two) for one, two in zip(first, downs(), strict=True))
    assert not torch.equal(first[0], downs(seed=4)[0])
    # As torch.nn.Linear: uniform within 1 / sqrt(width).
    wide = torch.cat([down.flatten() * down.shape[1] ** 0.5 for down in first])
    assert 0.95 < wide.abs().max() <= 1
    assert float(wide.std()) == pytest.approx(3**-0.5, rel=0.1)


@pytest.mark.parametrize("text_encoder", [False, True])
@pytest.mark.parametrize("alpha", [None, 5.0])
def test_plain_diffusers_draws_the_same_picture(
    tiny: Path, tmp_path: Path, alpha: float | None, text_encoder: bool
) -> None:
    components = _with_lora(tiny, alpha=alpha, text_encoder=text_encoder)
    _shake(components)
    ours = sample_latents(components, PROMPTS, SEEDS, SETTINGS)
    save_lora(components, tmp_path)
    pipeline = _pipeline(tiny)
    base = _latents(pipeline)
    pipeline.load_lora_weights(tmp_path, local_files_only=True)
    assert torch.allclose(_latents(pipeline), ours, atol=1e-4)
    assert (ours - base).abs().max() > 0.05

    loaded = load_components(tiny)
    load_lora(loaded, tmp_path)
    assert not any(parameter.requires_grad for parameter in loaded.unet.parameters())
    assert not list(lora_layers(loaded.unet))
    assert torch.allclose(sample_latents(loaded, PROMPTS, SEEDS, SETTINGS), ours, atol=1e-4)


def test_the_scale_weighs_the_adapter_as_diffusers_weighs_it(tiny_sd: Path, tmp_path: Path) -> None:
    components = _with_lora(tiny_sd)
    _shake(components)
    save_lora(components, tmp_path)
    half, none = load_components(tiny_sd), load_components(tiny_sd)
    load_lora(half, tmp_path, scale=0.5)
    pipeline = _pipeline(tiny_sd)
    base = _latents(pipeline)
    pipeline.load_lora_weights(tmp_path, local_files_only=True)
    theirs = _latents(pipeline, cross_attention_kwargs={"scale": 0.5})
    assert torch.allclose(sample_latents(half, PROMPTS, SEEDS, SETTINGS), theirs, atol=1e-4)
    load_lora(none, tmp_path, scale=0.0)
    assert torch.allclose(sample_latents(none, PROMPTS, SEEDS, SETTINGS), base, atol=1e-4)


def test_saved_files_are_equal_plain_and_read_back_exactly(tiny: Path, tmp_path: Path) -> None:
    components = _with_lora(tiny, text_encoder=True, alpha=4.0)
    _shake(components)
    one, two = (save_lora(components, tmp_path / name) for name in ("one", "two"))
    assert sha256_file(one) == sha256_file(two)
    with safe_open(one, framework="pt") as file:
        facts = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (facts["unet.r"], facts["unet.lora_alpha"]) == (2, 4.0)
    assert str(tiny) not in json.dumps(facts)

    again = load_components(tiny)
    attach_lora(again, tmp_path / "one")
    assert sha256_file(save_lora(again, tmp_path / "three")) == sha256_file(one)


def test_an_adapter_of_diffusers_and_one_of_the_old_spelling_are_read(tiny_sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from peft.utils import get_peft_model_state_dict

    components = _with_lora(tiny_sd)
    _shake(components)
    ours = sample_latents(components, PROMPTS, SEEDS, SETTINGS)
    tensors = get_peft_model_state_dict(components.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path / "theirs", unet_lora_layers=tensors)
    old = {f"unet.{name}".replace("lora_A", "lora.down").replace("lora_B", "lora.up"): t for name, t in tensors.items()}
    save_file(old, tmp_path / "old.safetensors")
    for path in (tmp_path / "theirs", tmp_path / "old.safetensors"):
        loaded = load_components(tiny_sd)
        load_lora(loaded, path)
        assert torch.allclose(sample_latents(loaded, PROMPTS, SEEDS, SETTINGS), ours, atol=1e-4)


def test_two_steps_of_training_move_every_matrix_and_nothing_else(tiny: Path) -> None:
    components = _with_lora(tiny, text_encoder=True)
    before = {name: parameter.clone() for name, parameter in components.unet.named_parameters()}
    trained = [
        p for m in (components.unet, *components.text_encoders.values()) for p in m.parameters() if p.requires_grad
    ]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    noise = torch.randn((2, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(3):
        told = unet_conditioning(components, PROMPTS)
        output = components.unet(noise, torch.tensor([10, 500]), **told, return_dict=False)[0]
        loss = ((output - noise) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[2] < losses[0]
    for name, parameter in components.unet.named_parameters():
        assert torch.equal(parameter, before[name]) == ("lora_" not in name), name
    for model in components.text_encoders.values():
        moved = [layer.lora_B["default"].weight.abs().max() > 0 for _, layer in lora_layers(model)]
        # SDXL reads the last layer but one, so that only pooled features move the second encoder's last layer.
        assert any(moved)


def test_adapters_stay_exact_beside_half_precision_weights(tiny_sd: Path) -> None:
    components = load_components(tiny_sd, dtype=torch.bfloat16)
    add_lora(components, LoraSettings(rank=2))
    dtypes = {"lora_" in name: p.dtype for name, p in components.unet.named_parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    _shake(components)
    merge_lora(components)
    assert {parameter.dtype for parameter in components.unet.parameters()} == {torch.bfloat16}


def test_bad_settings_are_input_errors(tiny_sd: Path, tmp_path: Path) -> None:
    components = load_components(tiny_sd)
    with pytest.raises(InputError, match="no adapter to save"):
        save_lora(components, tmp_path)
    with pytest.raises(InputError, match="rank of at least 1"):
        add_lora(components, LoraSettings(rank=0))
    with pytest.raises(InputError, match="no LoRA fits the unet"):
        add_lora(components, LoraSettings(targets=("to_z",)))
    components = _with_lora(tiny_sd)
    with pytest.raises(InputError, match="has an adapter already"):
        add_lora(components, LoraSettings())


def test_missing_damaged_and_foreign_adapters_are_checkpoint_errors(tiny_sd: Path, tmp_path: Path) -> None:
    components = load_components(tiny_sd)
    with pytest.raises(CheckpointError, match="there is no LoRA adapter"):
        load_lora(components, tmp_path)
    with pytest.raises(CheckpointError, match="pickle"):
        load_lora(components, tmp_path / "lora.bin")

    file = save_lora(_with_lora(tiny_sd), tmp_path / "good")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_lora(load_components(tiny_sd), damaged)

    tensors = load_file(file)
    key = next(name for name in tensors if name.endswith("lora_A.weight"))
    save_file({**tensors, key: torch.zeros(2, 7)}, tmp_path / "wide.safetensors")
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_lora(load_components(tiny_sd), tmp_path / "wide.safetensors")
    renamed = {name.replace("attn1", "attn9"): tensor for name, tensor in tensors.items()}
    save_file(renamed, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_lora(load_components(tiny_sd), tmp_path / "other.safetensors")

    sdxl = make_tiny_sdxl(tmp_path / "sdxl")
    foreign = _with_lora(sdxl, text_encoder=True)
    save_lora(foreign, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_lora(load_components(tiny_sd), tmp_path / "foreign")


def test_the_record_names_the_base(tmp_path: Path, tiny_sd: Path) -> None:
    file = save_lora(_with_lora(tiny_sd), tmp_path / "mine")
    assert resolve_adapter(str(tmp_path / "mine")) == resolve_adapter(str(file)) == file
    assert read_adapter_record(file) is None
    record = AdapterRecord("embedded:base", "0" * 64, 2, 2.0, ("unet",))
    write_adapter_record(tmp_path / "mine", record)
    assert read_adapter_record(tmp_path / "mine") == record
    (tmp_path / "mine" / "adapter.json").write_text("{}")
    with pytest.raises(CheckpointError, match="record is damaged"):
        read_adapter_record(file)
    with pytest.raises(CheckpointError, match="no workspace"):
        resolve_adapter("models/mine")
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(CheckpointError, match="there is no LoRA"):
        resolve_adapter(str(tmp_path / "mine"))
