"""Adapters trained together end as each one does alone: losses, weights, files, and after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tenfold.core.errors import InputError
from tenfold.core.progress import NullProgress
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective, TrainingSet
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.loop import LoopSettings, train
from tenfold.finetuning.lora_stack import AdapterWatcher, LoraStack, LoraStackObjective, train_lora_stack
from tenfold.models.lora import LoraSettings, add_lora, load_lora, save_lora
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, sample_latents
from tests.tiny_models import IMAGE_SIZE_PX, make_tiny_sdxl, make_tiny_stable_diffusion

STEPS = 5
NOUNS = ("mole", "rash", "scar")
# A low bound on gradients, so that every step is clipped, and each adapter by another factor.
LOOP = LoopSettings(max_train_steps=STEPS, learning_rate=1e-2, max_grad_norm=0.01, checkpointing_steps=2)


@pytest.fixture(scope="module", params=[make_tiny_stable_diffusion, make_tiny_sdxl], ids=["sd", "sdxl"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(request.param(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture(scope="module")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


def _settings(number: int, **options: Any) -> LoraSettings:
    return LoraSettings(**({"rank": 2, "alpha": 2.0 + number, "seed": number} | options))


def _objective(components: Components, number: int, *, train_batch_size: int = 2) -> DreamBoothObjective:
    """Instances of one noun and two prior images."""
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (5, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), dtype=np.uint8)
    sets = [
        TrainingSet(
            cache_latents(components, part, Views(), seed=number),
            tuple(f"a photo of {'' if weight < 1 else 'ohwx '}{NOUNS[number]}" for _ in part),
            BalancedOrder(["x"] * len(part), seed=number),
            size,
            weight,
        )
        for part, size, weight in ((images[:3], train_batch_size, 1.0), (images[3:], 1, 0.5))
    ]
    return DreamBoothObjective(components, sets, seed=number, snr_gamma=5.0, caption_dropout=0.2)


def _solo(tiny: Path, number: int, folder: Path, settings: LoopSettings = LOOP) -> tuple[Sequence[float], Path]:
    components = load_components(tiny)
    add_lora(components, _settings(number))
    trace = train(_objective(components, number), settings, folder / "run", NullProgress().task("", 1).__enter__())
    return trace.losses, save_lora(components, folder)


def _together(components: Components) -> tuple[LoraStack, list[DreamBoothObjective]]:
    stack = LoraStack(components.unet, [_settings(number) for number in range(3)])
    return stack, [_objective(components, number) for number in range(3)]


def _train(
    stack: LoraStack, objectives: Sequence[DreamBoothObjective], folder: Path, settings: LoopSettings = LOOP
) -> list[Sequence[float]]:
    with NullProgress().task("", STEPS) as task:
        return [trace.losses for trace in train_lora_stack(stack, objectives, settings, folder, task)]


def test_each_adapter_equals_its_solo_run(tiny: Path, tmp_path: Path) -> None:
    components = load_components(tiny)
    stack, objectives = _together(components)
    frozen = {name: p.clone() for name, p in components.unet.named_parameters() if not p.requires_grad}
    traces = _train(stack, objectives, tmp_path / "stack")
    assert all(torch.equal(frozen[name], p) for name, p in components.unet.named_parameters() if name in frozen)
    for number in range(3):
        losses, file = _solo(tiny, number, tmp_path / f"solo-{number}")
        assert traces[number] == pytest.approx(losses, rel=1e-4)
        assert losses[0] != pytest.approx(losses[-1], rel=1e-3)
        alone, together = load_file(file), load_file(stack.save(number, tmp_path / f"stack-{number}"))
        assert set(alone) == set(together)
        assert all(torch.allclose(alone[name], together[name], atol=1e-4) for name in alone)


def test_one_of_them_is_drawn_alone_and_read_by_diffusers(tiny: Path, tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    components = load_components(tiny)
    stack, objectives = _together(components)
    _train(stack, objectives, tmp_path / "run")
    pictures = []
    for number in range(3):
        with stack.only(number):
            pictures.append(sample_latents(components, ["a mole"], [4], SamplingSettings(3)))
        pipeline = DiffusionPipeline.from_pretrained(tiny, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.load_lora_weights(stack.save(number, tmp_path / str(number)).parent, local_files_only=True)
        theirs = pipeline(
            "a mole", num_inference_steps=3, guidance_scale=3.0, generator=torch.Generator().manual_seed(4),
            output_type="latent",
        ).images  # fmt: skip
        assert torch.allclose(pictures[-1], theirs, atol=1e-4)
        loaded = load_components(tiny)
        load_lora(loaded, tmp_path / str(number))
        assert torch.allclose(sample_latents(loaded, ["a mole"], [4], SamplingSettings(3)), theirs, atol=1e-4)
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-3)

    stack.remove()
    base = load_components(tiny)
    plain = sample_latents(components, ["a mole"], [4], SamplingSettings(3))
    assert torch.equal(plain, sample_latents(base, ["a mole"], [4], SamplingSettings(3)))


@pytest.mark.parametrize("kill_at", [1, 3])
def test_killed_and_run_again_it_ends_the_same(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    whole_stack, objectives = _together(load_components(tiny_sd))
    whole = _train(whole_stack, objectives, tmp_path / "whole")

    original = LoraStackObjective.loss

    def loss(self: LoraStackObjective, step: int) -> torch.Tensor:
        if step == kill_at:
            raise KeyboardInterrupt
        return original(self, step)

    stack, objectives = _together(load_components(tiny_sd))
    monkeypatch.setattr(LoraStackObjective, "loss", loss)
    with pytest.raises(KeyboardInterrupt):
        _train(stack, objectives, tmp_path / "killed")
    monkeypatch.setattr(LoraStackObjective, "loss", original)
    stack, objectives = _together(load_components(tiny_sd))
    assert _train(stack, objectives, tmp_path / "killed") == whole
    for number in range(3):
        files = [one.save(number, tmp_path / name / str(number)) for one, name in ((whole_stack, "a"), (stack, "b"))]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_accumulation_and_averages_equal_the_solo_run_too(tiny_sd: Path, tmp_path: Path) -> None:
    settings = LoopSettings(
        max_train_steps=3, learning_rate=1e-2, max_grad_norm=0.01, gradient_accumulation_steps=2, ema_decay=0.5
    )
    stack, objectives = _together(load_components(tiny_sd))
    traces = _train(stack, objectives, tmp_path / "stack", settings)
    losses, file = _solo(tiny_sd, 1, tmp_path / "solo", settings)
    assert len(losses) == 3
    assert traces[1] == pytest.approx(losses, rel=1e-4)
    alone, together = load_file(file), load_file(stack.save(1, tmp_path / "one"))
    assert all(torch.allclose(alone[name], together[name], atol=1e-4) for name in alone)


def test_a_watcher_sees_one_adapter_alone(tiny_sd: Path) -> None:
    class Looks:
        every_steps = 4
        seen: int | None = None

        def look(self, step: int) -> Mapping[str, float]:
            self.seen = next(iter(stack.layers.values())).only
            return {"validation_loss": 2.0}

    stack, _ = _together(load_components(tiny_sd))
    looks = Looks()
    watcher = AdapterWatcher(stack, 2, "scar", looks)
    assert watcher.look(4) == {"scar.validation_loss": 2.0}
    assert (watcher.every_steps, looks.seen) == (4, 2)
    assert all(layer.only is None for layer in stack.layers.values())


def test_what_cannot_be_trained_together_is_told(tiny_sd: Path) -> None:
    components = load_components(tiny_sd)
    for settings in (
        [],
        [_settings(0), _settings(1, rank=3)],
        [_settings(0), _settings(1, targets=("to_q",))],
        [_settings(0, text_encoder=True)],
        [_settings(0, rank=0)],
        [_settings(0, targets=("to_z",))],
        [_settings(0, targets=("conv1",))],
    ):
        with pytest.raises(InputError):
            LoraStack(components.unet, settings)
    stack, objectives = _together(components)
    with pytest.raises(InputError, match="2 objectives and 3 adapters"):
        LoraStackObjective(stack, objectives[:2], 1)
    uneven = [*objectives[:2], _objective(components, 2, train_batch_size=3)]
    with pytest.raises(InputError, match="hold 3, 3, 4 images"):
        LoraStackObjective(stack, uneven, 1).loss(0)
