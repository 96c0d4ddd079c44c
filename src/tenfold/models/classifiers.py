"""Classifiers behind one door: images (B, 3, H, W) in [0, 1] to logits (B, C), from the embedded net or from timm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.seeds import seed_everything
from tenfold.models.classifier_presets import (
    EMBEDDED_SMALL,
    NetworkOptions,
    download_page,
    nearest_names,
    preset_of,
)
from tenfold.models.features import fresh_feature_net, load_feature_net, resized
from tenfold.models.small_net import SmallNet

_OWN_ARGUMENTS = (
    "model_name",
    "num_classes",
    "pretrained",
    "checkpoint_path",
    "pretrained_cfg",
    "in_chans",
    "exportable",
)
"""Arguments of timm.create_model that are not the user's to give."""


class Classifier(nn.Module):
    """A network that takes images in [0, 1] of any size: resized and normalized first, on its own device."""

    def __init__(self, backbone: Any, size_px: int | None, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """size_px: side of the network's input; None: as the images come. mean, std: of each channel."""
        super().__init__()
        self.backbone = backbone
        self.size_px = size_px
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float in [0, 1] -> (B, C) logits."""
        if self.size_px is not None:
            images = resized(images, self.size_px)
        logits: torch.Tensor = self.backbone((images - self.mean) / self.std)
        return logits

    def get_classifier(self) -> nn.Module:
        """The network's last layer."""
        layer: nn.Module = self.backbone.get_classifier()
        return layer


def build_classifier(
    model: str,
    class_count: int,
    *,
    pretrained: bool,
    weights: Path | None = None,
    seed: int = 0,
    options: NetworkOptions | None = None,
) -> nn.Module:
    """A classifier with a new last layer.

    model: "embedded:small" (the embedded feature net), a preset or a name of timm's. pretrained: start from the
    embedded weights; for timm from `weights`, a local .safetensors file of that model, or without one from timm's own
    download. seed draws all that is not loaded.

    Raises:
        InputError: timm has no model of that name, or it does not take these options.
        CheckpointError: weights are missing, refused or do not fit.
    """
    seed_everything(seed)
    options = options or NetworkOptions()
    if model != EMBEDDED_SMALL:
        backbone = _timm_model(model, class_count, pretrained=pretrained, weights=weights, options=options)
        settings = backbone.pretrained_cfg
        own_px = int(settings["input_size"][-1]) if settings.get("fixed_input_size") else None
        return Classifier(backbone, options.image_size_px or own_px, settings["mean"], settings["std"])
    if weights is not None:
        raise CheckpointError("embedded:small has its own weights", where=str(weights), todo="leave weights out")
    if options.further or options.dropout is not None or options.attention_dropout is not None:
        raise InputError(
            "embedded:small takes no dropout and no model_options",
            where="classify.model",
            todo="leave dropout, attention_dropout and model_options out, or choose a model of timm's",
        )
    net = load_feature_net(class_count) if pretrained else fresh_feature_net(class_count)
    return Classifier(net, options.image_size_px, (0.0,) * 3, (1.0,) * 3) if options.image_size_px else net


def timm_arguments(model: str, options: NetworkOptions) -> dict[str, Any]:
    """What timm.create_model is told beside the name, the classes and the weights."""
    import timm

    own = [name for name in options.further if name in _OWN_ARGUMENTS]
    if own:
        raise InputError(f"model_options cannot set {', '.join(own)}", where="classify.model_options")
    preset = preset_of(model)
    attention = options.attention_dropout if options.attention_dropout is not None else preset.attention_dropout
    settings = timm.get_pretrained_cfg(preset.timm_name, allow_unregistered=True)
    is_fixed = settings is not None and settings.fixed_input_size
    told = {
        "drop_rate": options.dropout,
        "attn_drop_rate": attention,
        "img_size": options.image_size_px if is_fixed else None,
    }
    return {name: value for name, value in told.items() if value is not None} | dict(options.further)


def freeze_first_blocks(model: nn.Module, count: int) -> None:
    """Keep the stem and the first `count` blocks of a classifier as they are; 0 trains everything.

    Raises:
        InputError: the model has no more than `count` blocks, or timm knows no order of its blocks.
    """
    if count == 0:
        return
    blocks = layers_in_order(model, is_coarse=True)
    if count >= len(blocks):
        raise InputError(
            f"{count} blocks cannot be frozen",
            expected=f"fewer than the model's {len(blocks)}",
            todo="lower freeze_blocks",
        )
    for parameters in blocks[: count + 1]:
        for parameter in parameters:
            parameter.requires_grad_(False)


def freeze_all_but_head(model: nn.Module) -> None:
    """Keep everything as it is but the last layer."""
    model.requires_grad_(False)
    _head(model).requires_grad_(True)


def set_training(model: nn.Module) -> None:
    """Training mode for what is trained; frozen layers stay in evaluation mode, so that their statistics stay too.

    Where only the last layer is trained, all else is in evaluation mode: its features are those of a frozen network.
    """
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if trained <= {id(parameter) for parameter in _head(model).parameters()}:
        model.eval()
        return
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def layers_in_order(model: nn.Module, *, is_coarse: bool) -> list[list[nn.Parameter]]:
    """Parameters of the stem, then of each layer in order (coarse: of each block, the last one with the head).

    Raises:
        InputError: timm knows no order of the model's layers.
    """
    network = model.backbone if isinstance(model, Classifier) else model
    if isinstance(network, SmallNet):
        blocks = [list(part.parameters()) for part in (network.stem, *network.stages)]
        head = [*network.norm.parameters(), *network.head.parameters()]
        return blocks if is_coarse else [*blocks, head]
    if not hasattr(network, "group_matcher"):
        raise InputError(
            "this classifier's layers have no known order",
            where="classify.freeze_blocks, classify.layer_decay",
            todo="leave both out (0 and null)",
        )
    from timm.models import group_parameters

    named = dict(network.named_parameters())
    matcher: Any = network.group_matcher
    groups = group_parameters(network, matcher(coarse=is_coarse))
    return [[named[name] for name in groups[number]] for number in sorted(groups)]


def _head(model: nn.Module) -> nn.Module:
    find: Any = getattr(model, "get_classifier", nn.Identity)
    layer: nn.Module = find()
    return layer


def _timm_model(
    model: str, class_count: int, *, pretrained: bool, weights: Path | None, options: NetworkOptions
) -> Any:
    import timm

    name = preset_of(model).timm_name
    if not timm.is_model(name):
        near = nearest_names(model)
        raise InputError(
            f"there is no classifier {model!r}",
            where="classify.model",
            expected=f"one of {', '.join(near)}" if near else f"{EMBEDDED_SMALL} or a model of timm, such as resnet18",
            todo="timm.list_models() lists them all",
        )
    arguments = timm_arguments(model, options)
    if pretrained and weights is None:
        try:
            return timm.create_model(name, pretrained=True, num_classes=class_count, **arguments)
        except TypeError as error:
            raise _misfit(model, arguments, error) from error
        except Exception as error:
            page = download_page(model)
            raise CheckpointError(
                f"timm's weights of {model} could not be had: {error}",
                where=page or "timm, which has no weights of it",
                expected="a network connection, or the weights as a file on this machine",
                todo=("fetch model.safetensors from there where there is a network, and " if page else "")
                + "give a local .safetensors file (--weights FILE, in a recipe classify.weights), or start "
                "from random weights (--from-scratch, or classify.pretrained=false with classify.freeze_blocks=0)",
            ) from error
    try:
        backbone = timm.create_model(name, pretrained=False, num_classes=class_count, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _misfit(model, arguments, error) from error
    if weights is not None:
        _load_backbone(backbone, weights)
    return backbone


def _misfit(model: str, arguments: dict[str, Any], error: Exception) -> InputError:
    return InputError(
        f"{model} cannot be built with {', '.join(f'{name}={value}' for name, value in arguments.items()) or 'this'}: "
        f"{error}",
        where="classify.model_options, classify.dropout, classify.attention_dropout, classify.image_size_px",
        expected="options that this model of timm's knows",
        todo="leave out what it does not know",
    )


def _load_backbone(backbone: Any, weights: Path) -> None:
    """Load a state dict into all but the last layer; nothing may be missing or left over."""
    expected = "a .safetensors file with the state dict of this very model"
    if weights.suffix != ".safetensors" or not weights.is_file():
        what = "is not a .safetensors file" if weights.exists() else "is not there"
        raise CheckpointError(
            f"the file of the classifier's weights {what}",
            where=str(weights),
            expected=expected,
            todo="give the path of one; pickled weights (.pth, .bin) are never opened",
        )
    heads = backbone.pretrained_cfg["classifier"]
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    try:
        state = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith(prefixes)}
        missing, left_over = backbone.load_state_dict(_resampled(backbone, state), strict=False)
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


def _resampled(backbone: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with position embeddings of another image size brought to this one's, as timm does when it loads."""
    own = backbone.state_dict()
    if all(tensor.shape == own[name].shape for name, tensor in state.items() if name in own):
        return state
    fit = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    fitted: dict[str, torch.Tensor] = fit(state, backbone) if fit is not None else state
    return fitted
