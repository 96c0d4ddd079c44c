"""Inpainting's objective: where its loss counts, what the UNet is shown, and that a batch is known by its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.core.seeds import derive_seed
from tenfold.data.mask_arrays import random_mask
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.inpainting_objective import (
    InpaintingObjective,
    InpaintingSettings,
    inpainting_views,
    make_masked_validation,
)
from tenfold.finetuning.latents import Views
from tenfold.models.inpainting import is_inpainting_unet
from tenfold.models.pipelines import Components, load_components
from tests.tiny_inpainting import make_tiny_inpainting

SETTINGS = InpaintingSettings(batch_size=4, surroundings="clean")
VIEWS = Views(crops=2, crop_scale=0.5, mirrors=True)


@pytest.fixture(scope="module", params=[9, 4], ids=["inpainting", "plain"])
def components(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Components:
    folder = make_tiny_inpainting(tmp_path_factory.mktemp("base") / "tiny", in_channels=request.param)
    return load_components(folder, kinds=("text2img", "inpainting"))


def _images() -> ImageSet:
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    return ImageSet(("a", "b", "c"), ("mole", "mole", "rash"), ("one", "two", "three"), images)


def _lesions() -> np.ndarray:
    lesions = np.zeros((3, 32, 32), dtype=np.bool_)
    lesions[0, 10:20, 4:12] = True
    lesions[1, 0, 0] = True
    return lesions


def _objective(components: Components, lesions: np.ndarray | None = None, **changes: Any) -> InpaintingObjective:
    views = inpainting_views(components, _images(), lesions, VIEWS, seed=3)
    return InpaintingObjective(components, views, replace(SETTINGS, **changes), seed=4)


def test_lesions_are_cropped_and_mirrored_like_their_images(components: Components) -> None:
    images, lesions = _images(), _lesions()
    painted = replace(images, images=np.repeat(np.where(lesions, 255, 0).astype(np.uint8)[..., None], 3, axis=-1))
    views = inpainting_views(components, painted, lesions, VIEWS, seed=3)
    assert views.lesions.shape == (3, 4, 32, 32)
    assert np.array_equal(views.lesions[:, 0], lesions)
    assert np.array_equal(views.lesions[:, 2], lesions[:, :, ::-1])
    assert views.lesions[0, 1].sum() > lesions[0].sum()
    if is_inpainting_unet(components):
        assert views.pixels is not None
        assert np.array_equal(views.pixels[..., 0] >= 128, views.lesions)
    else:
        assert views.pixels is None
    # The corner pixel is lost in the crop: only whole images teach it. Without a lesion any view will do.
    assert views.usable(0).tolist() == [0, 1, 2, 3]
    assert views.usable(1).tolist() == [0, 2]
    assert views.usable(2).tolist() == [0, 1, 2, 3]


def test_a_batch_is_known_by_its_number(components: Components) -> None:
    first, second = _objective(components), _objective(components)
    one, same, other = first.draw(7), second.draw(7), first.draw(8)
    for name in ("latents", "masks", "masked_latents"):
        value = getattr(one.known, name)
        assert (value is None) == (name == "masked_latents" and not is_inpainting_unet(components))
        if value is not None:
            assert torch.equal(value, getattr(same.known, name))
            assert not torch.equal(value, getattr(other.known, name))
    assert torch.equal(one.noise, same.noise) and torch.equal(one.timesteps, same.timesteps)
    assert torch.equal(first.loss(7), second.loss(7))


def test_masks_are_the_lesions_or_drawn_by_batch_and_place(components: Components) -> None:
    objective = _objective(components, _lesions(), batch_size=6)
    masks = objective.draw(0).known.masks[:, 0].bool().numpy()
    third = [place for place, prompt in enumerate(objective.draw(0).prompts) if prompt == "three"]
    assert len(third) == 3
    for place in third:
        drawn = random_mask(32, derive_seed(4, "mask", 0, place))
        cells = drawn.reshape(8, 4, 8, 4).any(axis=(1, 3)) if not is_inpainting_unet(components) else drawn[::4, ::4]
        assert np.array_equal(masks[place], cells)


def test_plain_unets_learn_the_masked_part_alone(components: Components, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = _objective(components)
    batch = objective.draw(0)
    shown: list[torch.Tensor] = []
    inside = batch.known.masks

    def unet(sample: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
        shown.append(sample)
        # Right inside up to an error of one, anything outside: v = sqrt(a) noise - sqrt(1 - a) latents.
        alphas = objective._alphas_cumprod[batch.timesteps][:, None, None, None]
        right = alphas.sqrt() * batch.noise - (1 - alphas).sqrt() * batch.known.latents
        return ((right + 1) * inside + 100 * (1 - inside),)

    monkeypatch.setattr(type(components.unet), "forward", lambda self, *args, **options: unet(*args, **options))
    total, share = objective.loss_sums(batch)
    if is_inpainting_unet(components):
        assert shown[0].shape[1] == 9
        assert torch.equal(shown[0][:, 4:5], inside)
        assert share == len(inside)
        assert total / share > 10
    else:
        assert torch.equal(shown[0] * (1 - inside), batch.known.latents * (1 - inside))
        assert share == pytest.approx(float(inside.mean(dim=(1, 2, 3)).sum()))
        assert total / share == pytest.approx(1.0, abs=1e-4)


def test_noisy_surroundings_are_as_noisy_as_the_inside(components: Components) -> None:
    clean, noisy = _objective(components).loss(0), _objective(components, surroundings="noisy").loss(0)
    # An inpainting UNet does not ask: it sees the rest beside the noise.
    assert torch.equal(clean, noisy) == is_inpainting_unet(components)


def test_validation_is_fixed_and_independent_of_the_batch_size(components: Components) -> None:
    objective = _objective(components)
    options: dict[str, Any] = {"timestep_count": objective.timestep_count, "seed": 9}
    validation = make_masked_validation(components, _images(), None, **options)
    assert len(validation.batch.prompts) == 12
    whole = validation.loss(objective, batch_size=12)
    assert validation.loss(objective, batch_size=5) == pytest.approx(whole, rel=1e-4)
    assert make_masked_validation(components, _images(), None, **options).loss(objective, batch_size=12) == whole
    # Each noise level has a mask of its own, and an image's are the same in other company.
    masks = validation.batch.known.masks
    assert len(torch.unique(masks[:4], dim=0)) > 1
    lesions = make_masked_validation(components, _images(), _lesions(), **options).batch.known.masks
    assert torch.equal(lesions[:4], lesions[:1].expand(4, -1, -1, -1))
    assert torch.equal(lesions[8:], masks[8:])


def test_it_trains_the_text_encoder_where_that_is_asked_for(tmp_path: Path) -> None:
    own = load_components(make_tiny_inpainting(tmp_path / "tiny"), kinds=("inpainting",))
    objective = _objective(own, train_text_encoder=True)
    assert set(objective.modules()) == {"unet", "text_encoder"}
    objective.loss(0).backward()
    assert all(p.grad is not None for p in own.unet.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in own.text_encoder.parameters())
