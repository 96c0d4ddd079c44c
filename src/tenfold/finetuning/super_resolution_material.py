"""What a super-resolution run reads: checked training images and held-out pairs, as large as the workspace has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenfold.core.workspace import Workspace
from tenfold.data.captions import class_noun, template_caption
from tenfold.data.datasets import load_images
from tenfold.data.manifest import make_manifest
from tenfold.finetuning.datasets import ImageSet, read_chosen_rows
from tenfold.finetuning.degradation import Degradation
from tenfold.finetuning.super_resolution_pairs import HeldOutPairs, held_out_pairs, refuse_small_images
from tenfold.models.upscaling import Upscaler


@dataclass(frozen=True)
class Chosen:
    """image_ids to train on and to hold out, and those that the base has seen already."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    base: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """Training images, held-out pairs (None without validation images) and the patients of those pairs."""

    training: ImageSet
    held_out: HeldOutPairs | None
    patients: tuple[str, ...]


def read_material(
    workspace: Workspace, chosen: Chosen, upscaler: Upscaler, degradation: Degradation, *, seed: int
) -> Material:
    """Read the images.

    Raises:
        DataError: a training image is not in the training split; a validation image is in the test split, is trained
            on, or was seen by the base; or images are smaller than the upscaler's pictures.
    """
    training_rows, rows = read_chosen_rows(workspace, chosen.training, chosen.validation, chosen.base)
    size_px = upscaler.image_size_px
    training = _image_set(workspace, training_rows, size_px)
    if not rows:
        return Material(training, None, ())
    pairs = held_out_pairs(_image_set(workspace, rows, size_px), size_px, upscaler.scale, degradation, seed=seed)
    patients = tuple(str(row["patient_id"] or row["group_id"] or row["image_id"]) for row in rows)
    return Material(training, pairs, patients)


def _image_set(workspace: Workspace, rows: Sequence[Mapping[str, Any]], image_size_px: int) -> ImageSet:
    """The images with their captions; DataError when they are too small."""
    images = load_images(workspace, make_manifest(rows))
    refuse_small_images(images, image_size_px)
    prompts = [
        row["caption"] or template_caption(class_noun(row["label"], {}), skin_type=row["skin_type"], site=row["site"])
        for row in rows
    ]
    return ImageSet(
        tuple(str(row["image_id"]) for row in rows), tuple(str(row["label"]) for row in rows), tuple(prompts), images
    )
