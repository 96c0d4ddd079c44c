"""Rows: manifest rows from imported images, their captions and groups, and the quarantine table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tenfold.core.hashing import sha256_bytes
from tenfold.data.captions import PHOTO_PREFIX, class_noun, template_caption
from tenfold.data.import_items import QuarantineRow
from tenfold.data.manifest import SKIN_TYPE_GROUPS
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.data.phantom import PhantomImage
from tenfold.data.splits import GROUP_COLUMNS, group_keys
from tenfold.intake.originals import IMAGE_ID_DIGITS, Original
from tenfold.intake.preparation import Prepared

IMAGES_FOLDER = "data/images"
MASKS_FOLDER = "data/masks"
QUARANTINE_COLUMNS = ("line", "path", "label", "reason", "detail")


def imported_row(
    original: Original, prepared: Prepared, *, image_size_px: int, modality: str | None, class_nouns: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest row of one imported image; one without a caption gets it from its class, site and skin type."""
    item, fields = original.item, dict(original.item.fields)
    if "caption" not in fields:
        noun = class_noun(item.label, class_nouns)
        fields["caption"] = template_caption(noun, skin_type=fields.get("skin_type"), site=fields.get("site"))
        fields["attr.caption_source"] = "template"
    return {
        "modality": modality, **fields, "image_id": original.image_id,
        "path": f"{IMAGES_FOLDER}/{original.image_id}.png", "label": item.label, "source": "real",
        "width_px": image_size_px, "height_px": image_size_px, "sha256": prepared.sha256, "phash": prepared.phash,
        "attr.original_path": item.name, "attr.original_width_px": prepared.original_width_px,
        "attr.original_height_px": prepared.original_height_px,
    }  # fmt: skip


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

    Connected means one patient, lesion or near-duplicate cluster; see `splits.group_keys`.
    """
    keys = group_keys(manifest).astype(str)
    given = manifest["group_id"].groupby(keys.to_numpy()).min()
    names = [
        own if isinstance(own, str) else given[key] if isinstance(given[key], str) else f"group_{key}"
        for own, key in zip(manifest["group_id"].astype(object), keys, strict=True)
    ]
    return manifest.assign(group_id=pd.array(names, dtype="string"))


def quarantine_table(rows: Sequence[QuarantineRow]) -> pd.DataFrame:
    """The quarantine as a table, in order of line and path; `line` is null where the source is no table."""
    ordered = sorted(rows, key=lambda row: (row.line or 0, row.path, row.reason, row.detail))
    columns: dict[str, Any] = {
        name: pd.array([getattr(row, name) for row in ordered], dtype="Int64" if name == "line" else "string")
        for name in QUARANTINE_COLUMNS
    }
    return pd.DataFrame(columns, columns=list(QUARANTINE_COLUMNS))
