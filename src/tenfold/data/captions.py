"""Captions and prompts: identifiers, class nouns, skin phrases and the prompts built from them.

One grammar for phantom and real images alike: ``a photo of {noun}, {details}, on dark skin, Fitzpatrick skin type V``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.phantom_conditions import CONDITIONS

IDENTIFIERS: tuple[str, ...] = (
    "ohwx", "zwxq", "vrkj", "qxzt", "jhvk", "wqzr", "kxvj", "zrqh", "xjwt", "hvqz", "tzkx", "rjwq",
)  # fmt: skip
"""DreamBooth identifiers: letter strings that are no words, so that the base has no idea of them yet."""

PHOTO_PREFIX = "a photo of"
SKIN_TYPE_ROMAN: tuple[str, ...] = ("I", "II", "III", "IV", "V", "VI")
_TONE_WORDS = ("light", "light", "medium", "medium", "dark", "dark")


def identifier_for(label_index: int) -> str:
    """The identifier of the class at this place of the sorted label list; from the 13th on with a number appended."""
    if label_index < 0:
        raise DataError(f"class number {label_index} has no identifier", expected="a number of 0 or more")
    round_number, place = divmod(label_index, len(IDENTIFIERS))
    return IDENTIFIERS[place] + (str(round_number + 1) if round_number else "")


def class_noun(label: str, nouns: Mapping[str, str] | None = None) -> str:
    """The phrase for a class in prompts: the given one, the phantom's own, or the label with spaces for underscores."""
    if nouns and label in nouns:
        return nouns[label]
    if label in CONDITIONS:
        return CONDITIONS[label].noun
    return re.sub(r"[\s_]+", " ", label).strip()


def skin_phrase(skin_type: int | None) -> str:
    """``on dark skin, Fitzpatrick skin type V`` for skin types 1-6; empty when unknown (None)."""
    if skin_type is None:
        return ""
    if not 1 <= skin_type <= 6:
        raise DataError(
            f"skin type {skin_type} does not exist", expected="a Fitzpatrick skin type from 1 to 6, or none"
        )
    return f"on {_TONE_WORDS[skin_type - 1]} skin, Fitzpatrick skin type {SKIN_TYPE_ROMAN[skin_type - 1]}"


def stated_skin_type(row: Mapping[str, Any]) -> int | None:
    """The skin type of a manifest row where somebody stated it; an estimated one is in no caption or prompt."""
    skin_type: int | None = row["skin_type"]
    return None if row.get("skin_type_source") == "estimated" else skin_type


def class_prompt(noun: str, *, skin_type: int | None = None) -> str:
    """The prompt of a class without identifier, e.g. for prior images: ``a photo of {noun}[, on ... skin ...]``."""
    return _join(f"{PHOTO_PREFIX} {noun}", skin_phrase(skin_type))


def instance_prompt(noun: str, identifier: str, caption: str | None = None) -> str:
    """DreamBooth's prompt of one image: ``a photo of {identifier} {noun}[, details]``.

    A caption in the house grammar (``a photo of {noun}, details``) keeps its details behind the identifier; any other
    caption is appended whole, so that clinical captions written by people are used as they are.
    """
    subject = f"{PHOTO_PREFIX} {identifier} {noun}" if identifier else f"{PHOTO_PREFIX} {noun}"
    if not caption:
        return subject
    plain = f"{PHOTO_PREFIX} {noun}"
    if caption == plain or caption.startswith(f"{plain},"):
        return subject + caption[len(plain) :]
    return _join(subject, caption.strip())


def template_caption(noun: str, *, skin_type: int | None = None, site: str | None = None) -> str:
    """The caption of an image nobody captioned: what its row tells, in the house grammar."""
    return _join(f"{PHOTO_PREFIX} {noun}", f"on the {site}" if site else "", skin_phrase(skin_type))


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
