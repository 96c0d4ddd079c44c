"""Drawing: parts of the plan, from the checkpoint to files and records on the disk, in whatever process it runs."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.environment import describe_environment
from tenfold.core.workspace import Workspace
from tenfold.generation.origins import Origin, check_unchanged, find_origin
from tenfold.generation.parts import Part, PartRecord, discard_unfinished, write_record
from tenfold.generation.plan_reading import Batch, read_batches
from tenfold.generation.provenance import Provenance, Redraw
from tenfold.generation.requests import ModelIdentity
from tenfold.generation.screening import fault_of, redraw_seeds, with_seeds
from tenfold.generation.writer import Encoded, Encoder, FolderStore, Picture, ShardStore, Store

if TYPE_CHECKING:
    from tenfold.generation.strategies.dispatch import Drawing
    from tenfold.models.pipelines import Components
    from tenfold.models.upscaling import Upscaler

_BATCHES_AHEAD = 2
"""Batches that may wait to be encoded while the next one is drawn."""


@dataclass(frozen=True)
class ModelFiles:
    """Where the weights lie and where they are to work; `checkpoint` is None for strategies that need none."""

    checkpoint: Path | None
    adapter: Path | None
    upscaler: Path | None
    device: str
    compiles: bool = False
    """Whether the UNet goes through torch.compile, where the machine can do that."""


@dataclass(frozen=True)
class DrawSettings:
    """What all tasks of a run share; plain enough to be sent to another process."""

    workspace: Path
    folder: Path
    requests: Path
    set_name: str
    models: ModelFiles
    dtype: str
    labels: tuple[str, ...]
    """Sorted: a label's place is its class number in shards."""
    in_shards: bool
    redraw_limit: int
    encoder_threads: int


@dataclass(frozen=True)
class DrawTask:
    """Parts that one worker draws in turn."""

    parts: tuple[Part, ...]
    settings: DrawSettings

    @property
    def image_count(self) -> int:
        """Images of all its parts."""
        return sum(part.images for part in self.parts)


@dataclass
class _OpenPart:
    """A part on its way to the disk."""

    part: Part
    store: Store
    environment: dict[str, Any]
    encoded: list[Encoded] = field(default_factory=list)
    cut_prompts: dict[str, str] = field(default_factory=dict)


def draw_parts(task: DrawTask) -> int:
    """Draw the parts' images and write them, each part's record last; the number of images written.

    Encoding goes on in threads while the next batch is drawn; at most a few batches wait.
    """
    try:
        return _draw_parts(task)
    except BaseException:
        discard_unfinished(task.settings.folder)
        raise


def draw_batch(
    batch: Batch, origins: Sequence[Origin], models: ModelFiles, *, redraw: Redraw | None = None
) -> tuple[Drawing, list[str | None]]:
    """The pixels of a batch, or of its only request with the seeds of a redraw; and each image's fault."""
    from tenfold.generation.strategies import dispatch
    from tenfold.models.finiteness import noting_not_finite

    requests = batch.requests
    if redraw is not None:
        requests = (with_seeds(requests[0], redraw.seeds),)
    sources = [origin.sources for origin in origins]
    with noting_not_finite(len(requests)) as is_broken:
        drawing = dispatch.draw(_components(models, batch), requests, sources, _upscaler(models, batch))
    faults = [fault_of(image, is_finite=not broken) for image, broken in zip(drawing.images, is_broken, strict=True)]
    return drawing, faults


def forget_checkpoint() -> None:
    """Free the checkpoint that this process keeps loaded between parts."""
    _load.cache_clear()
    _load_upscaler.cache_clear()


def drawing_environment(models: ModelFiles, dtype: str) -> dict[str, Any]:
    """What the drawn bits may depend on: versions, device, dtype, threads; where asked for, if the UNet is compiled."""
    environment = describe_environment(models.device, dtype)
    kept = {name: value for name, value in environment.items() if name not in ("commit", "platform", "timm")}
    if models.compiles:
        from tenfold.models.compiling import compiler_fault

        kept["compiled"] = compiler_fault(models.device) is None
    return kept


