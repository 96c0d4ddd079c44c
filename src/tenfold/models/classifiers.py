"""Classifiers behind one door: images (B, 3, H, W) in [0, 1] to logits (B, C), from the embedded net or from timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.seeds import seed_everything
from tenfold.models.features import fresh_feature_net, load_feature_net, resized
from tenfold.models.small_net import SmallNet

EMBEDDED_SMALL = "embedded:small"


def build_classifier(
    model: str, class_count: int, *, pretrained: bool, weights: Path | None = None, seed: int = 0
) -> nn.Module:
    """A classifier with a new last layer.

    model: "embedded:small" (the embedded feature net) or a name of timm's. pretrained: start from the embedded
    weights; for timm from `weights`, a local .safetensors file of that model, or without one from timm's own download.
    seed draws all that is not loaded.

    Raises:
        InputError: timm has no model of that name.
        CheckpointError: weights are missing, refused or do not fit.
    """
    seed_everything(seed)
    if model == EMBEDDED_SMALL:
        if weights is not None:
            raise CheckpointError("embedded:small has its own weights", where=str(weights), todo="leave weights out")
        return load_feature_net(class_count) if pretrained else fresh_feature_net(class_count)
    return _TimmClassifier(_timm_model(model, class_count, pretrained=pretrained, weights=weights))


def freeze_first_blocks(model: nn.Module, count: int) -> None:
    """Keep the stem and the first `count` blocks of a classifier as they are; 0 trains everything.

    Raises:
        InputError: the model has no more than `count` blocks, or timm knows no order of its blocks.
    """
    if count == 0:
        return
    blocks = _blocks(model)
    if count >= len(blocks):
        raise InputError(
            f"{count} blocks cannot be frozen",
            expected=f"fewer than the model's {len(blocks)}",
            todo="lower freeze_blocks",
        )
    for parameters in blocks[: count + 1]:
        for parameter in parameters:
            parameter.requires_grad_(False)


def set_training(model: nn.Module) -> None:
    """Training mode for what is trained; frozen layers stay in evaluation mode, so that their statistics stay too."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


class _TimmClassifier(nn.Module):
    """A timm model that takes images in [0, 1]: its own normalization, and its own size where it has only one."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        settings = backbone.pretrained_cfg
        self.size_px = int(settings["input_size"][-1]) if settings.get("fixed_input_size") else None
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(settings["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(settings["std"]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float in [0, 1] -> (B, C) logits."""
        if self.size_px is not None:
            images = resized(images, self.size_px)
        logits: torch.Tensor = self.backbone((images - self.mean) / self.std)
        return logits


def _timm_model(model: str, class_count: int, *, pretrained: bool, weights: Path | None) -> Any:
    import timm

    if not timm.is_model(model):
        raise InputError(
            f"there is no classifier {model!r}",
            where="classify.model",
            expected=f"{EMBEDDED_SMALL} or a model of timm, such as resnet18",
            todo="see timm.list_models()",
        )
    if not pretrained or weights is not None:
        backbone = timm.create_model(model, pretrained=False, num_classes=class_count)
        if weights is not None:
            _load_backbone(backbone, weights)
        return backbone
    try:
        return timm.create_model(model, pretrained=True, num_classes=class_count)
    except Exception as error:
        raise CheckpointError(
            f"timm's weights of {model} could not be had: {error}",
            where="timm's download",
            todo="give a local .safetensors file as classify.weights, or set classify.pretrained=false",
        ) from error


def _load_backbone(backbone: Any, weights: Path) -> None:
    """Load a state dict into all but the last layer; nothing may be missing or left over."""
    expected = "a .safetensors file with the state dict of this very model"
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise CheckpointError("the classifier's weights cannot be used", where=str(weights), expected=expected)
    heads = backbone.pretrained_cfg["classifier"]
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    try:
        state = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith(prefixes)}
        missing, left_over = backbone.load_state_dict(state, strict=False)
    except Exception as error:
        raise CheckpointError(
            f"the classifier's weights do not fit: {error}", where=str(weights), expected=expected
        ) from error
    missing = [name for name in missing if not name.startswith(prefixes)]
    if missing or left_over:
        raise CheckpointError(
            f"the classifier's weights do not fit: {len(missing)} tensors are missing, {len(left_over)} are left over",
            where=str(weights),
            expected=expected,
        )


def _blocks(model: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of the stem, then of each block in order; the last block holds the head too."""
    if isinstance(model, SmallNet):
        return [list(model.stem.parameters()), *(list(stage.parameters()) for stage in model.stages)]
    if not isinstance(model, _TimmClassifier) or not hasattr(model.backbone, "group_matcher"):
        raise InputError(
            "this classifier's blocks have no known order", where="classify.freeze_blocks", todo="set it to 0"
        )
    from timm.models import group_parameters

    named = dict(model.backbone.named_parameters())
    groups = group_parameters(model.backbone, model.backbone.group_matcher(coarse=True))
    return [[named[name] for name in groups[number]] for number in sorted(groups)]
