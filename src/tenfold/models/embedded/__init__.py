"""The embedded models: a miniature Stable Diffusion, an upscaler and a feature net, shipped and checked before use."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_file

_FOLDER = Path(__file__).parent
_DIGESTS = "digests.json"
_TODO = "Install the package again; scripts/train_embedded_base.py and train_embedded_upscaler.py train weights anew."
NAMES = ("base", "features", "upscaler")


def base_path() -> Path:
    """Folder of the base, in diffusers format.

    Raises:
        CheckpointError: a file of it is missing or is not the one that was shipped.
    """
    return verified(_FOLDER, "base")


def features_path() -> Path:
    """Folder of the feature net: ``model.safetensors`` and ``config.json``.

    Raises:
        CheckpointError: a file of it is missing or is not the one that was shipped.
    """
    return verified(_FOLDER, "features")


def upscaler_path() -> Path:
    """Folder of the miniature upscaler (16 to 64 px), in the format of diffusers' StableDiffusionUpscalePipeline.

    Raises:
        CheckpointError: a file of it is missing or is not the one that was shipped.
    """
    return verified(_FOLDER, "upscaler")


def verified(folder: Path, name: str) -> Path:
    """``folder/name`` after each of its files was compared with ``folder/digests.json``.

    Raises:
        CheckpointError: names all files that are missing or damaged.
    """
    digests = folder / _DIGESTS
    if not digests.is_file():
        raise CheckpointError(
            "the list of embedded files is missing", where=str(digests), expected=_DIGESTS, todo=_TODO
        )
    wanted = {path: digest for path, digest in read_json(digests).items() if path.startswith(f"{name}/")}
    found = {path: sha256_file(folder / path) if (folder / path).is_file() else "" for path in wanted}
    missing = sorted(path for path in wanted if not found[path])
    damaged = sorted(path for path, digest in wanted.items() if found[path] not in ("", digest))
    if missing or damaged or not wanted:
        told = [f"{path} is missing" for path in missing] + [f"{path} is damaged" for path in damaged]
        raise CheckpointError(
            f"the embedded model {name!r} is not whole: {'; '.join(told) or 'no file of it is listed'}",
            where=str(folder),
            expected=f"the {len(wanted)} files of {_DIGESTS} with their SHA-256",
            todo=_TODO,
        )
    return folder / name


def digests_of(folder: Path, names: tuple[str, ...] = NAMES) -> dict[str, str]:
    """SHA-256 of every file of the named models, by path relative to ``folder``; for the script that ships weights."""
    files = sorted(path for name in names for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
