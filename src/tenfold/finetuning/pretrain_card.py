"""The model card of a pretrained base: what it was trained on, for how long, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenfold.finetuning.pretrain_archive import Archive
from tenfold.finetuning.pretrain_config import PretrainConfig

_FEW_IMAGES = 2000


@dataclass(frozen=True)
class CardFacts:
    """What the card tells beside the configuration; steps by training, psnr_db on images of the archive itself."""

    data_license: str
    parameters: Mapping[str, int]
    steps: Mapping[str, int]
    losses: Mapping[str, float]
    psnr_db: float
    has_features: bool


def model_card(config: PretrainConfig, archive: Archive, facts: CardFacts) -> str:
    """The text of README.md in the model's folder."""
    parameters = ", ".join(f"{name} {count / 1e6:.2f} million" for name, count in facts.parameters.items())
    own = config.autoencoder
    counts = {"autoencoder-crops": own.crop_steps, "autoencoder-pictures": own.full_steps, **facts.steps}
    steps = "\n".join(f"| {name} | {n:,} | {_loss(facts.losses, name)} |" for name, n in counts.items() if n)
    seen = config.denoiser.steps * config.denoiser.batch_size / len(archive)
    return f"""# Base model: {config.name}

A latent diffusion model in Stable Diffusion's format, trained from random weights by `tenfold pretrain`. No image from
the web and no other model's weights are in it. Plain diffusers loads it; in Tenfold it is a `base_checkpoint`.

- Archive: {_archive(config, archive)}
- {_held_out(config, archive)}
- License of those images, which binds this model too: {facts.data_license}
- Images of {config.image_size_px} x {config.image_size_px} px; parameters: {parameters}
- Seed {config.seed}; the settings stand in `run.json`, the ids of the images in `training_rows.json`.

| training | steps | mean loss of its last 100 steps |
|---|---|---|
{steps}

The autoencoder returns images of the archive with {facts.psnr_db:.1f} dB (PSNR, up to 256 images that it was trained
on: a figure without an interval, and no measure of unseen images). The denoiser saw each image about {seen:,.0f} times.
{_features(facts)}
## Caution

{_few(archive)}- A model may repeat images it has learned from, whole or in part. Whoever may not see the archive may
  not have this model either, until an audit says otherwise (`tenfold audit`).
- The tokenizer's vocabulary is made of the words of the captions: names of persons in captions would stand in
  `tokenizer/vocab.json`.
- It knows what the archive shows and nothing else, with all its gaps: how skin types, sexes, ages and devices are
  represented was not measured here.
- Quality was not judged here beyond the figures above: look at `samples.png`, and evaluate what is built on it on real
  test images.
- Not for diagnosis.
"""


def _archive(config: PretrainConfig, archive: Archive) -> str:
    if not archive.image_ids:
        return f"{len(archive):,} drawn images (Tenfold's phantom): no patient's"
    labels = sorted(set(archive.labels) - {""})
    told = f"{archive.captioned:,} with a caption of their own or their class's" if archive.captioned else "no captions"
    rest = len(archive) - archive.captioned
    free = f'; {rest:,} under the words "{config.class_free_caption}"' if rest else ""
    classes = f"; classes: {', '.join(labels[:20])}" if labels else "; no classes"
    return f"{len(archive):,} real images (`{config.archive}`), {told}{free}{classes}"


def _held_out(config: PretrainConfig, archive: Archive) -> str:
    return archive.held_out.sentence() if archive.image_ids else "Nothing had to be held out: no image is a patient's."


def _loss(losses: Mapping[str, float], name: str) -> str:
    return f"{losses[name]:.4g}" if name in losses else ""


def _features(facts: CardFacts) -> str:
    if facts.has_features:
        return "A feature net, trained on what is known of the images, lies in `features/`.\n"
    return "No feature net was trained: nothing is known of the images that it could learn from.\n"


def _few(archive: Archive) -> str:
    if len(archive) >= _FEW_IMAGES:
        return ""
    return (
        f"- {len(archive):,} images are few for a model that starts from nothing: expect it to repeat them rather than "
        f"to vary them.\n"
    )
