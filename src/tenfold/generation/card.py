"""The data card of a synthetic set: what it is, where it comes from and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.generation.config import WITHOUT_GENERATOR, GenerateConfig
from tenfold.generation.finishing import DrawnSet, Findings
from tenfold.generation.plan_reading import read_batches
from tenfold.generation.requests import ImageRequest


def data_card(config: GenerateConfig, drawn: DrawnSet, findings: Findings, skin_tone: Mapping[str, Any] | None) -> str:
    """The text of README.md beside the manifest. `skin_tone`: the trend that `write_coverage` found."""
    counts = drawn.counts()
    first = next(read_batches(drawn.requests, [0])).requests[0]
    rows = "\n".join(f"| {label} | {count} |" for label, count in counts.items())
    return f"""# Synthetic images: {config.name}

{sum(counts.values())} images made by a computer with the strategy `{config.strategy}`. {_origin(config)}
No image here is a photograph as it was taken, and each says so in its own metadata (IPTC digital source type).

| label | images |
|---|---|
{rows}

{_models(config, first)}- Root seed {config.seed}; each image's own seed and prompt stand in `manifest.parquet`,
  its whole record in the file: `tenfold regenerate IMAGE_ID` makes it again.
- {_screening(config, findings)}
- {_ancestors(config, drawn)}
- License of the data they descend from: {drawn.workspace.data_license}. It binds these images too.

## Files

{_files(config)}

## Caution

- Labels are what was *asked for*, not what a physician saw. Until people have reviewed them (`review` is
  `unreviewed`), an image may show another condition, none, or an impossible one.
- Use them to train classifiers that are tested on real images only; never as test data, for diagnosis or for teaching.
- They inherit the gaps and biases of the images they descend from, and may repeat parts of them: treat them with
  the same care as their ancestors, and do not call them anonymous.
- {_tones(skin_tone)}
"""


def _tones(trend: Mapping[str, Any] | None) -> str:
    if trend is None:
        return "Skin types are those asked for; what the images show was not measured here."
    return (
        "Skin types are those asked for. Measured skin (ITA, see `coverage.csv`) follows them with a rank correlation "
        f"of {trend['spearman']:.2f} (95 % interval {trend['low']:.2f} to {trend['high']:.2f}; {trend['images']} "
        f"images of {trend['sources']} sources); -1 would follow perfectly, 0 not at all."
    )


_ORIGINS = {
    "text2img": "Each was drawn from noise by a latent diffusion model that was given a prompt.",
    "img2img": "Each is a real training image that a latent diffusion model drew over (`strength`).",
    "inpaint": "Each is a real training image of which a latent diffusion model painted the masked part anew.",
    "outpaint": "Each is a real lesion around which a latent diffusion model painted new surroundings.",
    "in_then_outpaint": "Each is a real training image of which first the masked part, then the rest was painted anew.",
    "autoencoder": "Each is a real training image sent through the checkpoint's autoencoder and back, with its label.",
    "recolor": "Each is a real training image given another skin tone by arithmetic, without a generator.",
    "composite": "Each is a real lesion set into another real image by arithmetic, without a generator.",
}


def _origin(config: GenerateConfig) -> str:
    if config.strategy == "text2img":
        return _ORIGINS["text2img"]
    return f"{_ORIGINS[config.strategy]} Real pixels of people remain in it: it is never to be called de-identified."


def _models(config: GenerateConfig, first: ImageRequest) -> str:
    if config.strategy in WITHOUT_GENERATOR:
        return ""
    lines = [f"Checkpoint: `{config.checkpoint}`, SHA-256 {first.checkpoint_sha256}"]
    if first.adapter_sha256 is not None:
        weight = f"weight {config.adapter_scale}, SHA-256 {first.adapter_sha256}"
        lines.append(f"Adapter (LoRA): `{config.adapter}`, {weight}")
    if first.upscaler is not None:
        lines.append(f"Enlarged by `{first.upscaler}`, SHA-256 {first.upscaler_sha256}")
    if first.num_inference_steps is None:
        lines.append("No noise was drawn: the mean of the latents was decoded")
    else:
        sampler = first.sampler or "the checkpoint's own sampler"
        guidance = first.guidance_scale if not config.guidance_scales else "by label"
        lines.append(f"{first.num_inference_steps} steps of {sampler}, guidance scale {guidance}, {config.dtype}")
    return "".join(f"- {line}\n" for line in lines)


def _screening(config: GenerateConfig, findings: Findings) -> str:
    return (
        f"Screening: {findings.redrawn} images were black, flat, clipped or broken and drawn again with other seeds "
        f"(up to {config.redraw_limit} times); {findings.refused} stayed so and carry a `quarantine_reason`"
    )


def _ancestors(config: GenerateConfig, drawn: DrawnSet) -> str:
    own = "" if config.strategy == "text2img" else " Each image's own real sources come on top (`parent_id`)."
    if config.strategy in ("autoencoder", *WITHOUT_GENERATOR):
        return "Ancestors: only the real images that each starts from (`parent_id`, `background_id`)"
    if drawn.ancestors is None:
        return "Ancestors: unknown; the checkpoint brings no record of the images it learned from" + own
    if not drawn.ancestors:
        return "Ancestors: the checkpoint came from outside and saw none of this workspace's real images." + own
    return f"Ancestors: {len(drawn.ancestors)} real images of the training split, in the column `ancestors`." + own


def _files(config: GenerateConfig) -> str:
    codec = "PNG, like the real images: no codec tells them apart"
    if config.file_format == "jpeg":
        codec = (
            f"JPEG, quality {config.jpeg_quality}: the real images are PNG, so do not train on both together, or the "
            "classifier learns the codec"
        )
    if config.container == "webdataset":
        return (
            f"Tar shards in `shards/` as webdataset reads them (`{config.name}-000000.tar`, ...; `SHA256SUMS` beside), "
            f"of each image the file ({codec}), its record (`json`), prompt (`txt`) and class number (`cls`: the place "
            "among the sorted labels)."
        )
    return (
        f'`images/` ({codec}) with `metadata.parquet`, as `datasets.load_dataset("imagefolder", data_dir=...)` reads '
        "them; masks of moved lesions in `masks/`, first passes in `first_passes/`."
    )