def _draw_parts(task: DrawTask) -> int:
    settings = task.settings
    workspace = Workspace.open(settings.workspace)
    waiting: deque[tuple[_OpenPart, list[Future[Encoded]], bool]] = deque()
    with Encoder(settings.encoder_threads, with_texts=settings.in_shards) as encoder:
        numbers = itertools.chain.from_iterable(part.batch_numbers for part in task.parts)
        batches = read_batches(settings.requests, numbers)
        for part in task.parts:
            opened = _open_part(part, settings)
            for batch in itertools.islice(batches, part.batches):
                pictures = list(_draw_screened(batch, workspace, opened, settings))
                waiting.append((opened, encoder.submit(pictures), batch.number == part.batch_numbers[-1]))
                while len(waiting) > _BATCHES_AHEAD:
                    _collect(*waiting.popleft(), folder=settings.folder)
        while waiting:
            _collect(*waiting.popleft(), folder=settings.folder)
    return task.image_count


def _open_part(part: Part, settings: DrawSettings) -> _OpenPart:
    store: Store = FolderStore(settings.folder)
    if settings.in_shards:
        store = ShardStore(settings.folder, settings.set_name, part.number)
    return _OpenPart(part, store, drawing_environment(settings.models, settings.dtype))


def _draw_screened(batch: Batch, workspace: Workspace, opened: _OpenPart, settings: DrawSettings) -> Iterator[Picture]:
    """The batch's pictures in order; those that the screening refuses are drawn again, each alone."""
    origins = [find_origin(request, workspace) for request in batch.requests]
    for origin in origins:
        check_unchanged(origin, origin.record)
    drawing, faults = draw_batch(batch, origins, settings.models)
    opened.cut_prompts.update(_cut_ends(drawing, settings.models, batch))
    for position, request in enumerate(batch.requests):
        shown, place, own, near = drawing, position, batch, origins
        fault, redraw = faults[position], None
        refused: list[str] = []
        while fault is not None and len(refused) < settings.redraw_limit and redraw_seeds(request, 1):
            refused.append(fault)
            own, near, place = Batch(batch.number, (request,)), [origins[position]], 0
            redraw = Redraw(len(refused), redraw_seeds(request, len(refused)), tuple(refused))
            shown, (fault,) = draw_batch(own, near, settings.models, redraw=redraw)
        yield Picture(
            pixels=shown.images[place],
            provenance=Provenance(
                own, place, opened.environment, redraw, tuple(origin.record for origin in near),
                shown.notes[place] if shown.notes else {},
            ),
            class_number=settings.labels.index(request.label),
            fault=fault,
            mask=None if shown.masks is None else shown.masks[place],
            first_pass=None if shown.first_passes is None else shown.first_passes[place],
        )  # fmt: skip


def _collect(opened: _OpenPart, futures: Sequence[Future[Encoded]], is_last: bool, *, folder: Path) -> None:
    """Store a batch's files as they become ready, in order; with the part's last batch its record."""
    for future in futures:
        encoded = future.result()
        opened.store.add(encoded)
        opened.encoded.append(Encoded(encoded.key, {}, encoded.image))
    if is_last:
        files = opened.store.close()
        images = tuple(encoded.image for encoded in opened.encoded)
        record = PartRecord(images, tuple(files), opened.environment, opened.cut_prompts)
        write_record(folder, opened.part, record)


def _cut_ends(drawing: Drawing, models: ModelFiles, batch: Batch) -> dict[str, str]:
    """What the model could not see of prompts that are too long."""
    components = _components(models, batch)
    if components is None or not drawing.cut_prompts:
        return {}
    from tenfold.models.conditioning import cut_ends

    return cut_ends(components, drawing.cut_prompts)


def _components(models: ModelFiles, batch: Batch) -> Components | None:
    if models.checkpoint is None:
        return None
    return _load(models, batch.requests[0].model)


def _upscaler(models: ModelFiles, batch: Batch) -> Upscaler | None:
    if models.upscaler is None:
        return None
    return _load_upscaler(models.upscaler, batch.requests[0].dtype, models.device)


@lru_cache(maxsize=1)
def _load_upscaler(folder: Path, dtype: str, device: str) -> Upscaler:
    import torch

    from tenfold.models.upscaling import load_upscaler

    return load_upscaler(folder, device, getattr(torch, dtype))


@lru_cache(maxsize=1)
def _load(models: ModelFiles, model: ModelIdentity) -> Components:
    import torch

    from tenfold.models.compiling import compile_unet
    from tenfold.models.lora import load_lora
    from tenfold.models.pipelines import load_components

    assert models.checkpoint is not None
    dtype = getattr(torch, model.dtype)
    components = load_components(models.checkpoint, models.device, dtype, kinds=("text2img", "inpainting"))
    if models.adapter is not None:
        load_lora(components, models.adapter, model.adapter_scale or 0.0)
    return compile_unet(components)[0] if models.compiles else components
