"""B3: generation to disk; drawing with files, hashes and records beside drawing alone and beside stock saving."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.bench.figures import Figures, Row, Timings, describe_machine, interleaved
from tenfold.bench.generation_runs import NAME, draw, new_workspace, plain_config
from tenfold.core.device import limited_threads
from tenfold.core.environment import describe_environment
from tenfold.core.progress import Progress, TaskProgress
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.phantom import make_archive_batch
from tenfold.generation.config import GenerateConfig
from tenfold.generation.drawing import (
    DrawSettings,
    DrawTask,
    ModelFiles,
    draw_batch,
    draw_parts,
    drawing_environment,
    forget_checkpoint,
)
from tenfold.generation.origins import find_origin
from tenfold.generation.parts import cut_parts
from tenfold.generation.plan_reading import Batch
from tenfold.generation.planning import Plan, plan, write_requests
from tenfold.generation.provenance import Provenance
from tenfold.generation.run import model_files
from tenfold.generation.writer import Encoder, Picture

CHECKPOINT = "embedded:base"
IMAGES = 64
BATCH = 16
ENCODED = 12
ENCODED_EDGE_PX = 512
MOST_OVERHEAD = 0.05
_ALONE = "drawn only"
_STOCK_LEVEL, _FASTEST_LEVEL = 6, 1
"""Of PNG: Pillow's own, and the fastest that it offers."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Work:
    """What every way draws, and where it may write."""

    workspace: Workspace
    folder: Path
    config: GenerateConfig
    plan: Plan
    models: ModelFiles

    @property
    def requests(self) -> Path:
        return self.folder / "requests.parquet"


def measure(
    repeats: int, progress: Progress, checkpoint: str = CHECKPOINT, images: int = IMAGES, batch_size: int = BATCH
) -> Figures:
    """Drawing on one thread, as a worker does; the encoder's threads work beside it.

    S saves each image by Pillow's default as soon as its batch is drawn, T the same with the fastest level.
    """
    with (
        limited_threads(1),
        tempfile.TemporaryDirectory(prefix="tenfold-b3-") as folder,
        progress.task("B3", repeats * 8) as task,
    ):
        work = _work(Path(folder), plain_config(checkpoint, images, batch_size))
        try:
            rows = (*_to_disk(work, repeats, task), _whole_stage(work, repeats, task), _encoding(work, repeats, task))
        finally:
            forget_checkpoint()
    return Figures(
        name="B3",
        title="generation to disk with hashes and records",
        machine=describe_machine(1),
        threads=1,
        repeats=repeats,
        rows=rows,
        environment=describe_environment(),
        notes=("Killed and resumed: see B10.",),
    )


def _work(folder: Path, config: GenerateConfig) -> _Work:
    workspace = new_workspace(folder / "workspace")
    work = _Work(workspace, folder, config, plan(config, workspace), model_files(config, workspace, "cpu"))
    write_requests(work.plan, work.requests)
    # The checkpoint is loaded, and everything else, before the clock starts.
    draw_parts(DrawTask(cut_parts(work.plan.batch_sizes[:1], None), _settings(work, folder / "warm")))
    return work


def _to_disk(work: _Work, repeats: int, task: TaskProgress) -> tuple[Row, Row]:
    batches = list(work.plan.batches)
    parts = cut_parts(work.plan.batch_sizes, None)
    drawn: dict[str, list[Pixels]] = {}
    folders: dict[str, Path] = {}

    def to_disk() -> None:
        draw_parts(DrawTask(parts, _settings(work, folders["ours"])))

    def saving(way: str, level: int) -> Callable[[], None]:
        return lambda: _draw_and_save(work, batches, folders[way], level)

    def alone() -> None:
        drawn[_ALONE] = _draw_only(work, batches)

    def prepare(way: str) -> None:
        folders[way] = Path(tempfile.mkdtemp(dir=work.folder))

    ways = {
        "ours": to_disk,
        _ALONE: alone,
        "S": saving("S", _STOCK_LEVEL),
        "T": saving("T", _FASTEST_LEVEL),
    }
    timings = interleaved(ways, repeats, task, prepare=prepare)
    names = [request.image_id for request in work.plan.requests]
    is_equal = all(
        np.array_equal(image, decode_image(path))
        for image, name in zip(drawn[_ALONE], names, strict=True)
        for path in (folders["ours"] / "images" / f"{name}.png", folders["S"] / f"{name}.png")
    )
    count = work.plan.image_count
    more = _ratio(timings, "ours")
    row = Row(
        what=f"{count} images of {drawn[_ALONE][0].shape[0]} px, drawn, hashed and written with records",
        unit="images",
        units=count,
        seconds={way: timings.wall[way] for way in ("ours", "S", "T")},
        cpu_seconds={way: timings.cpu[way] for way in ("ours", "S", "T")},
        target=f"at most {1 + MOST_OVERHEAD:.2f} times drawing alone; at 512 px on a GPU S >= 1.7",
        check=f"{more}; decoded pixels {'equal' if is_equal else 'DIFFER'}",
        is_equal=is_equal,
    )
    alone_row = replace(
        row,
        what="the same, drawn only",
        seconds={"ours": timings.wall[_ALONE]},
        cpu_seconds={"ours": timings.cpu[_ALONE]},
        target="-",
        check="-",
        is_equal=None,
    )
    return row, alone_row


