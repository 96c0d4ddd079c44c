"""What the checks measure of every canonical image: features, a gray thumbnail and its contrast, in data/features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.config import StageConfig
from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic
from tenfold.core.hashing import sha256_json
from tenfold.core.progress import Progress
from tenfold.core.run_record import begin_stage
from tenfold.core.workspace import Workspace

STAGE = "features"
FOLDER = "data/features"
THUMBNAIL_PX = 48
_PART_IMAGES = 512


class Rows(Protocol):
    """An array, or its rows as they are asked for: `rows[:]` are all of them, `rows[places]` some."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Measures:
    """Of N images in the manifest's order: `features` (N, D) float32 of the embedded net, `thumbnails` (N, 48, 48) gray
    uint8, `contrast` (N,) float32, the standard deviation of gray levels, 0 (one level) to 127.5.

    They stay on disk: of a hundred thousand images the thumbnails alone are 230 MB.
    """

    features: Rows
    thumbnails: Rows
    contrast: Rows


@dataclass(frozen=True)
class _Part:
    """Images to measure together, and the file for their measures."""

    root: Path
    paths: tuple[str, ...]
    target: Path


class _FeaturesConfig(StageConfig):
    """The measures follow from the images, named here, and the embedded net."""

    images: str
    """SHA-256 of the images' paths and of the SHA-256 of their bytes, in order."""


def measure_images(manifest: pd.DataFrame, workspace: Workspace, executor: Executor, progress: Progress) -> Measures:
    """The measures of every image of the manifest, from data/features where they were taken before of these images.

    Parts of 512 images are written as they are done, so that an interrupted run resumes. DataError when an image is
    missing or damaged.
    """
    from tenfold.models import embedded

    paths = manifest["path"].astype(str).tolist()
    # Not the manifest: intake measures before it writes one, and other columns change no measure.
    config = _FeaturesConfig(images=sha256_json([paths, manifest["sha256"].astype(str).tolist()]))
    stage = begin_stage(workspace, STAGE, FOLDER, config, [embedded.features_path()], seed=0)
    starts = range(0, len(paths), _PART_IMAGES)
    parts = [
        _Part(
            workspace.path, tuple(paths[start : start + _PART_IMAGES]), stage.folder / f"part_{number:05d}.safetensors"
        )
        for number, start in enumerate(starts)
    ]
    if not stage.is_finished:
        to_do = [part for part in parts if not part.target.is_file()]
        with progress.task("Measuring images", len(to_do)) as task:
            for _ in executor.map(_measure, to_do):
                task.advance()
        stage.finish([part.target for part in parts], {"images": len(paths), "parts": len(parts)})
    targets = [part.target for part in parts]
    return Measures(*(_StoredRows(name, targets, len(paths)) for name in Measures.__dataclass_fields__))


def _measure(part: _Part) -> int:
    from safetensors.numpy import save_file

    from tenfold.data.images import decode_image
    from tenfold.models.features import extract_features

    images = [decode_image(part.root / path) for path in part.paths]
    features = (
        np.concatenate([extract_features(image[None]) for image in images])
        if _differ(images)
        else (extract_features(np.stack(images)))
    )
    gray = [Image.fromarray(image).convert("L") for image in images]
    thumbnails = np.stack([np.asarray(_thumbnail(image), dtype=np.uint8) for image in gray])
    contrast = np.array([np.asarray(image, dtype=np.float64).std() for image in gray], dtype=np.float32)
    with write_atomic(part.target) as temporary:
        save_file({"features": features, "thumbnails": thumbnails, "contrast": contrast}, temporary)
    return len(images)


def _differ(images: Sequence[NDArray[np.uint8]]) -> bool:
    return len({image.shape for image in images}) > 1


def _thumbnail(image: Image.Image) -> Image.Image:
    return image.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)


@dataclass(frozen=True)
class _StoredRows:
    """The rows of one measure in the files of its parts; each file is read when rows of it are asked for."""

    name: str
    files: Sequence[Path]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """The rows of these places, in order. DataError when a file cannot be read."""
        places = np.arange(self.count)[key]
        of_part = places // _PART_IMAGES
        result: NDArray[Any] | None = None
        for number in np.unique(of_part).tolist():
            rows = _read(self.files[number], self.name)
            if result is None:
                result = np.empty((len(places), *rows.shape[1:]), dtype=rows.dtype)
            mine = of_part == number
            result[mine] = rows[places[mine] - number * _PART_IMAGES]
        return np.empty((0, 1), dtype=np.float32) if result is None else result


def _read(path: Path, name: str) -> NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found: NDArray[Any] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"the measures of some images cannot be read: {error}", where=str(path),
            todo="remove the folder data/features of the workspace and check again",
        ) from error  # fmt: skip
    return found
