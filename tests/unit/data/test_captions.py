"""Captions: one grammar for prompts of phantom and real images."""

from __future__ import annotations

import pytest

from tenfold.core.errors import DataError
from tenfold.data.captions import (
    IDENTIFIERS,
    class_noun,
    class_prompt,
    identifier_for,
    instance_prompt,
    skin_phrase,
    template_caption,
)
from tenfold.data.phantom_captions import skin_phrase as phantom_skin_phrase


def test_identifiers_differ_without_end() -> None:
    names = [identifier_for(number) for number in range(3 * len(IDENTIFIERS))]
    assert len(set(names)) == len(names)
    with pytest.raises(DataError, match="no identifier"):
        identifier_for(-1)


def test_nouns() -> None:
    assert class_noun("df", {"df": "dermatofibroma"}) == "dermatofibroma"
    assert class_noun("annulosis") == "phantom annulosis"
    assert class_noun("lichen_planus  x") == "lichen planus x"


def test_skin_phrases_are_those_of_the_phantom() -> None:
    for skin_type in range(1, 7):
        assert f", {skin_phrase(skin_type)}" == phantom_skin_phrase(skin_type, 0.0)
    assert skin_phrase(None) == ""
    with pytest.raises(DataError, match="skin type 7"):
        skin_phrase(7)


def test_prompts() -> None:
    assert class_prompt("nevus", skin_type=5) == "a photo of nevus, on dark skin, Fitzpatrick skin type V"
    assert instance_prompt("nevus", "ohwx") == "a photo of ohwx nevus"
    assert instance_prompt("nevus", "ohwx", "a photo of nevus, with a ring") == "a photo of ohwx nevus, with a ring"
    assert instance_prompt("nevus", "ohwx", "a photo of nevus") == "a photo of ohwx nevus"
    assert instance_prompt("wart", "ohwx", "Many early stage warts") == "a photo of ohwx wart, Many early stage warts"
    assert instance_prompt("nevus", "", None) == "a photo of nevus"
    assert template_caption("df", skin_type=1, site="arm") == (
        "a photo of df, on the arm, on light skin, Fitzpatrick skin type I"
    )
