"""B9, sampling: prompts to pixels by Tenfold's sampler, by one pipeline call an image (S) and by batched calls (T)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.bench.figures import Row, interleaved
from tenfold.core.executor import ProcessExecutor
from tenfold.core.progress import TaskProgress
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, decode_latents, sample_latents

IMAGES = 32
BATCH = 16
TOLERANCE = 1e-4
SETTINGS = SamplingSettings(num_inference_steps=15, guidance_scale=3.0)

_loaded: dict[str, Components] = {}


def measure(checkpoint: str, repeats: int, workers: int, task: TaskProgress) -> Row:
    """Seconds for 32 guided images; models are loaded and workers warm before the clock starts.

    S is the stock way of diffusers' documentation (``pipe(prompt, generator=...).images[0]`` in a loop), T the same
    pipeline with lists of prompts and generators and its progress bar off.
    """
    path = resolve_checkpoint(checkpoint)
    prompts = [f"a photo of a skin lesion, number {index % 4}" for index in range(IMAGES)]
    seeds = [derive_seed(0, "bench", index) for index in range(IMAGES)]
    batches = [
        (str(path), prompts[start : start + BATCH], seeds[start : start + BATCH]) for start in range(0, IMAGES, BATCH)
    ]
    stock, tuned = _pipeline(path, bar=True), _pipeline(path, bar=False)
    with ProcessExecutor(workers) as executor:
        list(executor.map(draw_batch, [(str(path), prompts[:1], seeds[:1])] * workers))
        timings = interleaved(
            {
                "ours": lambda: list(executor.map(draw_batch, batches)),
                "S": lambda: _draw_singly(stock, prompts, seeds),
                "T": lambda: [_draw_together(tuned, part, keys) for _, part, keys in batches],
            },
            repeats,
            task,
        )
    difference = _largest_difference(load_components(path), tuned, prompts[:BATCH], seeds[:BATCH])
    return Row(
        what=f"sampling, {IMAGES} images, {SETTINGS.num_inference_steps} guided steps",
        unit="images",
        units=IMAGES,
        seconds=timings.wall,
        cpu_seconds=timings.cpu,
        target="S / ours >= 1.8",
        check=f"latents differ by at most {difference:.1e}",
        is_equal=difference <= TOLERANCE,
    )


def draw_batch(batch: tuple[str, list[str], list[int]]) -> NDArray[np.uint8]:
    """(B, H, W, 3) pixels of one batch in a worker that keeps its model warm."""
    path, prompts, seeds = batch
    if path not in _loaded:
        _loaded[path] = load_components(resolve_checkpoint(path))
    components = _loaded[path]
    return decode_latents(components, sample_latents(components, prompts, seeds, SETTINGS))


def _pipeline(path: Any, *, bar: bool) -> Any:
    from diffusers import StableDiffusionPipeline

    variant = {"variant": "fp16"} if list((path / "unet").glob("*.fp16.safetensors")) else {}
    pipeline = StableDiffusionPipeline.from_pretrained(
        path, dtype=torch.float32, safety_checker=None, local_files_only=True, **variant
    )
    # The bar writes to nowhere: its cost stays in the stock figure, its drawing does not disturb ours.
    pipeline.set_progress_bar_config(disable=not bar, file=Nowhere())
    return pipeline


class Nowhere:
    """A stream that takes everything and keeps nothing."""

    def write(self, text: str) -> int:
        """All of it."""
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


def _draw_singly(pipeline: Any, prompts: list[str], seeds: list[int]) -> list[Any]:
    return [
        pipeline(prompt, generator=torch_generator(seed), **_options()).images[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def _draw_together(pipeline: Any, prompts: list[str], seeds: list[int], output_type: str = "np") -> Any:
    generators = [torch_generator(seed) for seed in seeds]
    return pipeline(prompts, generator=generators, output_type=output_type, **_options()).images


def _options() -> dict[str, Any]:
    return {"num_inference_steps": SETTINGS.num_inference_steps, "guidance_scale": SETTINGS.guidance_scale}


def _largest_difference(components: Components, pipeline: Any, prompts: list[str], seeds: list[int]) -> float:
    ours = sample_latents(components, prompts, seeds, SETTINGS)
    theirs = _draw_together(pipeline, prompts, seeds, output_type="latent")
    return float((ours - theirs).abs().max())
