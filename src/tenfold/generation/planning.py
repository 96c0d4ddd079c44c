"""The plan of a generation: every request and its batch, computed before anything is drawn; torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_atomic
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.captions import SKIN_TYPE_ROMAN, skin_phrase
from tenfold.data.manifest import manifest_rows, read_manifest, select_images
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.generation.adapter import request_fields, resolve_model
from tenfold.generation.config import GenerateConfig
from tenfold.generation.requests import ImageRequest
from tenfold.models.checkpoint_ref import checkpoint_sha256

TRAINING_ROWS = "training_rows.json"
PROMPTS = "prompts.json"

_SKIN_PHRASE = re.compile(r",? ?on (?:light|medium|dark) skin, Fitzpatrick skin type ([IV]+)\b")


@dataclass(frozen=True)
class Batch:
    """Requests drawn together, in this order: the bits of an image may depend on its companions."""

    number: int
    requests: tuple[ImageRequest, ...]

    @property
    def name(self) -> str:
        """File name of the batch's record."""
        return f"batch-{self.number:05d}"


@dataclass(frozen=True)
class Plan:
    """What will be made. `ancestors`: the real images the checkpoint learned from; None when nobody recorded them."""

    batches: tuple[Batch, ...]
    ancestors: tuple[str, ...] | None
    references: Mapping[str, Mapping[str, Any]]
    """Manifest rows of the real images that are reconstructed, by image_id."""

    @property
    def requests(self) -> Iterator[ImageRequest]:
        """All requests in order."""
        return (request for batch in self.batches for request in batch.requests)

    def counts(self) -> dict[str, int]:
        """Images by label."""
        counts: dict[str, int] = {}
        for request in self.requests:
            counts[request.label] = counts.get(request.label, 0) + 1
        return counts


def plan(config: GenerateConfig, workspace: Workspace) -> Plan:
    """The plan of a run; the same config and inputs give the same plan.

    Raises:
        CheckpointError: the checkpoint is missing.
        DataError: there are no prompts, or a reference image is not in the training split.
    """
    folder, adapter = resolve_model(config, workspace)
    shared = ImageRequest(
        strategy=config.strategy,
        label="",
        checkpoint=config.checkpoint,
        checkpoint_sha256=checkpoint_sha256(folder),
        dtype=config.dtype,
        image_size_px=config.image_size_px,
        **request_fields(config, adapter),
    )
    references: dict[str, Mapping[str, Any]] = {}
    if config.strategy == "autoencoder":
        references = {str(row["image_id"]): row for row in _reference_rows(workspace, config.reference_ids)}
        requests = [replace(shared, label=str(row["label"]), skin_type=row["skin_type"], parent_id=image_id)
                    for image_id, row in references.items()]  # fmt: skip
    else:
        shared = replace(
            shared,
            negative_prompt=config.negative_prompt,
            sampler=config.sampler,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            guidance_rescale=config.guidance_rescale,
        )
        prompts = _prompts(config, folder if adapter is None else adapter.parent)
        requests = text2img_requests(shared, prompts, config.skin_types, config.images_per_class, seed=config.seed)
    return Plan(cut_batches(requests, config.batch_size), _ancestors(config, workspace, folder, adapter), references)


def text2img_requests(
    shared: ImageRequest,
    prompts: Mapping[str, Sequence[str]],
    skin_types: Sequence[int] | None,
    images_per_class: int,
    *,
    seed: int,
) -> list[ImageRequest]:
    """Requests for every label: skin types in turn, and each meets the prompts in turn.

    An image's seed depends on (seed, label, its number) only, so that more images leave the first ones as they are.
    """
    requests = []
    for label, templates in prompts.items():
        tones: Sequence[int | None] = skin_types or (None,)
        for number in range(images_per_class):
            turn, place = divmod(number, len(tones))
            prompt = prompt_for_skin_type(templates[(turn + place) % len(templates)], tones[place])
            requests.append(
                replace(
                    shared,
                    label=label,
                    prompt=prompt,
                    skin_type=named_skin_type(prompt),
                    seed=derive_seed(seed, "generate", label, number),
                )
            )
    return requests


