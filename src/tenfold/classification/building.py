"""Building a cell's network from its configuration, and telling what its weights came from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tenfold.classification.config import ClassifierConfig
from tenfold.core.hashing import sha256_path
from tenfold.core.seeds import derive_seed
from tenfold.models import embedded
from tenfold.models.classifier_presets import EMBEDDED_SMALL, NetworkOptions
from tenfold.models.classifiers import build_classifier, freeze_all_but_head, freeze_first_blocks


def build_model(config: ClassifierConfig) -> nn.Module:
    """The network with its starting weights, frozen as the configuration says.

    Raises:
        InputError: there is no such network, or it does not take these options.
        CheckpointError: the starting weights cannot be used.
    """
    model = _build(config, pretrained=config.pretrained)
    if config.train == "head":
        freeze_all_but_head(model)
    else:
        freeze_first_blocks(model, config.freeze_blocks)
    return model


def empty_model(config: ClassifierConfig) -> nn.Module:
    """The same network without starting weights, for trained ones to be loaded into."""
    return _build(config, pretrained=False)


def network_of(config: ClassifierConfig) -> dict[str, Any]:
    """What decides the network's shape, as plain JSON: `model` and the `options` of NetworkOptions."""
    return {"model": config.model, "options": asdict(_options(config))}


def weight_files(config: ClassifierConfig) -> list[Path]:
    """The files of the starting weights, whose hashes belong to the run's identity."""
    if config.model == EMBEDDED_SMALL:
        return [embedded.features_path()]
    return [Path(config.weights).expanduser()] if config.weights else []


def pretrained_from(config: ClassifierConfig, model: nn.Module) -> dict[str, str | None]:
    """What the starting weights of a model just built came from: kind (none, embedded, file, timm), name and SHA-256.

    Of a download the SHA-256 is that of the tensors below the last layer, in the order of their names.
    """
    if not config.pretrained:
        return {"kind": "none", "name": None, "sha256": None}
    if config.model == EMBEDDED_SMALL:
        return {"kind": "embedded", "name": EMBEDDED_SMALL, "sha256": sha256_path(embedded.features_path())}
    if config.weights is not None:
        path = Path(config.weights).expanduser()
        return {"kind": "file", "name": path.name, "sha256": sha256_path(path)}
    settings = getattr(model.backbone, "pretrained_cfg", {})
    name = ".".join(part for part in (settings.get("architecture"), settings.get("tag")) if part)
    return {"kind": "timm", "name": name or config.model, "sha256": _digest(model)}


def _build(config: ClassifierConfig, *, pretrained: bool) -> nn.Module:
    return build_classifier(
        config.model,
        len(config.labels),
        pretrained=pretrained,
        weights=Path(config.weights).expanduser() if config.weights and pretrained else None,
        seed=derive_seed(config.classifier_seed, "model"),
        options=_options(config),
    )


def _options(config: ClassifierConfig) -> NetworkOptions:
    return NetworkOptions(config.image_size_px, config.dropout, config.attention_dropout, dict(config.model_options))


def _digest(model: nn.Module) -> str:
    head = {id(tensor) for tensor in getattr(model, "get_classifier", nn.Identity)().parameters()}
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        if id(tensor) not in head:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
