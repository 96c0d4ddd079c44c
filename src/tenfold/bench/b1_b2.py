"""B1 and B2: bulk generation in Stable Diffusion 1.5's shape on a GPU; smoke tests of the same path on a CPU.

S is the stock way of diffusers' documentation (``pipe(prompt, generator=...).images[0]`` in a loop), T the same
pipeline with what the library offers: lists of prompts and generators, channels_last, fused projections, a compiled
UNet and decoder, arrays instead of pictures, no progress bar. The weights are random: speed does not depend on them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.bench.b9_sampling import Nowhere
from tenfold.bench.figures import Figures, Row, Timings, describe_machine, interleaved
from tenfold.bench.sd15_shape import NARROW, SD15, Shape, flop_per_image, make_components
from tenfold.core.device import limited_threads
from tenfold.core.environment import describe_environment
from tenfold.core.errors import StageError
from tenfold.core.executor import usable_cores
from tenfold.core.progress import Progress
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.models.compiling import compile_unet
from tenfold.models.pipelines import Components, place_models, quiet_loading
from tenfold.models.sampling import SamplingSettings, decode_latents, make_scheduler, sample_latents

GUIDED = SamplingSettings(num_inference_steps=25, guidance_scale=7.5, sampler="dpmsolver++")
IN_INTERVAL = replace(GUIDED, num_inference_steps=20, guidance_interval=(0.3, 0.7))
"""B2: fewer steps, of which 40 % are guided."""
SECOND_PAPER_IMAGES = 458_920
PEAK_FLOP_PER_SECOND = {"H200": 790e12}
"""Measured bf16 matrix work by a word of the device's name; no image can be drawn faster than that allows."""

_GUIDED_WAY = "25 guided steps"
_MOST_DB = 99.0
_LEAST_DB = 60.0
"""Above this, pictures of 8 bits are as good as equal."""
_DB_TOLERANCE = 0.5
_CHECKED = 2

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """What is drawn, and on what."""

    shape: Shape
    device: str
    dtype: torch.dtype
    images: int
    batch_size: int

    @property
    def is_real(self) -> bool:
        """Whether figures are those of a GPU."""
        return self.device.startswith("cuda")

    @property
    def prompts(self) -> list[str]:
        """One for each image, four kinds."""
        return [f"a photo of a skin lesion, number {number % 4}" for number in range(self.images)]

    @property
    def seeds(self) -> list[int]:
        """One for each image."""
        return [derive_seed(0, "bench", number) for number in range(self.images)]

    def batches(self) -> list[tuple[list[str], list[int]]]:
        """Prompts and seeds, batch by batch."""
        starts = range(0, self.images, self.batch_size)
        return [(self.prompts[start:][: self.batch_size], self.seeds[start:][: self.batch_size]) for start in starts]


def job_here() -> Job:
    """The whole shape in bfloat16 where there is a GPU; else a narrow copy on the CPU."""
    if torch.cuda.is_available():  # pragma: no gpu
        return Job(SD15, "cuda", torch.bfloat16, images=32, batch_size=32)
    return Job(NARROW, "cpu", torch.float32, images=4, batch_size=4)


def measure(name: str, repeats: int, threads: int | None, progress: Progress, job: Job | None = None) -> Figures:
    """B1 or B2; every way on the same threads (`None`: all usable cores), weights loaded and kernels compiled before.

    Raises StageError when a rate is above what the device can do: then the clock or the work is not what it seems.
    """
    job, count = job or job_here(), threads or usable_cores()
    ways = 3 if name == "B1" else 2
    with limited_threads(count), progress.task(name, repeats * ways) as task:
        parts = make_components(job.shape, job.dtype, job.device)
        drawn = _b1(job, parts) if name == "B1" else _b2(job, parts)
        for way in drawn.ways.values():
            way()
        timings = interleaved(drawn.ways, repeats, task)
    device = torch.cuda.get_device_name() if job.is_real else "the CPU"
    kind = f"on {device}" if job.is_real else "smoke test on the CPU, no figures of a GPU"
    rows = drawn.rows(timings)
    rates = {way: job.images / min(timings.wall[way]) for way in drawn.ways}
    for name_of_way, rate in rates.items():
        check_rate(rate, drawn.flop[name_of_way], device)
    return Figures(
        name=name,
        title=f"bulk generation, {job.shape.name} with random weights, {kind}",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=rows,
        environment=describe_environment(job.device, str(job.dtype).removeprefix("torch.")),
        notes=_notes(job, drawn, timings, device),
    )


