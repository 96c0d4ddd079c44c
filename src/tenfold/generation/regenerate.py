"""Regenerating: one image made again from the record inside it, and how near the new pixels come to the old ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import CheckpointError, DataError, InputError
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.image_bytes import is_in_shard
from tenfold.data.images import decode_image
from tenfold.generation.config import WITHOUT_GENERATOR
from tenfold.generation.drawing import ModelFiles, draw_batch, drawing_environment, forget_checkpoint
from tenfold.generation.origins import check_unchanged, find_origin
from tenfold.generation.provenance import Provenance, encode_synthetic, read_provenance
from tenfold.generation.requests import ImageRequest
from tenfold.models.adapter_ref import resolve_adapter
from tenfold.models.checkpoint_ref import checkpoint_sha256, resolve_checkpoint

TOLERANCE_LEVELS = 8
"""Other batch companions, threads, builds or devices move pixels by a few of 255 levels; another seed by dozens."""

Verdict = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Report:
    """What came out.

    max_difference: in levels of 255, over all pixels and channels; None when the sizes differ. psnr_db: peak signal to
    noise ratio; None where the images are identical or of other sizes. changed: what differs in the environment, as
    (then, now). image: the new pixels (H, W, 3).
    """

    image_id: str
    path: Path
    verdict: Verdict
    max_difference: int | None
    psnr_db: float | None
    changed: Mapping[str, tuple[Any, Any]]
    image: NDArray[np.uint8]


def regenerate(
    image: str, workspace: Workspace, *, device: str | None = None, tolerance_levels: int = TOLERANCE_LEVELS
) -> Report:
    """Make an image again from the record inside its file, with its batch's companions, and compare.

    Args:
        image: an image_id of a set under synthetic/, or a path, also of a member of a shard.
        device: None is the recorded one where there is such a one here, else the processor.

    Raises:
        DataError: there is no such image, it holds no record, or an image that it starts from has changed.
        CheckpointError: a model is missing, or has other weights than drew the image.
    """
    path = _find(image, workspace)
    provenance = read_provenance(path)
    models = _models(provenance, workspace, device)
    request, threads = provenance.request, int(provenance.environment.get("threads") or 1)
    origins = []
    recorded = provenance.sources or ({},) * len(provenance.batch.requests)
    for one, sources in zip(provenance.batch.requests, recorded, strict=True):
        origins.append(find_origin(one, workspace))
        check_unchanged(origins[-1], sources)
    try:
        with limited_threads(threads):
            drawing, _ = draw_batch(provenance.batch, origins, models, redraw=provenance.redraw)
            environment = drawing_environment(models, request.dtype)
    finally:
        forget_checkpoint()
    drawn = drawing.images[provenance.position]
    if request.file_format == "jpeg":  # the codec changes pixels too
        drawn = decode_image(encode_synthetic(drawn, provenance))
    verdict, difference, psnr = compare(decode_image(path), drawn, tolerance_levels)
    then, now = ({"compiled": False, **one} for one in (provenance.environment, environment))
    changed = {name: (then.get(name), now.get(name)) for name in then | now if then.get(name) != now.get(name)}
    return Report(request.image_id, path, verdict, difference, psnr, changed, drawn)


def compare(
    old: NDArray[np.uint8], new: NDArray[np.uint8], tolerance_levels: int
) -> tuple[Verdict, int | None, float | None]:
    """The verdict, the largest difference in levels and the PSNR in dB of two images (H, W, 3)."""
    if old.shape != new.shape:
        return "different", None, None
    apart = np.abs(old.astype(np.int16) - new.astype(np.int16))
    largest = int(apart.max())
    if largest == 0:
        return "identical", 0, None
    psnr = 10 * math.log10(255**2 / float(np.mean(np.square(apart, dtype=np.float64))))
    return "within tolerance" if largest <= tolerance_levels else "different", largest, psnr


def find_image(image_id: str, workspace: Workspace) -> Path | None:
    """Where the synthetic image lies, by the manifests of the sets under synthetic/; None when none lists it."""
    for manifest in sorted(workspace.path.glob("synthetic/*/manifest.parquet")):
        found = pq.read_table(manifest, columns=["path"], filters=[("image_id", "==", image_id)])
        if found.num_rows:
            return workspace.resolve(found["path"][0].as_py())
    return None


def _find(image: str, workspace: Workspace) -> Path:
    """The path of an id or path; sets that are not finished are looked into too."""
    for path in (Path(image).expanduser().absolute(), workspace.path / image):
        if path.is_file() or is_in_shard(path):
            return path
    found = find_image(image, workspace)
    if found is None:
        unfinished = sorted(workspace.path.glob(f"synthetic/*/images/{image}.*")) if image.isalnum() else []
        found = unfinished[0] if unfinished else None
    if found is None:
        raise DataError(
            f"there is no synthetic image {image!r}",
            where=str(workspace.path / "synthetic"),
            expected="an image_id of a set's manifest.parquet, or the path of an image file",
            todo="Look the id up in the manifest or the gallery of its set.",
        )
    return found


def _models(provenance: Provenance, workspace: Workspace, device: str | None) -> ModelFiles:
    request = provenance.request
    place = _device(device, str(provenance.environment.get("device", "cpu")))
    upscaler = _weights(request.upscaler, request.upscaler_sha256, workspace)
    if request.strategy in WITHOUT_GENERATOR:
        return ModelFiles(None, None, upscaler, place)
    checkpoint = _weights(request.checkpoint, request.checkpoint_sha256, workspace)
    return ModelFiles(checkpoint, _adapter(request, workspace), upscaler, place)


def _weights(reference: str | None, sha256: str | None, workspace: Workspace) -> Path | None:
    if reference is None:
        return None
    folder = resolve_checkpoint(reference, workspace)
    _check(reference, folder, checkpoint_sha256(folder), sha256)
    return folder


def _adapter(request: ImageRequest, workspace: Workspace) -> Path | None:
    if request.adapter is None:
        return None
    path = resolve_adapter(request.adapter, workspace)
    _check(request.adapter, path, sha256_file(path), request.adapter_sha256)
    return path


def _check(reference: str, path: Path, found: str, recorded: str | None) -> None:
    if found != recorded:
        raise CheckpointError(
            f"{reference} has other weights than those that drew the image",
            where=str(path),
            expected=f"SHA-256 {recorded}",
            todo="Put the model as it was back in its place; `run.json` of the set names its files and their SHA-256.",
        )


def _device(asked: str | None, recorded: str) -> str:
    if asked is not None:
        return resolve_device(asked)
    try:
        return resolve_device(recorded)
    except InputError:
        return "cpu"
