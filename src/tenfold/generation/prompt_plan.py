"""Prompt plans: templates with fields, and the values that fill them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed
from tenfold.data.captions import SKIN_TYPE_ROMAN, class_noun, skin_phrase, stated_skin_type
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS, SKIN_TYPE_GROUPS

MANIFEST_FIELDS = ("severity", "site", "age", "sex", "modality", "caption")
SKIN_FIELDS = ("skin_type", "skin_phrase", "skin_type_group")
"""A number from 1 to 6, ``on dark skin, Fitzpatrick skin type V`` and ``V-VI``; they follow the skin type asked for."""
OWN_FIELDS = ("label", "class_noun", *SKIN_FIELDS)

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_CLAUSE = re.compile(r",\s*")
_SKIN_PHRASE = re.compile(r",? ?on (?:light|medium|dark) skin, Fitzpatrick skin type ([IV]+)\b")

Values = Sequence[Any] | Mapping[str, float]


@dataclass(frozen=True)
class Template:
    """A prompt that may hold fields in braces; ``{{`` and ``}}`` are plain braces."""

    text: str
    weight: float = 1.0
    negative_prompt: str | None = None
    """None takes the label's, or the run's."""
    is_plain: bool = False
    """Braces are plain text: the prompt is somebody's caption."""

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, each once."""
        if self.is_plain:
            return ()
        return tuple(dict.fromkeys(match[1].strip() for match in _FIELD.finditer(self.text) if match[1] is not None))

    @cached_property
    def names_skin(self) -> bool:
        """Whether a field tells the skin type; otherwise it is appended where one is asked for."""
        return bool(set(SKIN_FIELDS) & set(self.fields))

    def filled(self, values: Mapping[str, Any]) -> str:
        """The prompt with its fields' values; a part between commas whose value is unknown (None) is left out.

        >>> Template("a photo of {class_noun}, on the {site}").filled({"class_noun": "mole", "site": None})
        'a photo of mole'
        """
        if self.is_plain or not {"{", "}"} & set(self.text):
            return self.text
        known = [
            _fill(clause, values)
            for clause in _CLAUSE.split(self.text)
            if all(values[match[1].strip()] is not None for match in _FIELD.finditer(clause) if match[1] is not None)
        ]
        if not known:
            raise DataError("nothing is left of the prompt: all its values are unknown", where=self.text)
        return ", ".join(known)


def check_fields(templates: Iterable[Template], offered: Iterable[str]) -> None:
    """Raises DataError for fields that nobody can fill, with the nearest that is offered."""
    names = sorted({*OWN_FIELDS, *offered})
    for template in templates:
        for name in template.fields:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                raise DataError(
                    f"there is no field {{{name}}}",
                    where=template.text,
                    expected=", ".join(names),
                    todo=(f"Did you mean {{{near[0]}}}? " if near else "")
                    + "Give its values under `fields`, or write {{ }} for plain braces.",
                )


def offered_fields(columns: Iterable[str]) -> list[str]:
    """Columns of a manifest that a prompt can speak of; never patients' ids, paths or hashes."""
    return [name for name in columns if name in MANIFEST_FIELDS or name.startswith(ATTRIBUTE_PREFIX)]


