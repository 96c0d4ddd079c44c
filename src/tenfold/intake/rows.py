"""Rows: manifest rows from imported images, their captions and groups, and the quarantine table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tenfold.core.hashing import sha256_bytes
from tenfold.data.captions import PHOTO_PREFIX, class_noun, template_caption
from tenfold.data.import_items import ImportItem, QuarantineRow
from tenfold.data.manifest import SKIN_TYPE_GROUPS
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.data.phantom import PhantomImage
from tenfold.data.skin_tone import skin_type_of_ita
from tenfold.data.splits import GROUP_COLUMNS, group_keys
from tenfold.intake.originals import IMAGE_ID_DIGITS, Original
from tenfold.intake.preparation import Prepared

IMAGES_FOLDER = "data/images"
MASKS_FOLDER = "data/masks"
QUARANTINE_COLUMNS = ("line", "path", "label", "reason", "detail")


@dataclass(frozen=True)
class RowSettings:
    """What all rows of an import share. modality: for rows whose table does not tell it."""

    image_size_px: int
    modality: str | None
    class_nouns: Mapping[str, str]


def imported_row(original: Original, prepared: Prepared, settings: RowSettings) -> dict[str, Any]:
    """The manifest row of one imported image.

    One without a caption gets it from its class, site and skin type as given: an estimated type is in no caption.
    """
    item = original.item
    fields = {**captioned(item, settings.class_nouns), **skin_fields(item.fields, prepared.ita_degrees)}
    mask_path = f"{MASKS_FOLDER}/{original.image_id}.png" if prepared.mask_sha256 else None
    return {
        "modality": settings.modality, **fields, "image_id": original.image_id,
        "path": f"{IMAGES_FOLDER}/{original.image_id}.png", "label": item.label, "source": "real",
        "mask_path": mask_path, "width_px": settings.image_size_px, "height_px": settings.image_size_px,
        "sha256": prepared.sha256, "phash": prepared.phash, "attr.original_path": item.name,
        "attr.original_width_px": prepared.facts.width_px, "attr.original_height_px": prepared.facts.height_px,
    }  # fmt: skip


def captioned(item: ImportItem, class_nouns: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an item, with a caption from its class, site and skin type where it has none."""
    fields = dict(item.fields)
    if "caption" not in fields:
        noun = class_noun(item.label, class_nouns)
        fields["caption"] = template_caption(noun, skin_type=fields.get("skin_type"), site=fields.get("site"))
        fields["attr.caption_source"] = "template"
    return fields


def skin_fields(given: Mapping[str, Any], ita_degrees: float | None) -> dict[str, Any]:
    """The measured ITA, and the skin type it suggests where the source says nothing: marked `estimated`.

    A type that was given stays, and so does one given as unknown.
    """
    if ita_degrees is None:
        return {}
    fields: dict[str, Any] = {"attr.ita_degrees": f"{ita_degrees:.1f}"}
    told = (given.get(name) for name in ("skin_type", "skin_type_group", "skin_type_source"))
    if all(value is None for value in told):
        skin_type = skin_type_of_ita(ita_degrees)
        group = SKIN_TYPE_GROUPS[skin_type]
        fields |= {"skin_type": skin_type, "skin_type_group": group, "skin_type_source": "estimated"}
    return fields


def phantom_row(photo: PhantomImage, png: bytes, *, modality: str, class_nouns: Mapping[str, str]) -> dict[str, Any]:
    """The manifest row of one phantom image, whose file holds these bytes."""
    sha256 = sha256_bytes(png)
    image_id = sha256[:IMAGE_ID_DIGITS]
    own, noun = class_noun(photo.label), class_noun(photo.label, class_nouns)
    caption = photo.caption.replace(f"{PHOTO_PREFIX} {own}", f"{PHOTO_PREFIX} {noun}", 1)
    return {
        "image_id": image_id, "path": f"{IMAGES_FOLDER}/{image_id}.png", "label": photo.label, "source": "real",
        "patient_id": photo.patient_id, "lesion_id": photo.lesion_id, "skin_type": photo.skin_type,
        "skin_type_group": SKIN_TYPE_GROUPS[photo.skin_type], "skin_type_source": "given",
        "severity": photo.severity, "site": photo.site, "age": photo.age, "sex": photo.sex, "modality": modality,
        "caption": caption, "mask_path": f"{MASKS_FOLDER}/{image_id}.png",
        "width_px": photo.image.shape[1], "height_px": photo.image.shape[0], "sha256": sha256,
        "phash": perceptual_hash(photo.image), "attr.caption_source": "phantom", "attr.image_key": photo.image_key,
        "attr.attributes": "; ".join(photo.attributes),
    }  # fmt: skip


def known_group_columns(manifest: pd.DataFrame) -> list[str]:
    """Of group_id, patient_id and lesion_id those that any row has."""
    return [name for name in GROUP_COLUMNS if manifest[name].notna().any()]


def fill_groups(manifest: pd.DataFrame) -> pd.DataFrame:
    """A copy in which every row has a group_id: its own, else that of an image it is connected to, else a new one.

    Connected means one patient, lesion or near-duplicate cluster, by hash or by features; see `splits.group_keys`.
    """
    keys, own = group_keys(manifest), manifest["group_id"]
    named = own.dropna()
    shared = keys.map(named.groupby(keys[named.index]).min()).astype("string")
    names = own.fillna(shared).fillna("group_" + keys)
    return manifest.assign(group_id=names)


def quarantine_table(rows: Sequence[QuarantineRow]) -> pd.DataFrame:
    """The quarantine as a table, in order of line and path; `line` is null where the source is no table."""
    ordered = sorted(rows, key=lambda row: (row.line or 0, row.path, row.reason, row.detail))
    columns: dict[str, Any] = {
        name: pd.array([getattr(row, name) for row in ordered], dtype="Int64" if name == "line" else "string")
        for name in QUARANTINE_COLUMNS
    }
    return pd.DataFrame(columns, columns=list(QUARANTINE_COLUMNS))
