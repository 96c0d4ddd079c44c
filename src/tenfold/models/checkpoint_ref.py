"""Checkpoint references: from a Stable Diffusion checkpoint's name to its folder, checked before loading.

Stable Diffusion 1 and 2, SDXL (a second text encoder and tokenizer), inpainting UNets and the x4 upscaler (a second
scheduler) are checkpoints; `checkpoint_kind` tells what one is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenfold.core.errors import CheckpointError, DataError, Faults
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_json, sha256_path
from tenfold.core.workspace import Workspace
from tenfold.models.adapter_ref import ADAPTER_WEIGHTS, read_adapter_record
from tenfold.models.registry import REGISTRY_PREFIX, CheckpointKind, models_folder, read_lock, registry

EMBEDDED_PREFIX = "embedded:"
MODEL_PARTS = ("vae", "unet", "text_encoder")
OTHER_PARTS = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
OPTIONAL_MODEL_PARTS = ("text_encoder_2",)
OPTIONAL_OTHER_PARTS = {"tokenizer_2": "tokenizer_config.json", "low_res_scheduler": "scheduler_config.json"}
"""Parts that a checkpoint must have when its model_index.json names them: SDXL's and the upscaler's."""

PICKLE_SUFFIXES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
_LAYOUT = "a folder in diffusers format with model_index.json, vae/, unet/, text_encoder/, tokenizer/ and scheduler/"
CONVERT_PICKLE = (
    "On a machine you can spare, load it with diffusers (StableDiffusionPipeline.from_single_file for one file, "
    "from_pretrained for a folder), call save_pretrained(FOLDER, safe_serialization=True) and give FOLDER here."
)


def resolve_checkpoint(ref: str, workspace: Workspace | None = None) -> Path:
    """The folder of a checkpoint.

    Args:
        ref: ``embedded:base``; ``registry:sd15`` or plain ``sd15`` for one that was pulled or imported; a folder
            relative to the workspace; or an absolute one.

    Raises:
        CheckpointError: there is no such folder, a part of it is missing, or its weights are pickle files.
    """
    stored = _stored_folder(ref, workspace)
    if ref.startswith(EMBEDDED_PREFIX):
        folder = _embedded_folder(ref)
    elif stored is not None:
        folder = stored
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
    models = [*MODEL_PARTS, *(name for name in OPTIONAL_MODEL_PARTS if _is_named(index, name))]
    others = OTHER_PARTS | {name: file for name, file in OPTIONAL_OTHER_PARTS.items() if _is_named(index, name)}
    for name in models:
        _check_model_part(folder, name, index, faults)
    for name, file_name in others.items():
        if not (folder / name / file_name).is_file():
            faults.add(_missing(folder, f"{name}/{file_name}"))
    faults.raise_if_any()
    return [folder / "model_index.json", *(folder / name for name in (*models, *others))]


def checkpoint_kind(folder: Path) -> CheckpointKind:
    """What a checkpoint that `checkpoint_parts` accepts is for, by its configs; torch is not imported.

    Raises:
        CheckpointError: the UNet's input channels belong to none of the kinds.
    """
    channels = int(read_json(folder / "unet" / "config.json").get("in_channels", 4))
    latent = int(read_json(folder / "vae" / "config.json").get("latent_channels", 4))
    if _is_named(_read_index(folder), "low_res_scheduler"):
        return "upscale"
    if channels == 2 * latent + 1:
        return "inpainting"
    if channels == latent:
        return "text2img"
    raise CheckpointError(
        f"the UNet takes {channels} channels where the autoencoder has {latent}",
        where=str(folder),
        expected=f"{latent} for text to image, {2 * latent + 1} for inpainting, or an upscaler",
        todo="Choose another checkpoint.",
    )


def checkpoint_sha256(folder: Path) -> str:
    """64 hex digits that stand for the checkpoint's parts, wherever the folder lies and whatever lies beside them."""
    return sha256_json([[part.name, sha256_path(part)] for part in checkpoint_parts(folder)])


def _stored_folder(ref: str, workspace: Workspace | None) -> Path | None:
    """The folder of a pulled or imported checkpoint; None when `ref` is a path or an embedded one."""
    name = ref.removeprefix(REGISTRY_PREFIX)
    is_prefixed = name != ref
    if not is_prefixed and (not name or set(name) & set("/\\:~") or name in (".", "..")):
        return None
    if not is_prefixed and workspace is not None and (workspace.path / name).exists():
        return None
    places = [models_folder()] if workspace is None else [workspace.path / "models", models_folder()]
    for place in places:
        if name in read_lock(place) and (place / name).is_dir():
            return place / name
    if not is_prefixed and name not in registry():
        return None
    raise CheckpointError(
        f"the checkpoint {name!r} is not on this machine",
        where=" or ".join(str(place) for place in places),
        expected="a checkpoint that was pulled or imported",
        todo=f"Run `tenfold models pull {name}`; without a connection, copy it from a machine that has it and run "
        f"`tenfold models import PATH --name {name}`; or name a local folder in diffusers format instead.",
    )


def _is_named(index: dict[str, Any], name: str) -> bool:
    """Whether model_index.json names the part as one that is there (an absent one stands as [null, null])."""
    value = index.get(name)
    return isinstance(value, list) and len(value) == 2 and value[0] is not None


def _embedded_folder(ref: str) -> Path:
    from tenfold.models.embedded import base_path, upscaler_path

    found = {f"{EMBEDDED_PREFIX}base": base_path, f"{EMBEDDED_PREFIX}upscaler": upscaler_path}
    if ref not in found:
        raise CheckpointError(f"there is no embedded checkpoint {ref!r}", expected=" or ".join(found))
    return found[ref]()


def _refuse_single_file(path: Path) -> None:
    if path.suffix in PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{path.name} is a pickle file: reading it can run any program hidden in it",
            where=str(path),
            expected=_LAYOUT,
            todo=CONVERT_PICKLE,
        )
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path.name} is a single file",
            where=str(path),
            expected=_LAYOUT,
            todo=f"Run `tenfold models import {path} --name NAME` once, then give registry:NAME here.",
        )


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        _refuse_adapter(folder)
        singles = sorted(entry for entry in folder.iterdir() if entry.suffix in (*PICKLE_SUFFIXES, ".safetensors"))
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


def _refuse_adapter(folder: Path) -> None:
    if (folder / ADAPTER_WEIGHTS).is_file():
        record = read_adapter_record(folder)
        base = "the checkpoint that it was trained on" if record is None else record.base_checkpoint
        raise CheckpointError(
            f"{folder.name} is a LoRA adapter, not a whole checkpoint",
            where=str(folder),
            expected=_LAYOUT,
            todo=f"The checkpoint to name is {base}; `tenfold generate` takes the adapter beside it, as `adapter`.",
        )


def _check_model_part(folder: Path, name: str, index: dict[str, Any], faults: Faults) -> None:
    part = folder / name
    if name not in index or not (part / "config.json").is_file():
        faults.add(_missing(folder, f"{name}/config.json"))
        return
    names = [entry.name for entry in part.iterdir()]
    if any(entry.endswith(".safetensors") for entry in names):
        return
    pickles = [entry for entry in names if entry.endswith(PICKLE_SUFFIXES)]
    if pickles:
        faults.add(
            CheckpointError(
                f"the weights of {name} are a pickle file, {pickles[0]}: reading it can run any program hidden in it",
                where=str(part),
                expected="weights in safetensors",
                todo=CONVERT_PICKLE,
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
