"""Presets of classifiers: plain names for the networks that the papers use, with the options that they use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

EMBEDDED_SMALL = "embedded:small"

Option = str | int | float | bool


@dataclass(frozen=True)
class Preset:
    """A name of timm's, and the attention dropout that a user who says nothing gets (None: the network's own)."""

    timm_name: str
    attention_dropout: float | None = None


PRESETS: Mapping[str, Preset] = {
    "efficientnetv2_m": Preset("tf_efficientnetv2_m"),
    "vit_base_patch16_224": Preset("vit_base_patch16_224", attention_dropout=0.1),
}


@dataclass(frozen=True)
class NetworkOptions:
    """What a network is told beside its name.

    image_size_px: side of its input, to which images are resized (None: the side it is made for, or the images' own).
    dropout: before the last layer; attention_dropout: within attention; None: the preset's or the network's own.
    further: more arguments of timm.create_model, such as {"pad_type": "same", "bn_eps": 1e-3}.
    """

    image_size_px: int | None = None
    dropout: float | None = None
    attention_dropout: float | None = None
    further: Mapping[str, Option] = field(default_factory=dict)


def preset_of(model: str) -> Preset:
    """The preset of that name; any other name stands for timm's model of it."""
    return PRESETS.get(model, Preset(model))


def nearest_names(model: str, count: int = 5) -> list[str]:
    """Names of presets and of timm's models that look like this one, the likest first."""
    import timm

    names = [EMBEDDED_SMALL, *PRESETS, *timm.list_models(), *timm.list_models(pretrained=True)]
    lowered = model.lower().replace("-", "_")
    return list(dict.fromkeys(difflib.get_close_matches(lowered, names, count, cutoff=0.5)))


def download_page(model: str) -> str | None:
    """Where timm's weights of a model can be fetched by hand; None when timm has none."""
    import timm

    try:
        settings = timm.get_pretrained_cfg(preset_of(model).timm_name)
    except (RuntimeError, ValueError):
        return None
    if settings is None or not settings.hf_hub_id:
        return None
    name = settings.hf_hub_id
    return f"https://huggingface.co/{name}{settings.architecture + '.' + settings.tag if name.endswith('/') else ''}"
