"""The fields that all requests of a plan share: weights, strategy, sampler, mask and file format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.workspace import Workspace
from tenfold.generation.adapter import request_fields, resolve_model
from tenfold.generation.checkpoint_records import named_ancestors, recorded_ancestors, recorded_surroundings
from tenfold.generation.config import PAINTING, PROMPTED, WITHOUT_GENERATOR, GenerateConfig
from tenfold.generation.drawing_defaults import check_strategy, drawing_defaults
from tenfold.generation.plan_rows import Extras
from tenfold.generation.requests import ImageRequest
from tenfold.models.checkpoint_ref import checkpoint_sha256, resolve_checkpoint

NO_CHECKPOINT = "none"
"""What requests say for a checkpoint where no generator draws."""
_STRENGTHS = {"img2img": 0.7, "inpaint": 0.97, "outpaint": 0.95, "in_then_outpaint": 0.97}
_OUTPAINT_STRENGTH = 0.95


@dataclass(frozen=True)
class ModelFolders:
    """Where weights and their records lie; () where no generator draws. The adapter's folder comes first."""

    folders: tuple[Path, ...]

    @property
    def own(self) -> Path | None:
        """The folder whose prompts are meant."""
        return self.folders[0] if self.folders else None


def model_folders(config: GenerateConfig, workspace: Workspace) -> ModelFolders:
    """Of the checkpoint and the adapter. Raises CheckpointError when one is missing."""
    if config.strategy in WITHOUT_GENERATOR:
        return ModelFolders(())
    checkpoint, adapter = resolve_model(config, workspace)
    return ModelFolders((checkpoint,) if adapter is None else (adapter.parent, checkpoint))


def shared_request(config: GenerateConfig, workspace: Workspace) -> ImageRequest:
    """A request that says what all say. Raises CheckpointError when the checkpoint cannot do the strategy."""
    strategy = config.strategy
    fields: dict[str, Any] = {
        "strategy": strategy, "label": "", "dtype": config.dtype, "image_size_px": config.image_size_px,
        "checkpoint": NO_CHECKPOINT, "checkpoint_sha256": "",
    }  # fmt: skip
    if strategy not in WITHOUT_GENERATOR:
        checkpoint, adapter = resolve_model(config, workspace)
        kind = check_strategy(checkpoint, strategy)
        fields |= {"checkpoint": config.checkpoint, "checkpoint_sha256": checkpoint_sha256(checkpoint)}
        fields |= request_fields(config, adapter)
        if strategy in PAINTING and kind == "text2img":
            folders = model_folders(config, workspace).folders
            fields["surroundings"] = config.surroundings or recorded_surroundings(folders)
        if strategy in PROMPTED:
            fields |= _drawing_fields(config, checkpoint)
    fields |= _painting_fields(config)
    if config.upscaler is not None:
        upscaler = resolve_checkpoint(config.upscaler, workspace)
        check_strategy(upscaler, "upscale")
        fields |= {"upscaler": config.upscaler, "upscaler_sha256": checkpoint_sha256(upscaler),
                   "upscale_steps": config.upscale_steps}  # fmt: skip
    if config.file_format != "png":
        fields |= {"file_format": config.file_format, "jpeg_quality": config.jpeg_quality}
    return ImageRequest(**fields)


def ancestors(config: GenerateConfig, workspace: Workspace) -> tuple[str, ...] | None:
    """The real images that the weights learned from; None where nobody recorded them, () without a generator."""
    if config.ancestors_from is not None:
        return named_ancestors(config.ancestors_from, workspace)
    folders: Sequence[Path] = model_folders(config, workspace).folders
    if config.upscaler is not None:
        folders = (*folders, resolve_checkpoint(config.upscaler, workspace))
    return recorded_ancestors(folders, workspace) if folders else ()


def extras(config: GenerateConfig) -> Extras:
    """The seeds and tones that each image has of its own."""
    streams = []
    if config.strategy in (*PROMPTED, "composite"):
        streams.append("seed")
    if config.strategy == "in_then_outpaint":
        streams.append("outpaint_seed")
    if config.upscaler is not None:
        streams.append("upscale_seed")
    recolors = config.strategy == "recolor" or (
        config.recolor_to_skin_type and config.strategy in ("outpaint", "in_then_outpaint")
    )
    return Extras(config.seed, streams, config.strategy in PAINTING and config.mask == "random", recolors)


def _drawing_fields(config: GenerateConfig, checkpoint: Path) -> dict[str, Any]:
    defaults = drawing_defaults(checkpoint)
    sampler = defaults.sampler if config.sampler is None else config.sampler
    return {
        "sampler": None if sampler == "checkpoint" else sampler,
        "num_inference_steps": config.num_inference_steps or defaults.num_inference_steps,
        "guidance_scale": config.guidance_scale or defaults.guidance_scale,
        "guidance_rescale": config.guidance_rescale,
        "guidance_interval": config.guidance_interval,
    }


def _painting_fields(config: GenerateConfig) -> dict[str, Any]:
    strategy = config.strategy
    fields: dict[str, Any] = {}
    if strategy in _STRENGTHS:
        fields["strength"] = config.strength or _STRENGTHS[strategy]
    if strategy in PAINTING:
        fields["mask"] = config.mask or "lesion"
        if fields["mask"] != "lesion":
            fields["mask_area_fraction"] = config.mask_area_fraction
    if strategy in (*PAINTING, "composite"):
        fields |= {"mask_dilate_px": config.mask_dilate_px, "mask_feather_px": config.mask_feather_px}
    if strategy in ("outpaint", "in_then_outpaint"):
        fields["keep_border_px"] = config.keep_border_px
    if strategy == "in_then_outpaint":
        fields["outpaint_strength"] = config.outpaint_strength or _OUTPAINT_STRENGTH
    return fields
