"""Checkpoint references: from a Stable Diffusion checkpoint's name to its folder, checked before loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenfold.core.errors import CheckpointError, DataError, Faults
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_json, sha256_path
from tenfold.core.workspace import Workspace

EMBEDDED_PREFIX = "embedded:"
MODEL_PARTS = ("vae", "unet", "text_encoder")
OTHER_PARTS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}

_PICKLE_SUFFIXES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
_LAYOUT = "a folder in diffusers format with model_index.json, vae/, unet/, text_encoder/, tokenizer/ and scheduler/"
_CONVERT = (
    "On a machine you can spare, load it with diffusers (StableDiffusionPipeline.from_single_file for one file, "
    "from_pretrained for a folder), call save_pretrained(FOLDER, safe_serialization=True) and give FOLDER here."
)


def resolve_checkpoint(ref: str, workspace: Workspace | None = None) -> Path:
    """The folder of a checkpoint: ``embedded:base``, a folder relative to the workspace, or an absolute one.

    Raises:
        CheckpointError: there is no such folder, a part of it is missing, or its weights are pickle files.
    """
    if ref.startswith(EMBEDDED_PREFIX):
        folder = _embedded_folder(ref)
    else:
        path = Path(ref).expanduser()
        _refuse_single_file(path)
        if path.is_absolute():
            folder = path
        elif workspace is not None:
            folder = workspace.resolve(path)
        else:
            raise CheckpointError(
                f"the checkpoint {ref!r} is relative, but there is no workspace", expected="an absolute folder"
            )
    checkpoint_parts(folder)
    return folder


def checkpoint_parts(folder: Path) -> list[Path]:
    """The files and folders that make the checkpoint, without records and curves beside them; torch is not imported.

    Raises:
        CheckpointError: one error for each missing or refused part, all at once.
    """
    if not folder.is_dir():
        raise CheckpointError(
            "the checkpoint does not exist",
            where=str(folder),
            expected=_LAYOUT,
            todo="Check the name; `embedded:base` is always there. A model of this workspace is models/NAME.",
        )
    index = _read_index(folder)
    faults = Faults()
    for name in MODEL_PARTS:
        _check_model_part(folder, name, index, faults)
    for name, file_name in OTHER_PARTS.items():
        if not (folder / name / file_name).is_file():
            faults.add(_missing(folder, f"{name}/{file_name}"))
    faults.raise_if_any()
    return [folder / "model_index.json", *(folder / name for name in (*MODEL_PARTS, *OTHER_PARTS))]


def checkpoint_sha256(folder: Path) -> str:
    """64 hex digits that stand for the checkpoint's parts, wherever the folder lies and whatever lies beside them."""
    return sha256_json([[part.name, sha256_path(part)] for part in checkpoint_parts(folder)])


def _embedded_folder(ref: str) -> Path:
    if ref != f"{EMBEDDED_PREFIX}base":
        raise CheckpointError(f"there is no embedded checkpoint {ref!r}", expected="embedded:base")
    from tenfold.models.embedded import base_path

    return base_path()


def _refuse_single_file(path: Path) -> None:
    if path.suffix in _PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{path.name} is a pickle file: reading it can run any program hidden in it",
            where=str(path),
            expected=_LAYOUT,
            todo=_CONVERT,
        )
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path.name} is a single file", where=str(path), expected=_LAYOUT, todo=_CONVERT)


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        singles = sorted(entry for entry in folder.iterdir() if entry.suffix in (*_PICKLE_SUFFIXES, ".safetensors"))
        for single in singles[:1]:
            _refuse_single_file(single)
        raise _missing(folder, "model_index.json")
    try:
        index = read_json(path)
    except DataError as error:
        raise CheckpointError(error.what, where=str(path), expected=_LAYOUT) from error
    if not isinstance(index, dict):
        raise CheckpointError("model_index.json is not a JSON object", where=str(path), expected=_LAYOUT)
    return index


def _check_model_part(folder: Path, name: str, index: dict[str, Any], faults: Faults) -> None:
    part = folder / name
    if name not in index or not (part / "config.json").is_file():
        faults.add(_missing(folder, f"{name}/config.json"))
        return
    names = [entry.name for entry in part.iterdir()]
    if any(entry.endswith(".safetensors") for entry in names):
        return
    pickles = [entry for entry in names if entry.endswith(_PICKLE_SUFFIXES)]
    if pickles:
        faults.add(
            CheckpointError(
                f"the weights of {name} are a pickle file, {pickles[0]}: reading it can run any program hidden in it",
                where=str(part),
                expected="weights in safetensors",
                todo=_CONVERT,
            )
        )
    else:
        faults.add(_missing(folder, f"{name}/*.safetensors"))


def _missing(folder: Path, part: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint lacks {part}",
        where=str(folder),
        expected=_LAYOUT,
        todo="Copy or download the checkpoint again, whole.",
    )
