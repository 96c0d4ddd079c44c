"""Inpainting's material: the images that a run reads, with their prompts and, where asked for, their lesion masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.workspace import Workspace
from tenfold.finetuning.datasets import ImageSet, Wording, load_image_set, read_chosen_rows, read_rows
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.settings import wording_of
from tenfold.finetuning.training_masks import LesionMasks, read_lesion_masks, refuse_without_masks


@dataclass(frozen=True)
class MaskedImages:
    """Images and their lesion masks (N, S, S), empty where there is none; None where masks are drawn at random."""

    images: ImageSet
    lesions: NDArray[np.bool_] | None


@dataclass(frozen=True)
class InpaintingMaterial:
    """Training and held-out images, and the wording of their prompts; `notes` are for the reader."""

    wording: Wording
    training: MaskedImages
    held_out: MaskedImages | None
    notes: tuple[str, ...]

    @property
    def mean_lesion_share(self) -> float | None:
        """Mean share of a training image that its lesion mask covers, of those that have one."""
        lesions = self.training.lesions
        if lesions is None or not lesions.any():
            return None
        return float(lesions[lesions.any(axis=(1, 2))].mean())


def mask_files(config: InpaintingConfig, workspace: Workspace) -> list[Path]:
    """The mask files that the run reads, of those that are there; none for random masks."""
    if config.masks == "random":
        return []
    rows = [
        *read_rows(workspace, config.training_ids, allowed_splits=("train",)),
        *read_rows(workspace, config.validation_ids, allowed_splits=("train", "val")),
    ]
    paths = {workspace.resolve(str(row["mask_path"])) for row in rows if row["mask_path"] is not None}
    return sorted(path for path in paths if path.is_file())


def read_inpainting_material(
    config: InpaintingConfig, workspace: Workspace, image_size_px: int, base_ids: Sequence[str]
) -> InpaintingMaterial:
    """Read and check everything that the configuration names.

    Args:
        base_ids: real images that the base was fine-tuned on.

    Raises:
        DataError: an image of a wrong split, a held-out image that is a training image or of a label that no training
            image shows, or a mask that is missing, empty, unreadable or of another size than its image.
    """
    rows, held_out_rows = read_chosen_rows(workspace, config.training_ids, config.validation_ids, base_ids)
    wording = wording_of(config, rows, held_out_rows)
    masks = _lesion_masks(config, workspace, [*rows, *held_out_rows], image_size_px)
    lesions = None if masks is None else masks.masks
    training = _images(workspace, rows, wording, image_size_px, None if lesions is None else lesions[: len(rows)])
    held_out = None
    if held_out_rows:
        own = None if lesions is None else lesions[len(rows) :]
        held_out = _images(workspace, held_out_rows, wording, image_size_px, own)
    notes = []
    if masks is not None and masks.without:
        shown = ", ".join(f"{image_id} ({why})" for image_id, why in list(masks.without.items())[:5])
        more = " ..." if len(masks.without) > 5 else ""
        notes.append(f"{len(masks.without)} images are masked at random, for want of a lesion mask: {shown}{more}")
    return InpaintingMaterial(wording, training, held_out, tuple(notes))


def _lesion_masks(
    config: InpaintingConfig, workspace: Workspace, rows: Sequence[Mapping[str, Any]], image_size_px: int
) -> LesionMasks | None:
    if config.masks == "random":
        return None
    masks = read_lesion_masks(workspace, rows, image_size_px, dilation_px=config.mask_dilation * image_size_px)
    if config.images_without_mask == "refuse":
        refuse_without_masks(masks.without)
    return masks


def _images(
    workspace: Workspace,
    rows: Sequence[Mapping[str, Any]],
    wording: Wording,
    image_size_px: int,
    lesions: NDArray[np.bool_] | None,
) -> MaskedImages:
    prompts = [wording.prompt(row) for row in rows]
    return MaskedImages(load_image_set(workspace, rows, prompts, image_size_px), lesions)
