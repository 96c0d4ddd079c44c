"""The denoising loss aims at the right target and weighs noise levels as documented."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from tenfold.core.seeds import torch_generator
from tenfold.finetuning.objectives import PredictionType, denoising_loss, snr_weights


@pytest.fixture
def scheduler() -> DDIMScheduler:
    return DDIMScheduler(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_right_answer_costs_nothing(scheduler: DDIMScheduler, prediction_type: PredictionType) -> None:
    generator = torch_generator(1)
    latents, noise = torch.randn(2, 3, 2, 4, 4, generator=generator).transpose(0, 1)[:2].unbind(0)
    timesteps = torch.tensor([3, 900])
    answers = {
        "epsilon": noise, "sample": latents, "v_prediction": scheduler.get_velocity(latents, noise, timesteps),
    }  # fmt: skip
    losses = denoising_loss(
        answers[prediction_type], latents, noise, timesteps, scheduler, prediction_type=prediction_type, snr_gamma=5.0
    )
    assert losses.shape == (2,)
    assert torch.allclose(losses, torch.zeros(2), atol=1e-10)


def test_weights_cap_easy_images_and_keep_the_pure_noise_step() -> None:
    alphas = torch.tensor([0.0, 0.5, 0.999])
    assert snr_weights(alphas, 5.0, "v_prediction").tolist() == pytest.approx([1.0, 1.0, 6 / 1000], rel=1e-3)
    assert snr_weights(alphas, 5.0, "epsilon").tolist() == pytest.approx([1.0, 1.0, 5 / 999], rel=1e-3)
    assert snr_weights(alphas, 5.0, "sample").tolist() == pytest.approx([0.0, 1.0, 5.0])


def test_without_a_cap_the_loss_is_the_mean_squared_error(scheduler: DDIMScheduler) -> None:
    latents, noise = torch.zeros(2, 4, 8, 8), torch.ones(2, 4, 8, 8)
    losses = denoising_loss(
        torch.zeros_like(noise),
        latents,
        noise,
        torch.tensor([0, 999]),
        scheduler,
        prediction_type="epsilon",
        snr_gamma=None,
    )
    assert losses.tolist() == [1.0, 1.0]
