"""Drawing: one batch of the plan, from the checkpoint to files on the disk, in whatever process it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.environment import describe_environment
from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_bytes_atomic, write_json_atomic
from tenfold.core.hashing import sha256_bytes, sha256_file
from tenfold.data.images import encode_png
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.generation.planning import Batch
from tenfold.generation.provenance import provenance_text
from tenfold.generation.requests import ModelIdentity

if TYPE_CHECKING:
    from tenfold.models.pipelines import Components


@dataclass(frozen=True)
class DrawTask:
    """One batch and where everything lies; plain enough to be sent to another process."""

    batch: Batch
    checkpoint: Path
    adapter: Path | None
    """The weights of a LoRA that is merged into the checkpoint."""
    device: str
    images_folder: Path
    records_folder: Path
    reference_paths: tuple[Path, ...] = ()
    """The parents' files in the batch's order, for the strategy autoencoder."""

    @property
    def record_path(self) -> Path:
        """Where the batch says that it is done."""
        return self.records_folder / f"{self.batch.name}.json"


@dataclass(frozen=True)
class DrawnImage:
    """What the manifest tells about a written file."""

    sha256: str
    phash: str
    width_px: int
    height_px: int


def draw_batch(task: DrawTask) -> int:
    """Draw and write the batch's images, then its record; the number of images written."""
    from tenfold.generation.strategies import autoencoder, text2img

    requests = task.batch.requests
    components = _load(task.checkpoint, task.adapter, requests[0].model, task.device)
    if requests[0].strategy == "autoencoder":
        images, cut = autoencoder.draw(components, requests, task.reference_paths), []
    else:
        images, cut = text2img.draw(components, requests), text2img.cut(components, requests)
    environment = _environment(task.device, requests[0].dtype)
    drawn: dict[str, dict[str, Any]] = {}
    for position, (request, image) in enumerate(zip(requests, images, strict=True)):
        data = encode_png(image, provenance_text(task.batch, position, environment))
        write_bytes_atomic(task.images_folder / f"{request.image_id}.png", data)
        height_px, width_px = image.shape[:2]
        drawn[request.image_id] = {
            "sha256": sha256_bytes(data),
            "phash": perceptual_hash(image),
            "width_px": width_px,
            "height_px": height_px,
        }
    write_json_atomic(task.record_path, {"images": drawn, "cut_prompts": cut})
    return len(requests)


def read_drawn(task: DrawTask) -> Mapping[str, DrawnImage] | None:
    """The batch's images when all of them lie there as recorded; None when any must be drawn again."""
    if not task.record_path.exists():
        return None
    try:
        images = {image_id: DrawnImage(**fields) for image_id, fields in read_json(task.record_path)["images"].items()}
    except (DataError, KeyError, TypeError, AttributeError):
        return None
    if set(images) != {request.image_id for request in task.batch.requests}:
        return None
    for image_id, image in images.items():
        path = task.images_folder / f"{image_id}.png"
        if not path.is_file() or sha256_file(path) != image.sha256:
            return None
    return images


def read_cut_prompts(task: DrawTask) -> list[str]:
    """Prompts of a drawn batch whose ends the model could not see."""
    return list(read_json(task.record_path)["cut_prompts"])


def forget_checkpoint() -> None:
    """Free the checkpoint that this process keeps loaded between batches."""
    _load.cache_clear()


@lru_cache(maxsize=1)
def _load(checkpoint: Path, adapter: Path | None, model: ModelIdentity, device: str) -> Components:
    import torch

    from tenfold.models.lora import load_lora
    from tenfold.models.pipelines import load_components

    components = load_components(checkpoint, device, getattr(torch, model.dtype))
    if adapter is not None:
        load_lora(components, adapter, model.adapter_scale or 0.0)
    return components


def _environment(device: str, dtype: str) -> dict[str, Any]:
    environment = describe_environment(device, dtype)
    return {name: value for name, value in environment.items() if name not in ("commit", "platform", "timm")}
