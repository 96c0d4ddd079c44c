"""Table columns: which upstream column means what, and how its cells become manifest values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.import_items import nearest_names
from tenfold.data.manifest import ATTRIBUTE_PREFIX, SKIN_TYPE_GROUPS

USUAL_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "image": (
        "image", "file", "path", "filename", "file_name", "filepath", "file_path", "image_path", "image_file",
        "image_name", "image_file_name", "img", "image_id", "isic_id", "md5hash",
    ),
    "label": ("label", "dx", "diagnosis", "class", "class_name", "category", "finding", "condition"),
    "patient_id": ("patient_id", "patient", "patientid", "pid", "subject_id", "subject"),
    "lesion_id": ("lesion_id", "lesion"),
    "group_id": ("group_id", "group"),
    "skin_type": ("skin_type", "fitzpatrick", "fitzpatrick_scale", "fitzpatrick_skin_type", "fst"),
    "skin_type_group": ("skin_type_group", "skin_tone"),
    "severity": ("severity",),
    "site": ("site", "localization", "body_site", "anatomical_site", "anatom_site_general"),
    "age": ("age", "age_approx"),
    "sex": ("sex", "gender"),
    "modality": ("modality",),
    "caption": ("caption", "text"),
    "mask": (
        "mask", "mask_path", "mask_file", "mask_file_name", "segmentation", "segmentation_path", "segmentation_file",
    ),
})  # fmt: skip
"""Manifest column (and `image` and `mask`, the files) -> upstream names it is known by, best first, in any case."""

OwnColumns = Mapping[str, str | tuple[str, ...]]
"""Manifest column -> the column of a known archive, or its names in several releases."""

REQUIRED = ("image", "label")
FILES = ("image", "label", "mask")
"""What of `USUAL_NAMES` becomes no manifest value by `manifest_fields`."""

MOST_ATTRIBUTES = 256
"""Upstream columns kept as `attr.*` at most: of tables with thousands the first ones."""

RESERVED_ATTRIBUTES = (
    "caption_source", "original_path", "original_width_px", "original_height_px", "ita_degrees", "copy_cluster",
)  # fmt: skip
"""`attr.*` names that intake writes itself; upstream columns of these names get `upstream_` in front."""

_SAID_UNKNOWN = {"-1", "-1.0", "unknown", "unk"}
_UNKNOWN = {"", "nan", "na", "n/a", "null", "none", "unknown", "unk", "-"}
_TRAILING_UNIT = MappingProxyType({"y": 1.0, "m": 1 / 12, "w": 1 / 52.18, "d": 1 / 365.25})
_ROMAN = MappingProxyType({"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6})
_WORDS = MappingProxyType({"image": "the image file", "mask": "the mask file", "site": "the body site"})
_SKIN_GROUPS = MappingProxyType({
    "12": "I-II", "34": "III-IV", "56": "V-VI", "1-2": "I-II", "3-4": "III-IV", "5-6": "V-VI",
    "i-ii": "I-II", "iii-iv": "III-IV", "v-vi": "V-VI",
})  # fmt: skip


@dataclass(frozen=True)
class ColumnMatch:
    """taken: manifest column -> upstream column; reasons: manifest column -> why; attributes: upstream -> `attr.*`."""

    taken: Mapping[str, str]
    reasons: Mapping[str, str]
    attributes: Mapping[str, str]
    notes: tuple[str, ...] = ()


def match_columns(
    columns: Sequence[str],
    column_map: Mapping[str, str],
    *,
    where: str,
    own: OwnColumns | None = None,
    required: Sequence[str] = REQUIRED,
) -> ColumnMatch:
    """What each upstream column is: as mapped, else by its usual names. An upstream column is taken once.

    own: manifest column -> upstream column of a known archive, in place of the usual names. DataError, with the nearest
    names, for an unknown target or upstream name, or when a required column is not to be found.
    """
    _check_map(columns, column_map, where)
    taken = dict(column_map)
    reasons = {target: f"the column map names {name!r}" for target, name in taken.items()}
    by_name = {_normal(name): name for name in reversed(columns)}
    if own is None:
        wanted = {target: names for target, names in USUAL_NAMES.items() if target not in taken}
        why = "its name {name!r} usually means {target}"
    else:
        wanted = {target: tuple(map(_normal, _names(own[target]))) for target in own if target not in taken}
        why = "{name!r} is the archive's own column for {target}"
    for target, names in wanted.items():
        found = next((by_name[name] for name in names if name in by_name and by_name[name] not in taken.values()), None)
        if found is not None:
            taken[target] = found
            reasons[target] = why.format(name=found, target=_WORDS.get(target, target.replace("_", " ")))
    missing = [target for target in required if target not in taken]
    if missing:
        _raise_missing(missing, columns, where, own)
    used = set(taken.values())
    others = [name for name in columns if name not in used]
    notes: tuple[str, ...] = ()
    if len(others) > MOST_ATTRIBUTES:
        notes = (
            f"the table has {len(columns)} columns: of those not known here the first {MOST_ATTRIBUTES} are kept as "
            f"attr.*, {len(others) - MOST_ATTRIBUTES} are left out; drop columns from the table to choose which",
        )
        others = others[:MOST_ATTRIBUTES]
    attributes = {name: _attribute(name) for name in (*others, *used)}
    reasons |= {attributes[name]: "kept as it is" for name in others}
    return ColumnMatch(taken, reasons, attributes, notes)


def columns_in_use(
    column_map: Mapping[str, str], *, where: str, own: OwnColumns | None = None, required: Sequence[str] = REQUIRED
) -> Callable[[Sequence[str]], Container[str]]:
    """For `read_table`: of a table's columns those whose cells an import reads; it raises as `match_columns` does."""
    return lambda columns: match_columns(columns, column_map, where=where, own=own, required=required).attributes


