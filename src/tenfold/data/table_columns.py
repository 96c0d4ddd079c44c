"""Table columns: which upstream column means what, and how its cells become manifest values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.import_items import nearest_names
from tenfold.data.manifest import ATTRIBUTE_PREFIX, SKIN_TYPE_GROUPS

USUAL_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "image": (
        "image", "file", "path", "filename", "file_name", "filepath", "file_path", "image_path", "image_file",
        "image_name", "img", "image_id", "isic_id", "md5hash",
    ),
    "label": ("label", "dx", "diagnosis", "class", "class_name", "category"),
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
})  # fmt: skip
"""Manifest column (and `image`, the file) -> upstream names it is recognized by, best first, whatever their case."""

REQUIRED = ("image", "label")
RESERVED_ATTRIBUTES = ("caption_source", "original_path", "original_width_px", "original_height_px")
"""`attr.*` names that intake writes itself; upstream columns of these names get `upstream_` in front."""

_UNKNOWN = {"", "nan", "na", "n/a", "null", "none", "unknown", "unk", "-"}
_ROMAN = MappingProxyType({"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6})
_SKIN_GROUPS = MappingProxyType({
    "12": "I-II", "34": "III-IV", "56": "V-VI", "1-2": "I-II", "3-4": "III-IV", "5-6": "V-VI",
    "i-ii": "I-II", "iii-iv": "III-IV", "v-vi": "V-VI",
})  # fmt: skip


def match_columns(columns: Sequence[str], column_map: Mapping[str, str], *, where: str) -> dict[str, str]:
    """Manifest column -> upstream column: as mapped, else by its usual names. An upstream column is taken once.

    DataError, with the nearest names, for an unknown target or upstream name, or when image or label is not to be
    found.
    """
    unknown_targets = sorted(set(column_map) - USUAL_NAMES.keys())
    if unknown_targets:
        raise DataError(
            f"unknown columns in the column map: {', '.join(unknown_targets)}", where=where,
            expected=f"some of: {', '.join(USUAL_NAMES)}", todo=nearest_names(unknown_targets, list(USUAL_NAMES)),
        )  # fmt: skip
    absent = sorted(name for name in column_map.values() if name not in columns)
    if absent:
        raise DataError(
            f"the table has no column {', '.join(repr(name) for name in absent)}", where=where,
            expected=f"some of: {_shown(columns)}", todo=nearest_names(absent, list(columns)),
        )  # fmt: skip
    taken = dict(column_map)
    by_name = {_normal(name): name for name in reversed(columns)}
    for target, names in USUAL_NAMES.items():
        for name in names:
            if target not in taken and name in by_name and by_name[name] not in taken.values():
                taken[target] = by_name[name]
    missing = [target for target in REQUIRED if target not in taken]
    if missing:
        near = nearest_names([name for target in missing for name in USUAL_NAMES[target][:2]], list(columns))
        raise DataError(
            f"no column of the table tells the {' and the '.join(missing)}", where=where,
            expected=f"a column named like {USUAL_NAMES[missing[0]][0]}; the table has: {_shown(columns)}",
            todo=f"name it: intake.column_map={{{missing[0]}: COLUMN}}" + ("" if "choose" in near else f"; {near}"),
        )  # fmt: skip
    return taken


def manifest_fields(cells: Mapping[str, str], taken: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Manifest values of a row, and the manifest columns whose cell was not understood.

    Columns that were taken for nothing become `attr.<name>`, as do cells that were not understood: nothing is lost.
    """
    fields: dict[str, Any] = {}
    unclear: list[str] = []
    attributes = {name: text for name, text in cells.items() if name not in taken.values()}
    for target, upstream in taken.items():
        text = cells.get(upstream, "")
        if target in REQUIRED or text.lower() in _UNKNOWN:
            continue
        try:
            fields[target] = _CONVERTERS.get(target, str)(text)
        except ValueError:
            unclear.append(target)
            attributes[upstream] = text
    if fields.get("skin_type") is None:
        fields.pop("skin_type", None)
    else:
        fields["skin_type_group"] = SKIN_TYPE_GROUPS[fields["skin_type"]]
    if "skin_type_group" in fields:
        fields["skin_type_source"] = "given"
    for name, text in attributes.items():
        fields[ATTRIBUTE_PREFIX + ("upstream_" if name in RESERVED_ATTRIBUTES else "") + name] = text
    return fields, unclear


def _skin_type(text: str) -> int | None:
    number = _ROMAN.get(text.lower())
    value = float(text) if number is None else float(number)
    if value == -1:
        return None
    if value not in SKIN_TYPE_GROUPS:
        raise ValueError(text)
    return int(value)


def _skin_type_group(text: str) -> str:
    key = re.sub(r"[\s_]+", "", text.lower()).replace("–", "-")
    if key not in _SKIN_GROUPS:
        raise ValueError(text)
    return _SKIN_GROUPS[key]


def _age(text: str) -> float:
    age = float(text)
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
