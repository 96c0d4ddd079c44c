"""Inpainting's objective: the denoising loss of images whose masked part is to be painted anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.data.mask_arrays import random_mask
from tenfold.finetuning.color_jitter import ColorJitter
from tenfold.finetuning.datasets import BalancedOrder, ImageSet
from tenfold.finetuning.latents import Views, enumerate_views
from tenfold.finetuning.objectives import denoising_loss, spread_timesteps
from tenfold.finetuning.validation import LEVELS_PER_IMAGE
from tenfold.models.inpainting import KnownPart, Surroundings, is_inpainting_unet, known_part, unet_input
from tenfold.models.pipelines import Components
from tenfold.models.sampling import encode_images, encode_prompts, unet_conditioning

_ENCODE_BATCH = 32


@dataclass(frozen=True)
class InpaintingSettings:
    """How batches are drawn and what is trained."""

    batch_size: int
    surroundings: Surroundings
    """Read for plain UNets only."""
    snr_gamma: float | None = None
    caption_dropout: float = 0.0
    train_text_encoder: bool = False


@dataclass(frozen=True)
class InpaintingViews:
    """Every view of every training image: the moments of its latents, its lesion mask, and its pixels when needed."""

    image_ids: tuple[str, ...]
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    moments: torch.Tensor
    """(images, views, 2 x channels, h, w) float: mean, then log variance."""
    lesions: NDArray[np.bool_]
    """(images, views, H, W); all False where a random mask is to be drawn."""
    pixels: NDArray[np.uint8] | None
    """(images, views, H, W, 3) for inpainting UNets, which see the masked image; None for plain ones."""

    def usable(self, image: int) -> NDArray[np.int64]:
        """Numbers of the views to draw from: a crop may have cut the lesion off; the whole image always shows it."""
        shows = self.lesions[image].any(axis=(1, 2))
        return np.flatnonzero(shows) if shows.any() else np.arange(len(shows))


@torch.no_grad()
def inpainting_views(
    components: Components, images: ImageSet, lesions: NDArray[np.bool_] | None, views: Views, *, seed: int
) -> InpaintingViews:
    """Enumerate and encode every view once.

    Args:
        lesions: (N, S, S) masks, empty where there is none; None for random masks only.
        seed: decides where the crops lie; image n's crops depend on (seed, n) only.
    """
    is_inpainting = is_inpainting_unet(components)
    plain_views = replace(views, jitter=ColorJitter())
    moments, masks, pixels = [], [], []
    for number, image in enumerate(images.images):
        own_seed = derive_seed(seed, "crops", number)
        enumerated = enumerate_views(torch.from_numpy(image.copy()).permute(2, 0, 1), views, own_seed)
        shown = np.ascontiguousarray(enumerated.permute(0, 2, 3, 1).numpy())
        starts = range(0, len(shown), _ENCODE_BATCH)
        moments.append(torch.cat([encode_images(components, shown[k : k + _ENCODE_BATCH]) for k in starts]).float())
        if is_inpainting:
            pixels.append(shown)
        if lesions is not None:
            as_picture = torch.from_numpy(lesions[number].astype(np.uint8) * 255).expand(3, -1, -1)
            masks.append(enumerate_views(as_picture, plain_views, own_seed)[:, 0].numpy() >= 128)
    size = images.images.shape[1:3]
    return InpaintingViews(
        images.image_ids,
        images.labels,
        images.prompts,
        torch.stack(moments),
        np.stack(masks) if masks else np.zeros((len(images.images), views.count, *size), dtype=np.bool_),
        np.stack(pixels) if pixels else None,
    )


@dataclass(frozen=True)
class MaskedBatch:
    """Images with their masks and fixed noise, ready to be denoised."""

    known: KnownPart
    noise: torch.Tensor
    timesteps: torch.Tensor
    """(B,) int64."""
    prompts: tuple[str, ...]

    def part(self, start: int, end: int) -> MaskedBatch:
        """Images `start` to `end`."""
        known, cut = self.known, slice(start, end)
        masked = None if known.masked_latents is None else known.masked_latents[cut]
        part = KnownPart(known.latents[cut], known.masks[cut], masked)
        return MaskedBatch(part, self.noise[cut], self.timesteps[cut], self.prompts[cut])


class InpaintingObjective:
    """One UNet call a step.

    An inpainting UNet learns the whole image, as Stable Diffusion's was trained; a plain one what is masked, every
    masked cell of the batch counting alike.
    """

    def __init__(
        self,
        components: Components,
        views: InpaintingViews,
        settings: InpaintingSettings,
        *,
        seed: int,
        other_prompts: Sequence[str] = (),
    ) -> None:
        """`other_prompts` are those that `loss_sums` will be asked for beside the views' own."""
        from diffusers import DDPMScheduler

        self._components = components
        self._views = views
        self._settings = settings
        self._seed = seed
        self._order = BalancedOrder(views.labels, seed=seed)
        self._is_plain = not is_inpainting_unet(components)
        # The checkpoint's sampler may bend its noise levels; the plain scheduler holds those it was trained with.
        self._scheduler = DDPMScheduler.from_config(components.scheduler.config)
        self._alphas_cumprod = self._scheduler.alphas_cumprod.to(components.device)
        self.timestep_count = int(self._scheduler.config.num_train_timesteps)
        known = ["", *views.prompts, *other_prompts]
        self._embeddings = None if settings.train_text_encoder else encode_prompts(components, known)
        for module in self.modules().values():
            # Where an adapter was added, only that is trained.
            if not any(parameter.requires_grad for parameter in module.parameters()):
                module.requires_grad_(True)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet, and the text encoder when it is trained (of SDXL both)."""
        modules = {"unet": self._components.unet}
        if self._settings.train_text_encoder:
            modules |= self._components.text_encoders
        return modules

    def loss(self, step: int) -> torch.Tensor:
        """The scalar loss of the batch of this number."""
        total, share = self.loss_sums(self.draw(step))
        return total / share

    def loss_sums(self, batch: MaskedBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the batch's losses, and of the shares of its images that count: their quotient is the loss."""
        known = batch.known
        alphas = self._alphas_cumprod[batch.timesteps][:, None, None, None]
        noisy = alphas.sqrt() * known.latents + (1 - alphas).sqrt() * batch.noise
        output = self._components.unet(
            unet_input(noisy, known, self._settings.surroundings),
            batch.timesteps,
            **unet_conditioning(self._components, batch.prompts, self._embeddings),
            return_dict=False,
        )[0]
        # The target is a sum of noise and latents: where all three are zero, it is met.
        region = known.masks if self._is_plain else torch.ones_like(known.masks)
        losses = denoising_loss(
            output * region,
            known.latents * region,
            batch.noise * region,
            batch.timesteps,
            self._scheduler,
            prediction_type=self._scheduler.config.prediction_type,
            snr_gamma=self._settings.snr_gamma,
        )
        shares = region.float().mean(dim=(1, 2, 3))
        return losses.sum(), shares.sum()

    def draw(self, step: int) -> MaskedBatch:
        """The batch of this number: the same whenever and wherever it is drawn."""
        settings, views = self._settings, self._views
        generator = torch_generator(derive_seed(self._seed, "step", step))
        images = self._order.batch(step, settings.batch_size)
        places = torch.rand(len(images), generator=generator).tolist()
        shown = np.array([_pick(views.usable(image), place) for image, place in zip(images, places, strict=True)])
        mean, log_variance = views.moments[torch.from_numpy(images), torch.from_numpy(shown)].chunk(2, dim=1)
        own_noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        factor = float(self._components.vae.config.scaling_factor)
        latents = (mean + (0.5 * log_variance.clamp(-30, 20)).exp() * own_noise) * factor
        is_dropped = (torch.rand(len(images), generator=generator) < settings.caption_dropout).tolist()
        masks = self._masks(step, images, shown)
        pixels = None if views.pixels is None else views.pixels[images, shown]
        return MaskedBatch(
            known_part(self._components, latents, pixels, masks),
            torch.randn(latents.shape, generator=generator).to(latents),
            spread_timesteps(len(images), self.timestep_count, generator).to(latents.device),
            tuple("" if drop else views.prompts[k] for k, drop in zip(images, is_dropped, strict=True)),
        )

    def _masks(self, step: int, images: NDArray[np.int64], shown: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B, H, W): the lesions of these views; a random mask, keyed by batch and place, where there is none."""
        masks = self._views.lesions[images, shown]
        for place, mask in enumerate(masks):
            if not mask.any():
                mask[:] = random_mask(len(mask), derive_seed(self._seed, "mask", step, place))
        return masks


@dataclass(frozen=True)
class MaskedValidation:
    """Held-out images at fixed noise and masks, LEVELS_PER_IMAGE noise levels of each."""

    batch: MaskedBatch

    @torch.no_grad()
    def loss(self, objective: InpaintingObjective, *, batch_size: int) -> float:
        """The loss over all images and noise levels."""
        total = share = 0.0
        for start in range(0, len(self.batch.prompts), batch_size):
            sums = objective.loss_sums(self.batch.part(start, start + batch_size))
            total, share = total + float(sums[0]), share + float(sums[1])
        return total / share


def make_masked_validation(
    components: Components, images: ImageSet, lesions: NDArray[np.bool_] | None, *, timestep_count: int, seed: int
) -> MaskedValidation:
    """Fix masks, noise and noise levels, keyed by image_id; a random mask differs between an image's noise levels."""
    parts = []
    factor = float(components.vae.config.scaling_factor)
    for number, image_id in enumerate(images.image_ids):
        generator = torch_generator(derive_seed(seed, "validation", image_id))
        repeated = images.images[[number] * LEVELS_PER_IMAGE]
        mean = encode_images(components, images.images[number : number + 1]).float().chunk(2, dim=1)[0] * factor
        latents = mean.repeat(LEVELS_PER_IMAGE, 1, 1, 1)
        size = repeated.shape[1]
        mask_seeds = [derive_seed(seed, "validation mask", image_id, level) for level in range(LEVELS_PER_IMAGE)]
        masks = np.stack([random_mask(size, mask_seed) for mask_seed in mask_seeds])
        if lesions is not None and lesions[number].any():
            masks = lesions[[number] * LEVELS_PER_IMAGE]
        places = torch.arange(LEVELS_PER_IMAGE) + torch.rand(LEVELS_PER_IMAGE, generator=generator)
        parts.append(
            MaskedBatch(
                known_part(components, latents, repeated if is_inpainting_unet(components) else None, masks),
                torch.randn(latents.shape, generator=generator).to(latents),
                (places / LEVELS_PER_IMAGE * timestep_count).long().to(latents.device),
                (images.prompts[number],) * LEVELS_PER_IMAGE,
            )
        )
    return MaskedValidation(_joined(parts))


def _joined(parts: Sequence[MaskedBatch]) -> MaskedBatch:
    masked = [part.known.masked_latents for part in parts if part.known.masked_latents is not None]
    known = KnownPart(
        torch.cat([part.known.latents for part in parts]),
        torch.cat([part.known.masks for part in parts]),
        torch.cat(masked) if masked else None,
    )
    return MaskedBatch(
        known,
        torch.cat([part.noise for part in parts]),
        torch.cat([part.timesteps for part in parts]),
        tuple(prompt for part in parts for prompt in part.prompts),
    )


def _pick(choices: NDArray[np.int64], place: float) -> int:
    return int(choices[min(int(place * len(choices)), len(choices) - 1)])