def manifest_fields(cells: Mapping[str, str], match: ColumnMatch) -> tuple[dict[str, Any], list[str]]:
    """Manifest values of a row, and the manifest columns whose cell was not understood.

    Columns that were taken for nothing become `attr.<name>`, as do cells that were not understood: nothing is lost. A
    skin type said to be unknown has no value but the source `given`: it is not to be estimated.
    """
    fields: dict[str, Any] = {}
    unclear: list[str] = []
    kept: dict[str, str] = {}
    used = set(match.taken.values())
    for target, upstream in match.taken.items():
        text = cells.get(upstream, "")
        if target in FILES:
            continue
        if text.lower() in _UNKNOWN or (text in _SAID_UNKNOWN and target.startswith("skin_type")):
            if target.startswith("skin_type") and text.lower() in _SAID_UNKNOWN:
                fields["skin_type_source"] = "given"
            continue
        try:
            fields[target] = _CONVERTERS.get(target, str)(text)
        except ValueError:
            unclear.append(target)
            kept[match.attributes[upstream]] = text
    if "skin_type" in fields:
        fields["skin_type_group"] = SKIN_TYPE_GROUPS[fields["skin_type"]]
    if "skin_type_group" in fields:
        fields["skin_type_source"] = "given"
    for name, text in cells.items():
        if name not in used and name in match.attributes:
            kept[match.attributes[name]] = text
    return fields | kept, unclear


def _check_map(columns: Sequence[str], column_map: Mapping[str, str], where: str) -> None:
    unknown_targets = sorted(set(column_map) - USUAL_NAMES.keys())
    if unknown_targets:
        raise DataError(
            f"unknown columns in the column map: {', '.join(unknown_targets)}", where=where,
            expected=f"some of: {', '.join(USUAL_NAMES)}", todo=nearest_names(unknown_targets, list(USUAL_NAMES)),
        )  # fmt: skip
    known = set(columns)
    absent = sorted(name for name in column_map.values() if name not in known)
    if absent:
        raise DataError(
            f"the table has no column {', '.join(repr(name) for name in absent)}", where=where,
            expected=f"some of: {_shown(columns)}", todo=nearest_names(absent, list(columns)),
        )  # fmt: skip


def _raise_missing(missing: Sequence[str], columns: Sequence[str], where: str, own: OwnColumns | None) -> None:
    names = {target: _names(own[target]) if own and target in own else USUAL_NAMES[target] for target in missing}
    guesses = [guess for target in missing if (guess := _nearest(names[target], columns))]
    near = f"; did you mean {' and '.join(guesses)}?" if guesses else ""
    raise DataError(
        f"no column of the table tells the {' and the '.join(missing)}", where=where,
        expected=f"a column named like {names[missing[0]][0]}; the table has: {_shown(columns)}",
        todo=f"name it: --map {missing[0]}=COLUMN (in a recipe: intake.column_map={{{missing[0]}: COLUMN}}){near}",
    )  # fmt: skip


def _nearest(names: Sequence[str], columns: Sequence[str]) -> str:
    """The column most like one of the names, quoted with it; empty when none is like them."""
    by_name = {_normal(column): column for column in columns}
    pairs = [(near[0], name) for name in names if (near := difflib.get_close_matches(name, list(by_name), 1, 0.75))]
    if not pairs:
        return ""
    column, name = max(pairs, key=lambda pair: difflib.SequenceMatcher(None, *pair).ratio())
    return f"{by_name[column]!r} for {name!r}"


def _names(name: str | tuple[str, ...]) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


def _attribute(name: str) -> str:
    plain = " ".join(name.split())
    return ATTRIBUTE_PREFIX + ("upstream_" if plain in RESERVED_ATTRIBUTES else "") + plain


def _skin_type(text: str) -> int:
    number = _ROMAN.get(text.lower())
    value = float(text) if number is None else float(number)
    if value not in SKIN_TYPE_GROUPS:
        raise ValueError(text)
    return int(value)


def _skin_type_group(text: str) -> str:
    key = re.sub(r"[\s_]+", "", text.lower()).replace("–", "-")
    if key not in _SKIN_GROUPS:
        raise ValueError(text)
    return _SKIN_GROUPS[key]


def _age(text: str) -> float:
    unit = _TRAILING_UNIT.get(text[-1:].lower())
    age = float(text) if unit is None else round(float(text[:-1]) * unit, 2)
    if not 0 <= age <= 130:
        raise ValueError(text)
    return age


def _sex(text: str) -> str:
    return {"f": "female", "m": "male"}.get(text.lower(), text.lower())


_CONVERTERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"skin_type": _skin_type, "skin_type_group": _skin_type_group, "age": _age, "sex": _sex}
)


def _normal(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(columns[:30]) + (f" and {len(columns) - 30} more" if len(columns) > 30 else "")
