"""Single-file checkpoints: a .safetensors in Stability's own layout becomes a diffusers folder, without a network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.files import storage_errors
from tenfold.models.checkpoint_ref import CONVERT_PICKLE, PICKLE_SUFFIXES, checkpoint_kind, checkpoint_parts
from tenfold.models.registry import CheckpointKind, check_name, models_folder, read_lock, registry
from tenfold.models.registry_pull import check_kind, refuse_occupied, settle

_UNET = "model.diffusion_model."
_FIRST_LAYER = f"{_UNET}input_blocks.0.0.weight"
_PIPELINES = {
    ("text2img", False): "StableDiffusionPipeline",
    ("text2img", True): "StableDiffusionXLPipeline",
    ("inpainting", False): "StableDiffusionInpaintPipeline",
    ("inpainting", True): "StableDiffusionXLInpaintPipeline",
    ("upscale", False): "StableDiffusionUpscalePipeline",
}
_MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class SingleFile:
    """What the header of a single-file checkpoint tells, before any weight is read."""

    kind: CheckpointKind
    is_xl: bool
    dtype: str
    """The UNet's, as torch names it."""
    like: str | None
    """The registry's checkpoint of the same architecture, None when it has none."""


def read_single_file(path: Path) -> SingleFile:
    """What a file holds, by its header.

    Raises:
        CheckpointError: it is a pickle, damaged, a LoRA, or holds no Stable Diffusion model.
    """
    if path.suffix in PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{path.name} is a pickle file: reading it can run any program hidden in it",
            where=str(path),
            expected="a .safetensors file",
            todo=CONVERT_PICKLE,
        )
    tensors = _read_header(path)
    if _FIRST_LAYER not in tensors:
        is_lora = any("lora" in name for name in tensors)
        raise CheckpointError(
            f"{path.name} is a LoRA, not a whole model" if is_lora else f"{path.name} holds no Stable Diffusion UNet",
            where=str(path),
            expected="a whole checkpoint in one file: UNet, autoencoder and text encoder",
            todo="Name the base model as checkpoint and this file as adapter."
            if is_lora
            else "Download the whole checkpoint, or give its diffusers folder.",
        )
    channels = int(tensors[_FIRST_LAYER]["shape"][1])
    is_xl = any(name.startswith("conditioner.embedders.1.") for name in tensors)
    is_second = any(name.startswith("cond_stage_model.model.") for name in tensors)
    kinds: dict[int, CheckpointKind] = {7: "upscale", 9: "inpainting", 17: "inpainting"}
    kind = kinds.get(channels, "text2img")
    likes = {
        ("text2img", False, False): "sd15",
        ("inpainting", False, False): "sd15-inpainting",
        ("text2img", False, True): "sd21-base",
        ("text2img", True, False): "sdxl-base",
        ("upscale", False, True): "x4-upscaler",
    }
    dtypes = {"F16": "float16", "BF16": "bfloat16"}
    dtype = dtypes.get(str(tensors[_FIRST_LAYER]["dtype"]), "float32")
    return SingleFile(kind, is_xl, dtype, likes.get((kind, is_xl, is_second)))


def import_single_file(path: Path, name: str, folder: Path, like: Path | None = None) -> Path:
    """Convert a single file to the diffusers folder ``folder/name``; its folder.

    Args:
        like: a diffusers folder of the same architecture, for configs and tokenizer; its weights are not read and need
            not be there. None takes the registry's own, if it was pulled or imported.

    Raises:
        InputError: no folder of the same architecture is known.
        CheckpointError: the file is refused or does not have the architecture of `like`.
    """
    check_name(name)
    found = read_single_file(path)
    target = folder / name
    refuse_occupied(target)
    configs = _configs(like, found, folder)
    with tempfile.TemporaryDirectory(prefix=".tmp-import-", dir=_existing(folder)) as scratch:
        converted = Path(scratch) / name
        with storage_errors(target):
            _convert(path, found, configs, converted)
        checkpoint_parts(converted)
        if checkpoint_kind(converted) != found.kind:
            raise _unlike(path, configs, f"the file is for {found.kind}")
        check_kind(converted, name)
        entry = registry().get(name)
        return settle(converted, target, origin=f"file:{path.name}", license_name=entry.license if entry else "")


def _convert(path: Path, found: SingleFile, configs: Path, target: Path) -> None:
    import diffusers
    import torch

    from tenfold.models.pipelines import quiet_loading

    kind = getattr(diffusers, _PIPELINES[found.kind, found.is_xl])
    with quiet_loading():
        try:
            pipeline = kind.from_single_file(
                str(path), config=str(configs), local_files_only=True, torch_dtype=getattr(torch, found.dtype)
            )
        except (OSError, ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
            raise _unlike(path, configs, _first_line(error)) from error
        except Exception as error:
            if type(error).__name__ not in ("SafetensorError", "SingleFileComponentError"):
                raise
            raise _unlike(path, configs, _first_line(error)) from error
        pipeline.save_pretrained(target, safe_serialization=True)


def _configs(like: Path | None, found: SingleFile, folder: Path) -> Path:
    if like is not None:
        if not (like / "model_index.json").is_file():
            raise InputError(
                "there are no configs in the folder given as --like",
                where=str(like),
                expected="a diffusers folder with model_index.json; its weights are not needed",
            )
        return like
    for place in (folder, models_folder()):
        if found.like is not None and found.like in read_lock(place) and (place / found.like).is_dir():
            return place / found.like
    example = found.like or "a checkpoint of the same architecture"
    pulls = f"run `tenfold models pull {found.like}` first, or " if found.like else ""
    raise InputError(
        "a single file carries weights only: its configs and tokenizer are not on this machine",
        expected=f"the diffusers folder of {example}; its .json and .txt files are enough",
        todo=f"With a connection {pulls}give --like FOLDER.",
    )


def _read_header(path: Path) -> Mapping[str, Any]:
    """Names, shapes and dtypes of a .safetensors file; see the format: 8 bytes of length, then JSON."""
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            text = stream.read(size) if size <= _MOST_HEADER_BYTES else b""
        header = json.loads(text)
        total = max((value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"), default=0)
        if path.stat().st_size != 8 + size + total:
            raise ValueError("the file is shorter or longer than its header says")
    except FileNotFoundError as error:
        raise CheckpointError("the file does not exist", where=str(path), expected="a .safetensors file") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{path.name} is not a whole .safetensors file: {_first_line(error)}",
            where=str(path),
            expected="a .safetensors file",
            todo="Download or copy it again.",
        ) from error
    return {key: value for key, value in header.items() if key != "__metadata__"}


def _existing(folder: Path) -> Path:
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unlike(path: Path, configs: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} cannot be read as a checkpoint like {configs.name}: {reason}",
        where=str(path),
        expected="a file with the architecture of the --like folder",
        todo="Give --like a diffusers folder of the model that this file descends from.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
