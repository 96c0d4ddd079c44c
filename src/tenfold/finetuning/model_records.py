"""The records of a fine-tuned model: which images it saw, what the run was asked for, and its saved parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.run_record import hash_inputs
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.finetuning.checkpointing import newest_identity, refuse_other_run
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.loop import CHECKPOINTS
from tenfold.models.adapter_ref import AdapterRecord, write_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_parts, checkpoint_sha256
from tenfold.models.lora import save_lora
from tenfold.models.pipelines import Components, save_components

TRAINING_ROWS = "training_rows.json"


def base_inputs(workspace: Workspace, base: Path) -> list[Path]:
    """The files that every fine-tuning reads: manifest, split, and the base with its own training record."""
    record = [base / TRAINING_ROWS] if (base / TRAINING_ROWS).is_file() else []
    data = [workspace.resolve("data/manifest.parquet"), workspace.resolve("data/splits.json")]
    return [*data, *checkpoint_parts(base), *record]


def base_image_ids(base: Path, workspace: Workspace) -> tuple[str, ...]:
    """Real images that the base itself was trained on; none for a base from outside.

    Of the archive that a base was pretrained on those count that are in this workspace now, imported later perhaps.
    """
    path = base / TRAINING_ROWS
    if not path.is_file():
        return ()
    record = read_json(path)
    archive = record.get("archive_image_ids", ())
    own = read_manifest(workspace.resolve("data/manifest.parquet"))["image_id"].astype(str) if archive else ()
    return tuple(dict.fromkeys([*record["image_ids"], *sorted(set(archive) & set(own))]))


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
    folder: Path, instances: ImageSet, held_out: ImageSet | None, prior: ImageSet | None, base_ids: Sequence[str]
) -> Path:
    """``training_rows.json``: `image_ids` are all real images that the model descends from."""
    rows = zip(instances.image_ids, instances.labels, instances.prompts, strict=True)
    record = {
        "image_ids": sorted({*instances.image_ids, *base_ids}),
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
    """Write the LoRA and its record, of (base's reference, rank, alpha); the files written."""
    weights = save_lora(components, folder)
    base_ref, rank, alpha = record
    written = write_adapter_record(
        folder, AdapterRecord(base_ref, checkpoint_sha256(base), rank, alpha, parts=tuple(trained))
    )
    return [weights, written]
