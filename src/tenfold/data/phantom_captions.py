"""Captions and attributes of the phantom: words for what an image shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_conditions import FEATURE_INDEX, PART_PHRASES, PARTS, VISIBLE_STRENGTH
from tenfold.data.phantom_skin import ROMAN, TONE_WORDS

CLASS_NOUN = "skin lesion"
"""The prior's noun: what every lesion of the phantom is."""

SEVERITY_WORDS = ("", "mild", "moderate", "severe")
ATTRIBUTE_PROBABILITY = 0.7
SKIN_TYPE_PROBABILITY = 0.85
BARE_PROBABILITY = 0.06


def describe(features: NDArray[np.float32], severity: int, skin_type: int) -> tuple[str, ...]:
    """Attributes of one lesion, in caption order: severity, shape, border, colors, then its parts by name."""
    value = {name: float(features[index]) for name, index in FEATURE_INDEX.items()}
    attributes = [f"{SEVERITY_WORDS[severity]} form"]
    if value["asymmetry"] > 0.5:
        attributes.append("asymmetric")
    elif value["asymmetry"] < 0.15:
        attributes.append("symmetric")
    if value["edge"] > 0.42:
        attributes.append("with a diffuse border")
    elif value["border"] > 0.45:
        attributes.append("with an irregular border")
    elif value["edge"] < 0.15:
        attributes.append("with a sharp border")
    attributes.append(_color(value, skin_type))
    if value["variegation"] > 0.55:
        attributes.append("several colors")
    return (*attributes, *(part for part in PARTS if value[part] >= VISIBLE_STRENGTH))


def _color(value: dict[str, float], skin_type: int) -> str:
    if value["melanin"] >= value["heme"]:
        color = "light brown" if value["melanin"] < 0.6 else "brown" if value["melanin"] < 1.1 else "dark brown"
    elif skin_type >= 5:
        color = "violaceous"
    else:
        color = "pink" if value["heme"] < 0.45 else "red"
    return f"{color} and blue-black" if value["blue"] >= VISIBLE_STRENGTH else color


def lesion_caption(noun: str, attributes: Sequence[str], skin_type: int, uniforms: NDArray[np.float64]) -> str:
    """A photo caption naming some attributes. uniforms: (2 + len(attributes),) in [0, 1) decide what is named."""
    if uniforms[0] < BARE_PROBABILITY:
        return f"a photo of {noun}"
    named = [a for a, u in zip(attributes, uniforms[2:], strict=False) if u < ATTRIBUTE_PROBABILITY]
    parts = [PART_PHRASES[a] for a in named if a in PART_PHRASES]
    words = [a for a in named if a not in PART_PHRASES]
    if parts:
        words.append("with " + (" and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " and " + parts[-1]))
    return ", ".join([f"a photo of {noun}", *words]) + skin_phrase(skin_type, float(uniforms[1]))


def skin_phrase(skin_type: int, uniform: float) -> str:
    """The end of a caption: tone word and Fitzpatrick type, or nothing with probability 1 - SKIN_TYPE_PROBABILITY."""
    if uniform >= SKIN_TYPE_PROBABILITY:
        return ""
    return f", on {TONE_WORDS[skin_type]} skin, Fitzpatrick skin type {ROMAN[skin_type]}"


def full_caption(noun: str, attributes: Sequence[str], skin_type: int) -> str:
    """The caption that names every attribute and the skin type."""
    return lesion_caption(noun, attributes, skin_type, np.concatenate([[0.99], np.zeros(1 + len(attributes))]))