def prompt_for_skin_type(template: str, skin_type: int | None) -> str:
    """The prompt that asks for this skin type instead of the one it names; as it is when `skin_type` is None."""
    if skin_type is None:
        return template
    return f"{_SKIN_PHRASE.sub('', template)}, {skin_phrase(skin_type)}"


def named_skin_type(prompt: str) -> int | None:
    """The Fitzpatrick type that a prompt in the house grammar names; None when it names none."""
    found = _SKIN_PHRASE.search(prompt)
    return SKIN_TYPE_ROMAN.index(found[1]) + 1 if found and found[1] in SKIN_TYPE_ROMAN else None


def cut_batches(requests: Sequence[ImageRequest], batch_size: int) -> tuple[Batch, ...]:
    """Consecutive batches. Raises DataError when two requests are the same image."""
    ids = [request.image_id for request in requests]
    if len(set(ids)) < len(ids):
        raise DataError("two requests are the same image", todo="Ask for each reference image and label once.")
    starts = range(0, len(requests), batch_size)
    return tuple(Batch(number, tuple(requests[start : start + batch_size])) for number, start in enumerate(starts))


def write_requests(plan: Plan, path: Path) -> None:
    """One row for each image: image_id, batch, position in it, and the request's fields."""
    rows = [
        {"image_id": request.image_id, "batch": batch.number, "position": position, **request.as_dict()}
        for batch in plan.batches
        for position, request in enumerate(batch.requests)
    ]
    table = pd.DataFrame(rows).astype({"seed": "Int64", "skin_type": "Int64", "num_inference_steps": "Int64"})
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def _prompts(config: GenerateConfig, checkpoint: Path) -> dict[str, tuple[str, ...]]:
    prompts = dict(config.prompts)
    if not prompts:
        path = checkpoint / PROMPTS
        if not path.is_file():
            raise DataError(
                "there are no prompts, and the checkpoint brings none of its own",
                where=str(checkpoint),
                expected="`prompts`: for each label a list of prompts",
                todo="Give prompts, or take a checkpoint that Tenfold fine-tuned.",
            )
        prompts = {label: tuple(listed) for label, listed in read_json(path)["prompts"].items()}
    chosen = config.labels or tuple(prompts)
    lacking = [label for label in chosen if not prompts.get(label)]
    if lacking:
        raise DataError(f"there is no prompt for {', '.join(lacking)}", expected="a prompt for each label")
    return {label: tuple(dict.fromkeys(prompts[label])) for label in chosen}


def _ancestors(
    config: GenerateConfig, workspace: Workspace, checkpoint: Path, adapter: Path | None
) -> tuple[str, ...] | None:
    """The real images that the checkpoint or the adapter learned from; None where one of them has no record."""
    if config.ancestors_from is not None:
        path = workspace.resolve(config.ancestors_from) / TRAINING_ROWS
        if not path.is_file():
            raise DataError("there is no record of training images", where=str(path), todo="Correct `ancestors_from`.")
        return tuple(read_json(path)["image_ids"])
    found = _recorded_ancestors(checkpoint, workspace)
    if adapter is None:
        return found
    learned = _recorded_ancestors(adapter.parent, workspace)
    return None if found is None or learned is None else tuple(sorted({*found, *learned}))


def _recorded_ancestors(folder: Path, workspace: Workspace) -> tuple[str, ...] | None:
    path = folder / TRAINING_ROWS
    if path.is_file():
        return tuple(read_json(path)["image_ids"])
    # A model from outside may have learned from anything, but not from this workspace's images.
    return None if folder.is_relative_to(workspace.path) else ()


def _reference_rows(workspace: Workspace, image_ids: Sequence[str]) -> list[dict[str, Any]]:
    manifest = read_manifest(workspace.resolve("data/manifest.parquet"))
    table = with_split(manifest, read_sealed_split(workspace.resolve("data/splits.json")))
    rows = list(manifest_rows(select_images(table, image_ids)))
    held_out = [str(row["image_id"]) for row in rows if row["split"] != "train" or row["source"] != "real"]
    if held_out:
        raise DataError(
            f"{len(held_out)} reference images are not real images of the training split: {', '.join(held_out[:5])}",
            expected="image ids of the split train",
            todo="Reconstruct training images only: the results are training images too.",
        )
    return rows