def check_rate(images_per_second: float, flop_per_image: float, device: str) -> None:
    """Raises StageError for a rate that the device's matrix units cannot reach."""
    for word, peak in PEAK_FLOP_PER_SECOND.items():
        if word in device and images_per_second * flop_per_image > peak:
            raise StageError(
                f"measured {images_per_second:.1f} images/s, which {device} cannot do",
                expected=f"at most {peak / flop_per_image:.1f} images/s: {peak / 1e12:.0f} TFLOP/s at "
                f"{flop_per_image / 1e12:.1f} TFLOP an image",
                todo="The clock stopped before the work was done, or steps were left out: mend the benchmark.",
            )


@dataclass(frozen=True)
class _Drawn:
    """The ways of a benchmark, the work of an image by way, and how rows are made of the timings."""

    ways: Mapping[str, Callable[[], object]]
    flop: Mapping[str, float]
    rows: Callable[[Timings], tuple[Row, ...]]


def _b1(job: Job, parts: Components) -> _Drawn:
    ours = _ours(job, parts)
    stock, tuned = _pipeline(parts), _tuned(job, parts)
    last: dict[str, Pixels] = {}

    def draw_ours() -> None:
        last["ours"] = _draw(job, ours, GUIDED)

    def draw_stock() -> None:
        for prompt, seed in zip(job.prompts, job.seeds, strict=True):
            stock(prompt, generator=torch_generator(seed), **_options())

    def draw_tuned() -> None:
        arrays = [
            tuned(prompts, generator=[torch_generator(seed) for seed in seeds], output_type="np", **_options()).images
            for prompts, seeds in job.batches()
        ]
        last["T"] = (np.concatenate(arrays) * 255).round().astype(np.uint8)

    def rows(timings: Timings) -> tuple[Row, ...]:
        exact = _exact(job, parts)
        decibels = {way: _psnr(images[: len(exact)], exact) for way, images in last.items()}
        is_equal = decibels["ours"] >= min(_LEAST_DB, decibels["T"] - _DB_TOLERANCE)
        return (
            Row(
                what=f"{job.images} images of {job.shape.image_size_px} px, {GUIDED.num_inference_steps} guided steps",
                unit="images",
                units=job.images,
                seconds=timings.wall,
                cpu_seconds={} if job.is_real else timings.cpu,
                target=("" if job.is_real else "smoke; on a GPU ") + "S >= 5, T >= 1.1; H200 >= 9 images/s",
                check=f"against float32 {decibels['ours']:.1f} dB, T {decibels['T']:.1f} dB",
                is_equal=is_equal,
            ),
        )

    flop = flop_per_image(job.shape, GUIDED)
    return _Drawn({"ours": draw_ours, "S": draw_stock, "T": draw_tuned}, dict.fromkeys(("ours", "S", "T"), flop), rows)


def _b2(job: Job, parts: Components) -> _Drawn:
    ours = _ours(job, parts)
    settings = {"ours": IN_INTERVAL, _GUIDED_WAY: GUIDED}

    def rows(timings: Timings) -> tuple[Row, ...]:
        low, high = IN_INTERVAL.guidance_interval or (0.0, 1.0)
        row = Row(
            what=f"{job.images} images of {job.shape.image_size_px} px, {IN_INTERVAL.num_inference_steps} steps, "
            f"guided from {low:.0%} to {high:.0%}",
            unit="images",
            units=job.images,
            seconds={"ours": timings.wall["ours"]},
            cpu_seconds={} if job.is_real else {"ours": timings.cpu["ours"]},
            target=("" if job.is_real else "smoke; on a GPU ") + f"{_GUIDED_WAY} >= 1.7 times as long",
            check="speed only: random weights have no quality",
            is_equal=None,
        )
        whole = replace(
            row,
            what=f"the same by {_GUIDED_WAY} (B1's way)",
            seconds={"ours": timings.wall[_GUIDED_WAY]},
            cpu_seconds={} if job.is_real else {"ours": timings.cpu[_GUIDED_WAY]},
            target="-",
        )
        # Small work on a CPU that others share: its own seconds tell more than the clock.
        ratio = whole.median("ours") / row.median("ours")
        if not job.is_real:
            ratio = whole.cpu_median("ours") / row.cpu_median("ours")
        return row, replace(whole, check=f"{ratio:.2f} times as long")

    def way(name: str) -> Callable[[], object]:
        return lambda: _draw(job, ours, settings[name])

    flop = {name: flop_per_image(job.shape, one) for name, one in settings.items()}
    return _Drawn({name: way(name) for name in settings}, flop, rows)