class FieldValues:
    """Values for the templates' fields: given ones, a source image's own, or those of some real training image.

    Args:
        given: by field, values in equal numbers or value: weight.
        rows: real training images, from which what is not given is drawn: all fields of one prompt from one image, so
            that what belongs together stays together.
        nouns: by label, what {class_noun} says.
    """

    def __init__(
        self, given: Mapping[str, Values], rows: Sequence[Mapping[str, Any]], nouns: Mapping[str, str], *, seed: int
    ) -> None:
        self._given = {name: _weighted(values) for name, values in given.items()}
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            self._rows.setdefault(str(row["label"]), []).append(row)
        self._nouns = nouns
        self._seed = seed
        self._complete: dict[tuple[str, tuple[str, ...]], list[Mapping[str, Any]]] = {}

    def of_image(
        self, template: Template, identity: tuple[str | int, ...], parent: Mapping[str, Any] | None, tone: int | None
    ) -> dict[str, Any]:
        """Every field of the template, and `skin_type`; None where it is unknown.

        Args:
            identity: the image's label first, then what tells it from others; the values follow it alone.
            parent: the manifest row of the image that is started from.
            tone: the skin type that is asked for; None leaves it to the values.
        """
        label = str(identity[0])
        follows = {"skin_phrase"} if tone is None and "skin_type" not in self._given else set(SKIN_FIELDS)
        wanted = tuple(dict.fromkeys("skin_type" if name in follows else name for name in template.fields))
        values: dict[str, Any] = {"label": label, "class_noun": class_noun(label, self._nouns), "skin_type": tone}
        open_fields = []
        for name in wanted:
            if values.get(name) is not None:
                continue
            if name in self._given:
                values[name] = _drawn(self._given[name], derive_seed(self._seed, "field", name, *identity))
            elif parent is not None:
                values[name] = _cell(parent, name)
            else:
                open_fields.append(name)
        if open_fields:
            rows = self._rows_with(label, tuple(open_fields))
            row = rows[derive_seed(self._seed, "fields", *identity) % len(rows)]
            values.update({name: _cell(row, name) for name in open_fields})
        if values["skin_type"] is not None:
            values["skin_type"] = int(values["skin_type"])
        if values["skin_type"] is not None:
            values["skin_type_group"] = SKIN_TYPE_GROUPS.get(values["skin_type"])
        values["skin_phrase"] = skin_phrase(values["skin_type"]) or None
        return values

    def _rows_with(self, label: str, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
        key = (label, names)
        if key not in self._complete:
            rows = self._rows.get(label, [])
            found = [row for row in rows if all(_cell(row, name) is not None for name in names)]
            if not found:
                raise DataError(
                    f"no value is known for {' and '.join(names)} of {label}",
                    where=f"{len(rows)} real training images of {label}",
                    todo=f"Give values under `fields`, such as fields.{names[0]}=[...], or take the field out.",
                )
            self._complete[key] = found
        return self._complete[key]


def facts_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a prompt says beside label and skin, by manifest column; what is no such column becomes ``attr.<name>``."""
    facts = {}
    for name, value in values.items():
        is_told = name in OWN_FIELDS and (name != "skin_type_group" or values["skin_type"] is not None)
        if is_told or name == "caption" or value is None:
            continue
        is_column = name in COLUMNS and (name != "age" or _is_number(value))
        facts[name if is_column or name.startswith(ATTRIBUTE_PREFIX) else f"{ATTRIBUTE_PREFIX}{name}"] = _text(value)
    return facts


@lru_cache(maxsize=4096)
def prompt_for_skin_type(template: str, skin_type: int | None) -> str:
    """The prompt that asks for this skin type instead of the one it names; as it is when `skin_type` is None."""
    if skin_type is None:
        return template
    return f"{_SKIN_PHRASE.sub('', template)}, {skin_phrase(skin_type)}"


@lru_cache(maxsize=4096)
def named_skin_type(prompt: str) -> int | None:
    """The Fitzpatrick type that a prompt in the house grammar names; None when it names none."""
    found = _SKIN_PHRASE.search(prompt)
    return SKIN_TYPE_ROMAN.index(found[1]) + 1 if found and found[1] in SKIN_TYPE_ROMAN else None


def _fill(clause: str, values: Mapping[str, Any]) -> str:
    def value_of(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else _text(values[match[1].strip()])

    return _FIELD.sub(value_of, clause)


def _cell(row: Mapping[str, Any], name: str) -> Any:
    if name == "skin_type":
        return stated_skin_type(row)
    if name == "skin_type_group" and row.get("skin_type_source") == "estimated":
        return None
    return row.get(name)


def _weighted(values: Values) -> list[tuple[Any, float]]:
    """(value, share of all up to and with it) in order."""
    pairs = list(values.items()) if isinstance(values, Mapping) else [(value, 1.0) for value in values]
    whole, below, found = sum(weight for _, weight in pairs), 0.0, []
    for value, weight in pairs:
        below += weight / whole
        found.append((value, below))
    return found


def _drawn(values: Sequence[tuple[Any, float]], seed: int) -> Any:
    place = seed / 2**63
    return next((value for value, below in values if place < below), values[-1][0])


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False
