"""Cached latents hold every enumerated view, and are drawn anew from their Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenfold.core.seeds import torch_generator
from tenfold.finetuning.latents import LatentCache, Views, cache_latents
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import encode_images
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return load_components(make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny"))


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_views_are_crops_mirrors_and_turns_with_the_whole_image_first(components: Components) -> None:
    images = _images(2)
    cache = cache_latents(components, images, Views(crops=3, crop_scale=0.8, mirrors=True, turns=True), seed=1)
    assert cache.moments.shape == (2, 24, 16, 8, 8)
    whole = encode_images(components, images)
    assert torch.allclose(cache.moments[:, 0], whole, atol=1e-5)
    mirrored = encode_images(components, np.ascontiguousarray(images[:, :, ::-1]))
    assert torch.allclose(cache.moments[:, 3], mirrored, atol=1e-5)
    turned = encode_images(components, np.ascontiguousarray(np.rot90(images, 1, (1, 2))))
    assert torch.allclose(cache.moments[:, 6], turned, atol=1e-5)
    assert torch.allclose(cache.means(), whole[:, :8] * components.vae.config.scaling_factor, atol=1e-5)


def test_crops_differ_but_are_keyed_by_seed_and_number(components: Components) -> None:
    views = Views(crops=3, crop_scale=0.5)
    first = cache_latents(components, _images(2), views, seed=1).moments
    again = cache_latents(components, _images(3), views, seed=1).moments
    other = cache_latents(components, _images(2), views, seed=2).moments
    assert torch.equal(first, again[:2])
    assert not torch.allclose(first[0, 1], first[0, 2])
    assert torch.equal(first[:, 0], other[:, 0]) and not torch.allclose(first[:, 1], other[:, 1])


def test_draws_follow_the_moments_and_the_generator() -> None:
    mean = torch.arange(3.0).reshape(3, 1, 1, 1, 1).expand(3, 2, 4, 2, 2)
    log_variance = torch.full((3, 2, 4, 2, 2), -6.0)
    cache = LatentCache(torch.cat([mean, log_variance], dim=2), scaling_factor=2.0)
    indices = torch.tensor([2, 0, 2, 1] * 200)
    drawn = cache.draw(indices, torch_generator(4))
    assert torch.equal(drawn, cache.draw(indices, torch_generator(4)))
    assert not torch.equal(drawn, cache.draw(indices, torch_generator(5)))
    of_two = drawn[indices == 2]
    assert float(of_two.mean()) == pytest.approx(4.0, abs=0.01)
    assert float(of_two.std()) == pytest.approx(2.0 * float(torch.tensor(-3.0).exp()), rel=0.05)
