"""The autoencoder's linear start is the projection that it claims to be, and its anchors stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenfold.core.errors import InputError
from tenfold.core.seeds import numpy_generator
from tenfold.data.phantom import make_archive_batch
from tenfold.finetuning.pretrain_autoencoder import AutoencoderObjective, as_pictures, build_autoencoder
from tenfold.finetuning.pretrain_config import AutoencoderConfig
from tenfold.finetuning.pretrain_linear_start import start_linear

CONFIG = AutoencoderConfig(block_out_channels=(16, 56, 24), latent_channels=4, norm_num_groups=2)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return make_archive_batch(0, 64, seed=3, image_size_px=16).images


def test_first_latents_are_whitened_principal_components(images: np.ndarray) -> None:
    vae = build_autoencoder(CONFIG, 16, seed=1).eval()
    start_linear(vae, images)
    with torch.no_grad():
        posterior = vae.encode(as_pictures(images)).latent_dist
    latents = posterior.mean.permute(0, 2, 3, 1).flatten(0, 2)
    # Each latent has variance one and they are uncorrelated, as principal components divided by their spread are.
    assert torch.allclose(torch.cov(latents.T), torch.eye(4), atol=0.25)
    patches = images.reshape(64, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 48) / 127.5 - 1
    centered = patches - patches.mean(0)
    left, _, _ = np.linalg.svd(centered, full_matrices=False)
    explained = np.abs(left[:, 0] @ latents[:, 0].numpy()) / np.linalg.norm(latents[:, 0].numpy())
    assert explained > 0.99


def test_decoding_gives_each_patch_its_color(images: np.ndarray) -> None:
    vae = build_autoencoder(CONFIG, 16, seed=1).eval()
    start_linear(vae, images)
    pictures = as_pictures(images)
    with torch.no_grad():
        decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    colors = torch.nn.functional.avg_pool2d(pictures, 4)
    error = (torch.nn.functional.avg_pool2d(decoded, 4) - colors).abs().mean()
    assert error < 0.25 * (colors - colors.mean(dim=(0, 2, 3), keepdim=True)).abs().mean()


def test_training_leaves_the_anchors_alone(images: np.ndarray) -> None:
    vae = build_autoencoder(CONFIG, 16, seed=1).train()
    start_linear(vae, images)
    objective = AutoencoderObjective(vae, images, crop_px=8, batch_size=4, kl_weight=1e-4, seed=1)
    optimizer = torch.optim.SGD(vae.parameters(), lr=1e-4)
    for step in range(2):
        optimizer.zero_grad()
        objective.loss(step).backward()
        optimizer.step()
    seen = []
    vae.encoder.mid_block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        vae.encode(as_pictures(images[:2]))
    anchors = seen[0][:, [0, 1, 12, 13]]
    assert torch.allclose(anchors.amax(dim=(0, 2, 3)), torch.tensor([16.0, -16.0, 16.0, -16.0]), atol=1e-4)


def test_too_narrow_autoencoders_are_refused() -> None:
    vae = build_autoencoder(AutoencoderConfig(block_out_channels=(16, 24, 32), norm_num_groups=2), 16, seed=1)
    images = numpy_generator(1).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="48 values must pass"):
        start_linear(vae, images)
