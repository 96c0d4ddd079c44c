"""Compiling the UNet: the same pictures within rounding, or the plain UNet and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tenfold.models.compiling import compile_unet, compiler_fault
from tenfold.models.pipelines import load_components
from tenfold.models.sampling import SamplingSettings, sample_latents
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    compiler_fault.cache_clear()
    yield
    compiler_fault.cache_clear()


def test_a_machine_without_a_compiler_draws_with_the_plain_unet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(*_: Any, **__: Any) -> Any:
        raise RuntimeError("\nNo working C++ compiler found in CXX=missing\nmore")

    monkeypatch.setattr(torch, "compile", no_compiler)
    components = load_components(make_tiny_stable_diffusion(tmp_path / "tiny"))
    same, reason = compile_unet(components)
    assert same is components
    assert reason == "torch.compile does not work on this machine (cpu): No working C++ compiler found in CXX=missing"


@pytest.mark.slow
def test_a_compiled_unet_draws_the_same_within_rounding(tmp_path: Path) -> None:
    components = load_components(make_tiny_stable_diffusion(tmp_path / "tiny"))
    compiled, reason = compile_unet(components)
    if reason is not None:
        pytest.skip(reason)
    settings = SamplingSettings(3, guidance_interval=(0.0, 0.5))
    plain = sample_latents(components, ["a mole"], [4], settings)
    assert torch.allclose(sample_latents(compiled, ["a mole"], [4], settings), plain, atol=1e-3)
