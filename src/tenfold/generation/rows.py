"""Manifest rows of synthetic images: what was asked for, what was written and what it descends from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.data.manifest import SKIN_TYPE_GROUPS, pack_ancestors
from tenfold.generation.drawing import DrawnImage
from tenfold.generation.planning import Batch, Plan
from tenfold.generation.requests import ImageRequest

INHERITED = (
    "group_id", "patient_id", "lesion_id", "skin_type", "skin_type_group", "skin_type_source",
    "severity", "site", "age", "sex", "modality", "caption",
)  # fmt: skip
"""What a reconstruction takes over from its real parent."""


def manifest_row(plan: Plan, batch: Batch, position: int, image: DrawnImage, path: str) -> dict[str, Any]:
    """The row of one image; synthetic images belong to the training split, whatever becomes of them later."""
    request = batch.requests[position]
    if request.parent_id is None:
        origin = _prompted(request)
        ancestors = None if plan.ancestors is None else pack_ancestors(plan.ancestors)
    else:
        parent = plan.references[request.parent_id]
        origin = _inherited(parent)
        ancestors = pack_ancestors([request.parent_id])
    return {
        **origin,
        "image_id": request.image_id,
        "path": path,
        "label": request.label,
        "source": "synthetic",
        "split": "train",
        "width_px": image.width_px,
        "height_px": image.height_px,
        "sha256": image.sha256,
        "phash": image.phash,
        "parent_id": request.parent_id,
        "ancestors": ancestors,
        "strategy": request.strategy,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "checkpoint": request.checkpoint,
        "adapter": request.adapter,
        "sampler": request.sampler or "checkpoint",
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "batch_plan": f"{batch.name}:{position + 1}/{len(batch.requests)}",
        "review": "unreviewed",
    }


def _prompted(request: ImageRequest) -> dict[str, Any]:
    skin_type = request.skin_type
    return {
        "caption": request.prompt,
        "skin_type": skin_type,
        "skin_type_group": None if skin_type is None else SKIN_TYPE_GROUPS[skin_type],
        "skin_type_source": None if skin_type is None else "given",
    }


def _inherited(parent: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: parent[name] for name in INHERITED}
    return row | {name: value for name, value in parent.items() if name.startswith("attr.")}