def _ratio(timings: Timings, way: str) -> str:
    """How many times as long as drawing alone a way takes: the median of the ratios within the same turn."""
    clocks = {"by the clock": timings.wall, "CPU time": timings.cpu}
    found = {name: np.median(np.divide(seconds[way], seconds[_ALONE])) for name, seconds in clocks.items()}
    return "drawing alone times " + ", ".join(f"{ratio:.3f} {name}" for name, ratio in found.items())


def _whole_stage(work: _Work, repeats: int, task: TaskProgress) -> Row:
    """`run` from an empty workspace: plan, checkpoint, images, manifest, grid and card."""
    spaces: list[Workspace] = []
    timings = interleaved(
        {"ours": lambda: draw(work.config, spaces[-1])},
        repeats,
        task,
        prepare=lambda _: spaces.append(new_workspace(work.folder / f"stage-{len(spaces)}")),
    )
    return Row(
        what="the whole stage: plan, checkpoint, images, manifest, grid, card",
        unit="images",
        units=work.plan.image_count,
        seconds=timings.wall,
        cpu_seconds=timings.cpu,
        target="-",
        check="-",
        is_equal=None,
    )


def _encoding(work: _Work, repeats: int, task: TaskProgress) -> Row:
    """Bytes of 512 px images alone, one after another on one thread: ours with record, SHA-256 and perceptual hash."""
    pixels = list(make_archive_batch(0, ENCODED, seed=0, image_size_px=ENCODED_EDGE_PX).images)
    batch, environment = work.plan.batch(0), drawing_environment(ModelFiles(None, None, None, "cpu"), "float32")
    pictures = [
        Picture(image, Provenance(batch, place % len(batch.requests), environment, None, ()), 0)
        for place, image in enumerate(pixels)
    ]
    encoded: dict[str, list[bytes]] = {}

    def ours() -> None:
        with Encoder(1, with_texts=False) as encoder:
            encoded["ours"] = [future.result().members["png"] for future in encoder.submit(pictures)]

    def saving(way: str, level: int) -> Callable[[], None]:
        def run() -> None:
            encoded[way] = [_png(image, level) for image in pixels]

        return run

    ways = {"ours": ours, "S": saving("S", _STOCK_LEVEL), "T": saving("T", _FASTEST_LEVEL)}
    timings = interleaved(ways, repeats, task)
    is_equal = all(
        np.array_equal(image, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        for files in encoded.values()
        for image, data in zip(pixels, files, strict=True)
    )
    sizes = ", ".join(f"{way} {sum(map(len, files)) / len(files) / 1000:.0f} kB" for way, files in encoded.items())
    return Row(
        what=f"encoding alone, {ENCODED} phantom photographs of {ENCODED_EDGE_PX} px",
        unit="images",
        units=ENCODED,
        seconds=timings.wall,
        cpu_seconds=timings.cpu,
        target="-",
        check=f"decoded pixels {'equal' if is_equal else 'DIFFER'}; a file {sizes}",
        is_equal=is_equal,
    )


def _settings(work: _Work, folder: Path) -> DrawSettings:
    config = work.config
    return DrawSettings(
        workspace=work.workspace.path,
        folder=folder,
        requests=work.requests,
        set_name=NAME,
        models=work.models,
        dtype=config.dtype,
        labels=tuple(sorted(work.plan.counts())),
        in_shards=False,
        redraw_limit=0,
        encoder_threads=config.encoder_threads,
    )


def _draw_only(work: _Work, batches: Sequence[Batch]) -> list[Pixels]:
    return [image for batch in batches for image in _pixels(work, batch)]


def _draw_and_save(work: _Work, batches: Sequence[Batch], folder: Path, level: int) -> None:
    for batch in batches:
        for request, image in zip(batch.requests, _pixels(work, batch), strict=True):
            Image.fromarray(image).save(folder / f"{request.image_id}.png", compress_level=level)


def _pixels(work: _Work, batch: Batch) -> list[Pixels]:
    origins = [find_origin(request, work.workspace) for request in batch.requests]
    return list(draw_batch(batch, origins, work.models)[0].images)


def _png(image: Pixels, level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=level)
    return stream.getvalue()
