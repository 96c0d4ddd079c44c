"""The phantom's cohort as intake rows: drawn from the seed, with masks, captions and invented patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.files import write_bytes_atomic
from tenfold.core.workspace import Workspace
from tenfold.data.images import ImageHeader, encode_png
from tenfold.data.phantom import make_cohort
from tenfold.data.skin_tone import skin_ita
from tenfold.intake.file_facts import FileFacts, facts_of
from tenfold.intake.rows import phantom_row, skin_fields

DRAWN = "drawn"
"""The format of images that never were files of anybody."""


@dataclass(frozen=True)
class CohortPlan:
    """What to draw: images by class, their size, the skin types and the seed."""

    counts: Mapping[str, int]
    seed: int
    image_size_px: int
    skin_types: Sequence[int]


def draw_cohort(
    plan: CohortPlan, workspace: Workspace, *, modality: str, class_nouns: Mapping[str, str], measures_skin: bool
) -> Iterator[tuple[dict[str, Any], FileFacts]]:
    """Draw image after image; each is written with its mask and given as its manifest row and file facts."""
    for label, count in plan.counts.items():
        photos = make_cohort(
            {label: count}, seed=plan.seed, image_size_px=plan.image_size_px, skin_types=plan.skin_types
        )
        for photo in photos:
            png = encode_png(photo.image)
            row = phantom_row(photo, png, modality=modality, class_nouns=class_nouns)
            if measures_skin:
                row |= skin_fields(row, skin_ita(photo.image, photo.mask))
            write_bytes_atomic(workspace.resolve(row["path"]), png)
            write_bytes_atomic(workspace.resolve(row["mask_path"]), encode_png(photo.mask))
            height, width = photo.image.shape[:2]
            yield row, facts_of(ImageHeader(DRAWN, width, height, "RGB", 1), Image.fromarray(photo.image), None)


def phantom_counts(wanted: int | Mapping[str, int], labels: Sequence[str]) -> dict[str, int]:
    """Images to draw by class. DataError when numbers by class do not fit the classes."""
    if isinstance(wanted, int):
        return dict.fromkeys(labels, wanted)
    missing = [label for label in labels if label not in wanted]
    unused = [label for label in wanted if label not in labels]
    if missing or unused:
        faults = [f"no number for {', '.join(missing)}"] if missing else []
        faults += [f"not among the classes: {', '.join(unused)}"] if unused else []
        raise DataError(
            f"the phantom's images_per_class does not fit its classes: {'; '.join(faults)}",
            where="intake.phantom.images_per_class",
            expected=f"a number for each of {', '.join(labels)}, or one for all",
        )
    return {label: wanted[label] for label in labels}
