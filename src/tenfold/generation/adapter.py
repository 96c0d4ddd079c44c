"""The adapter of a generation: which LoRA is merged into the checkpoint before it draws, and what comes with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.models.adapter_ref import ADAPTER_RECORD, read_adapter_record, resolve_adapter
from tenfold.models.checkpoint_ref import checkpoint_sha256, resolve_checkpoint


def resolve_model(config: GenerateConfig, workspace: Workspace) -> tuple[Path, Path | None]:
    """The checkpoint's folder, and the adapter's weights file where one is asked for.

    Raises:
        CheckpointError: one of them is missing or damaged.
    """
    adapter = None if config.adapter is None else resolve_adapter(config.adapter, workspace)
    return resolve_checkpoint(config.checkpoint, workspace), adapter


def request_fields(config: GenerateConfig, adapter: Path | None) -> Mapping[str, Any]:
    """What a request says of the adapter; nothing where there is none, so that such images keep their names."""
    if adapter is None:
        return {}
    return {
        "adapter": config.adapter,
        "adapter_sha256": sha256_file(adapter),
        "adapter_scale": config.adapter_scale,
    }


def adapter_inputs(adapter: Path | None, records: tuple[str, ...]) -> list[Path]:
    """The adapter's files that a run reads; of `records` those that lie beside the weights."""
    if adapter is None:
        return []
    return [adapter, *(path for name in (ADAPTER_RECORD, *records) if (path := adapter.parent / name).is_file())]


def other_base(adapter: Path | None, checkpoint: Path) -> str | None:
    """The reference of the checkpoint that the adapter was trained on, where that is not the one that draws."""
    record = None if adapter is None else read_adapter_record(adapter)
    if record is None or record.base_sha256 == checkpoint_sha256(checkpoint):
        return None
    return record.base_checkpoint
