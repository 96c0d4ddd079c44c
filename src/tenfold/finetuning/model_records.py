"""The records of a fine-tuned model: which images it saw, what the run was asked for, and its saved parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from tenfold.core.files import write_json_atomic
from tenfold.core.run_record import hash_inputs
from tenfold.core.workspace import Workspace
from tenfold.finetuning.checkpointing import CHECKPOINTS, newest_identity, refuse_other_run
from tenfold.finetuning.datasets import ImageSet
from tenfold.models.adapter_ref import AdapterRecord, write_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_parts, checkpoint_sha256
from tenfold.models.learned_images import TRAINING_ROWS, LearnedImages, learned_images
from tenfold.models.lora import save_lora
from tenfold.models.pipelines import Components, save_components


class _Listed(Protocol):
    @property
    def image_ids(self) -> tuple[str, ...]: ...


def base_inputs(workspace: Workspace, base: Path) -> list[Path]:
    """The files that every fine-tuning reads: manifest, split, and the base with its own training record."""
    record = [base / TRAINING_ROWS] if (base / TRAINING_ROWS).is_file() else []
    data = [workspace.resolve("data/manifest.parquet"), workspace.resolve("data/splits.json")]
    return [*data, *checkpoint_parts(base), *record]


def learned_by_base(base: Path, workspace: Workspace) -> LearnedImages:
    """Real images that the base itself was trained on; none for a base from outside."""
    return learned_images(base, workspace) or LearnedImages()


def training_identity(config: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """What a run must share with the checkpoint that it resumes from: its settings, and the content of its inputs."""
    return {**config, **{f"content of {name}": sha256 for name, sha256 in inputs.items()}}


def refuse_other_training(
    workspace: Workspace, stage: str, folder: Path, config: BaseModel, inputs: Sequence[Path]
) -> None:
    """InputError, with the differences named, when another run's half-done training lies in `folder`.

    To be asked before `begin_stage`, which removes the unfinished work of another run.
    """
    if (folder / "run.json").exists():
        return
    found = newest_identity(folder / CHECKPOINTS)
    if found:
        wanted = training_identity(config.model_dump(mode="json"), hash_inputs(workspace, stage, inputs))
        refuse_other_run(found, wanted, folder)


def write_training_rows(
    folder: Path, instances: ImageSet, held_out: _Listed | None, prior: ImageSet | None, base: LearnedImages
) -> Path:
    """``training_rows.json``: `image_ids` are all real images of the workspace that the model descends from.

    Args:
        base: what its base has learned; kept in the record, so that no image is forgotten from model to model.
    """
    rows = zip(instances.image_ids, instances.labels, instances.prompts, strict=True)
    record = {
        "image_ids": sorted({*instances.image_ids, *base.image_ids}),
        "archive_image_ids": list(base.archive_image_ids),
        "rows": [{"image_id": image_id, "label": label, "prompt": prompt} for image_id, label, prompt in rows],
        "validation_ids": [] if held_out is None else list(held_out.image_ids),
        "prior_ids": [] if prior is None else list(prior.image_ids),
    }
    write_json_atomic(folder / TRAINING_ROWS, record)
    return folder / TRAINING_ROWS


def save_full_model(components: Components, folder: Path, base: Path, trained: Sequence[str]) -> list[Path]:
    """Write the checkpoint, what was not trained copied from the base; the files and folders written."""
    save_components(components, folder, source=base, trained=tuple(trained))
    return checkpoint_parts(folder)


def save_adapter(
    components: Components, folder: Path, base: Path, trained: Sequence[str], record: tuple[str, int, float]
) -> list[Path]:
    """Write the LoRA and its record; the files written."""
    return [save_lora(components, folder), record_adapter(folder, base, trained, record)]


def record_adapter(folder: Path, base: Path, trained: Sequence[str], record: tuple[str, int, float]) -> Path:
    """Write the record of an adapter, of (base's reference, rank, alpha), beside its weights."""
    base_ref, rank, alpha = record
    return write_adapter_record(
        folder, AdapterRecord(base_ref, checkpoint_sha256(base), rank, alpha, parts=tuple(trained))
    )
