"""DreamBooth's material: all images that a run reads, with their prompts, and one model's share of it per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tenfold.core.errors import DataError, InputError
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.captions import identifier_for
from tenfold.finetuning.captions_files import read_caption_files, refuse_missing_captions
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.datasets import ImageSet, Wording, load_image_set, read_chosen_rows
from tenfold.finetuning.prior_images import read_prior_images
from tenfold.finetuning.settings import focus_margin_of, wording_of


@dataclass(frozen=True)
class Material:
    """Training, held-out and prior images, and the wording of their prompts; `notes` are for the reader."""

    wording: Wording
    instances: ImageSet
    held_out: ImageSet | None
    prior: ImageSet | None
    notes: tuple[str, ...] = ()


def per_class_configs(
    config: DreamBoothConfig, labels: Mapping[str, str], *, has_class_priors: bool = False
) -> list[DreamBoothConfig]:
    """One configuration for each class: models/NAME-LABEL, with the class's images and a seed of its own.

    Identifiers are those that one model of all classes would have.

    Args:
        labels: image id -> label, of the training and validation images.
        has_class_priors: the prior images have the classes' labels; each model is given its own ones.

    Raises:
        DataError: the label of an image is not told.
        InputError: a class's own images do not fit the settings, such as a choice by validation without such images.
    """
    unknown = [image_id for image_id in (*config.training_ids, *config.validation_ids) if image_id not in labels]
    if unknown:
        raise DataError(f"the label of image {unknown[0]} is not known", expected="a label for each image")
    names = sorted({labels[image_id] for image_id in config.training_ids})
    identifiers = config.identifiers or {label: identifier_for(number) for number, label in enumerate(names)}
    configs = []
    for label in names:
        changes: dict[str, Any] = {
            "name": f"{config.name}-{label}",
            "seed": derive_seed(config.seed, "class", label),
            "training_ids": tuple(one for one in config.training_ids if labels[one] == label),
            "validation_ids": tuple(one for one in config.validation_ids if labels[one] == label),
            "class_nouns": {key: noun for key, noun in config.class_nouns.items() if key == label},
            "identifiers": {key: token for key, token in identifiers.items() if key == label},
        }
        if has_class_priors and config.prior_manifest is not None:
            changes["prior_labels"] = (label,)
        try:
            configs.append(DreamBoothConfig(**(config.model_dump() | changes)))
        except ValidationError as error:
            told = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
            raise InputError(
                f"no model of {label} alone can be trained with these settings: {told}",
                where=f"class {label}, with {len(changes['training_ids'])} training and "
                f"{len(changes['validation_ids'])} validation images",
                todo="Change the settings, leave the class out, or train one model of all classes.",
            ) from error
    return configs


def caption_folder(config: DreamBoothConfig, workspace: Workspace) -> Path | None:
    """The folder of caption files: as given, or relative to the workspace."""
    if config.caption_files is None:
        return None
    path = Path(config.caption_files).expanduser()
    return path if path.is_absolute() else workspace.resolve(path)


def read_material(
    config: DreamBoothConfig, workspace: Workspace, image_size_px: int, base_ids: Sequence[str]
) -> Material:
    """Read and check everything that the configuration names.

    Args:
        base_ids: real images that the base was fine-tuned on.

    Raises:
        DataError: an image of a wrong split, a held-out image that is a training image or of a label that no training
            image shows, or a missing caption.
    """
    rows, held_out_rows = read_chosen_rows(workspace, config.training_ids, config.validation_ids, base_ids)
    wording = wording_of(config, rows, held_out_rows)
    notes: list[str] = []
    folder = caption_folder(config, workspace)
    if folder is not None:
        rows, held_out_rows = _with_caption_files(folder, rows, held_out_rows, notes)
    margin = focus_margin_of(config)
    instances = _images(workspace, rows, wording, image_size_px, margin)
    held_out = _images(workspace, held_out_rows, wording, image_size_px, margin) if held_out_rows else None
    if len(instances.whole_ids) == len(rows):
        raise DataError(
            "focus=mask, but no training image has a mask with a lesion in it",
            expected="masks of the training images (mask_path in the manifest)",
            todo="Import the images with their masks, or set focus=image.",
        )
    whole = [*instances.whole_ids, *(held_out.whole_ids if held_out else ())]
    if whole:
        shown = ", ".join(whole[:5]) + (" ..." if len(whole) > 5 else "")
        notes.append(f"{len(whole)} images have no mask, or an empty one, and are learned whole: {shown}")
    prior = None
    if config.prior_manifest is not None:
        prior = read_prior_images(
            workspace,
            config.prior_manifest,
            training_ids=sorted({*config.training_ids, *base_ids}),
            image_size_px=image_size_px,
            labels=config.prior_labels,
        )
    return Material(wording, instances, held_out, prior, tuple(notes))


def _images(
    workspace: Workspace, rows: Sequence[Mapping[str, Any]], wording: Wording, size_px: int, margin: float | None
) -> ImageSet:
    return load_image_set(workspace, rows, [wording.prompt(row) for row in rows], size_px, focus_margin=margin)


def _with_caption_files(
    folder: Path, rows: Sequence[dict[str, Any]], held_out_rows: Sequence[dict[str, Any]], notes: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows with their files' captions; a held-out image without a file keeps its own."""
    captions = read_caption_files(folder, [*rows, *held_out_rows])
    refuse_missing_captions(captions, rows, folder)
    lacking = [str(row["image_id"]) for row in held_out_rows if str(row["image_id"]) not in captions]
    if lacking:
        notes.append(f"{len(lacking)} validation images have no caption file and keep the manifest's: {lacking[0]} ...")

    def told(row: dict[str, Any]) -> dict[str, Any]:
        caption = captions.get(str(row["image_id"]))
        return row if caption is None else {**row, "caption": caption, "attr.caption_source": "file"}

    return [told(row) for row in rows], [told(row) for row in held_out_rows]
