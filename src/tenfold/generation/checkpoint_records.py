"""Checkpoint records: what lies beside weights of our own making, of the images they learned from and their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.workspace import Workspace
from tenfold.generation.prompt_plan import Template
from tenfold.models.learned_images import TRAINING_ROWS, learned_images

PROMPTS = "prompts.json"
"""By label, the prompts of the training."""
INPAINTING = "inpainting.json"
"""How a plain UNet that was trained to paint is shown an image with a hole."""
RECORDS = (TRAINING_ROWS, PROMPTS, INPAINTING)


def recorded_prompts(folder: Path) -> dict[str, tuple[Template, ...]]:
    """By label the prompts that the model was fine-tuned with, braces as they are; {} where there is no record."""
    path = folder / PROMPTS
    if not path.is_file():
        return {}
    prompts = read_json(path)["prompts"]
    return {label: tuple(Template(text, is_plain=True) for text in listed) for label, listed in prompts.items()}


def recorded_ancestors(folders: Sequence[Path], workspace: Workspace) -> tuple[str, ...] | None:
    """The real images that the weights in these folders learned from; None where one has no record."""
    found = [_ancestors(folder, workspace) for folder in folders]
    known = [image_ids for image_ids in found if image_ids is not None]
    if len(known) < len(found):
        return None
    return known[0] if len(known) == 1 else tuple(sorted({image_id for ids in known for image_id in ids}))


def named_ancestors(ref: str, workspace: Workspace) -> tuple[str, ...]:
    """The real images that the model `ref` learned from. Raises DataError when it has no record."""
    learned = learned_images(workspace.resolve(ref), workspace)
    if learned is None:
        raise DataError(
            "there is no record of training images", where=str(workspace.resolve(ref) / TRAINING_ROWS),
            todo="Correct `ancestors_from`.",
        )  # fmt: skip
    return learned.image_ids


def recorded_surroundings(folders: Sequence[Path]) -> str:
    """``clean`` or ``noisy``, as the first of the folders that has a record says; noisy for models from outside."""
    for folder in folders:
        path = folder / INPAINTING
        if path.is_file():
            return "clean" if read_json(path).get("surroundings") == "clean" else "noisy"
    return "noisy"


def _ancestors(folder: Path, workspace: Workspace) -> tuple[str, ...] | None:
    learned = learned_images(folder, workspace)
    if learned is not None:
        return learned.image_ids
    # A model from outside may have learned from anything, but not from this workspace's images.
    return None if folder.is_relative_to(workspace.path) else ()