def _notes(job: Job, drawn: _Drawn, timings: Timings, device: str) -> tuple[str, ...]:
    """Work an image, and on a GPU the rate of work beside the device's limit."""
    work = [f"{way} {flop / 1e12:.3g}" for way, flop in drawn.flop.items()]
    notes = [f"TFLOP an image (UNet and decoder, counted): {', '.join(work)}."]
    if job.is_real:  # pragma: no gpu
        limit = next((peak for word, peak in PEAK_FLOP_PER_SECOND.items() if word in device), None)
        beside = "limit unknown" if limit is None else f"limit {limit / 1e12:.0f}"
        row = Row("", "", job.images, timings.wall, "", "", None)
        rates = {way: job.images / row.median(way) for way in drawn.ways}
        done = [f"{way} {rate * drawn.flop[way] / 1e12:.0f}" for way, rate in rates.items()]
        notes.append(f"TFLOP/s: {', '.join(done)}; {beside}.")
        notes.append(f"{SECOND_PAPER_IMAGES:,} images: {SECOND_PAPER_IMAGES / rates['ours'] / 3600:.1f} h.")
        notes.append(f"Peak GPU memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB.")
    return tuple(notes)


def _ours(job: Job, parts: Components) -> Components:
    """As the generation stage has it with `compile: true`; without a GPU nothing is compiled."""
    ours = _copied(parts)
    place_models([ours.vae, ours.unet, *ours.text_encoders.values()], job.device)
    return compile_unet(ours)[0] if job.is_real else ours


def _draw(job: Job, parts: Components, settings: SamplingSettings) -> Pixels:
    drawn = [decode_latents(parts, sample_latents(parts, *batch, settings)) for batch in job.batches()]
    return np.concatenate(drawn)


def _pipeline(parts: Components, *, bar: bool = True) -> Any:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=make_scheduler(parts, GUIDED.sampler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    # The bar writes to nowhere: its cost stays in the stock figure, its drawing does not disturb ours.
    pipeline.set_progress_bar_config(disable=not bar, file=Nowhere())
    return pipeline


def _tuned(job: Job, parts: Components) -> Any:
    pipeline = _pipeline(_copied(parts), bar=False)
    for model in (pipeline.unet, pipeline.vae):
        model.to(memory_format=torch.channels_last)
    pipeline.fuse_qkv_projections()
    if job.is_real:  # pragma: no gpu
        pipeline.unet = torch.compile(pipeline.unet, dynamic=False)
        pipeline.vae.decode = torch.compile(pipeline.vae.decode, dynamic=False)
    return pipeline


def _exact(job: Job, parts: Components) -> Pixels:
    """The first images by the stock pipeline in float32, from the very noise that the others draw."""
    pipeline = _pipeline(_copied(parts), bar=False)
    with quiet_loading():
        pipeline.to(torch.float32)
    shape = (1, parts.unet.config.in_channels, job.shape.latent_edge, job.shape.latent_edge)
    seeds = job.seeds[:_CHECKED]
    noise = [torch.randn(shape, generator=torch_generator(seed), dtype=job.dtype) for seed in seeds]
    latents = torch.cat(noise).float().to(job.device)
    images = pipeline(job.prompts[:_CHECKED], latents=latents, output_type="np", **_options()).images
    return np.asarray((images * 255).round(), dtype=np.uint8)


def _copied(parts: Components) -> Components:
    models = {name: copy.deepcopy(getattr(parts, name)) for name in ("vae", "unet", "text_encoder")}
    return replace(parts, **models)


def _options() -> dict[str, Any]:
    return {"num_inference_steps": GUIDED.num_inference_steps, "guidance_scale": GUIDED.guidance_scale}


def _psnr(images: Pixels, exact: Pixels) -> float:
    """Decibels of the peak against the mean squared difference; 99 where there is next to none."""
    error = float(np.mean((images.astype(np.float64) - exact) ** 2))
    return _MOST_DB if error == 0 else min(_MOST_DB, 10 * math.log10(255**2 / error))
