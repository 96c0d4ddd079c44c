"""Adapter references: from a LoRA's name to its file and its record, without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from tenfold.core.errors import CheckpointError, DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.workspace import Workspace

ADAPTER_WEIGHTS = "pytorch_lora_weights.safetensors"
ADAPTER_RECORD = "adapter.json"

_LAYOUT = f"a folder with {ADAPTER_WEIGHTS}, or one .safetensors file"


@dataclass(frozen=True)
class AdapterRecord:
    """What an adapter was trained on and how large it is; lies beside its weights."""

    base_checkpoint: str
    """The checkpoint's reference, for people; `base_sha256` says which weights."""
    base_sha256: str
    rank: int
    alpha: float
    parts: tuple[str, ...]
    """unet, text_encoder, text_encoder_2."""


def write_adapter_record(folder: Path, record: AdapterRecord) -> Path:
    """Write ``folder/adapter.json``."""
    write_json_atomic(folder / ADAPTER_RECORD, asdict(record))
    return folder / ADAPTER_RECORD


def read_adapter_record(path: Path) -> AdapterRecord | None:
    """The record beside an adapter's weights; None for an adapter from outside.

    Raises:
        CheckpointError: the record is damaged.
    """
    file = adapter_file(path).parent / ADAPTER_RECORD
    if not file.is_file():
        return None
    try:
        content = read_json(file)
        return AdapterRecord(**{**content, "parts": tuple(content["parts"])})
    except (DataError, TypeError, KeyError) as error:
        raise CheckpointError(
            "the adapter's record is damaged", where=str(file), todo="Copy the adapter again, whole."
        ) from error


def resolve_adapter(ref: str, workspace: Workspace | None = None) -> Path:
    """The weights of an adapter: models/NAME of the workspace, or an absolute folder or .safetensors file.

    Raises:
        CheckpointError: there is none, or it is a pickle file.
    """
    path = Path(ref).expanduser()
    if path.is_absolute():
        return adapter_file(path)
    if workspace is None:
        raise CheckpointError(
            f"the adapter {ref!r} is relative, but there is no workspace", expected="an absolute path"
        )
    return adapter_file(workspace.resolve(path))


def adapter_file(path: Path) -> Path:
    """The weights file of an adapter's folder, or the file itself. CheckpointError when there is none."""
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        raise CheckpointError(
            f"{path.name} is a pickle file: reading it can run any program hidden in it",
            where=str(path),
            expected=_LAYOUT,
            todo="Load it with diffusers on a machine you can spare and save it again with safe_serialization=True.",
        )
    file = path / ADAPTER_WEIGHTS if path.is_dir() else path
    if not file.is_file() or file.suffix != ".safetensors":
        raise CheckpointError(
            "there is no LoRA adapter",
            where=str(path),
            expected=_LAYOUT,
            todo="Check the name; an adapter of this workspace is models/NAME, trained with method=lora.",
        )
    return file
