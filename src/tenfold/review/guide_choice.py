"""Which real images stand beside the queue as examples: chosen before others are queued, and never queued themselves.

An example that comes up in somebody's queue, or whose likeness does, tells which images are real.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.review.items import MANIFEST
from tenfold.review.records import Item

GUIDES = "review/guides.json"
GUIDES_PER_CLASS = 4
_ONE_IN = 4
"""A class with few real images keeps the most of them for the queue."""
_KINSHIP = ("patient_id", "lesion_id", "group_id")

_Kin = Mapping[str, Collection[tuple[str, str]]]
"""By image id, the patient, lesion and group that it is of."""


@dataclass(frozen=True)
class Guides:
    """Ids of real images. `shown`: by class, the examples; `kept`: all that ever were, which are never queued; `kin`:
    others of the same patient, lesion or group, which are queued only where there are no others."""

    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    kin: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        shown = {label: list(ids) for label, ids in sorted(self.shown.items())}
        return {"shown": shown, "kept": sorted(self.kept), "kin": sorted(self.kin)}


def kept_guides(workspace: Workspace) -> Guides:
    """The guides of the workspace's reviews; none before one was begun. DataError when the file is damaged."""
    place = workspace.resolve(GUIDES)
    if not place.is_file():
        return Guides()
    try:
        plain = read_json(place)
        return Guides(dict(plain["shown"]), frozenset(plain["kept"]), frozenset(plain["kin"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the list of guide images is damaged", where=str(place), expected="the file as Tenfold wrote it",
            todo="Remove it: guide images are then chosen anew, among those that are not queued.",
        ) from error  # fmt: skip


def keep_guides(
    workspace: Workspace, candidates: Sequence[Item], queued: Sequence[Item], named: Collection[str], seed: int
) -> Guides:
    """Choose the guides of the queued images' classes, and keep them: those of before stay while they are fit.

    Not fit is what is queued, what a queued image was made of, and what shows the same patient, lesion or group as
    either.

    Args:
        candidates: real images that reviewers may see.
        queued: all images that are judged or are to be, generated ones too.
        named: paths in the workspace of guides that the rubric names: they are never queued from now on.
    """
    before = kept_guides(workspace)
    kin_of = _kin(workspace)
    is_queued = {item.image_id for item in queued if item.source == "real"}
    unfit = is_queued | {item.parent_id for item in queued if item.parent_id}
    avoided = {one for image_id in unfit for one in kin_of.get(image_id, ())}
    fit = {
        item.image_id: item
        for item in candidates
        if item.image_id not in unfit and avoided.isdisjoint(kin_of.get(item.image_id, ()))
    }
    counts = Counter(item.label for item in candidates)
    ranked = sorted(fit, key=lambda image_id: (derive_seed(seed, "review-guides", image_id), image_id))
    shown = {}
    for label in sorted({item.label for item in queued}):
        wanted = min(GUIDES_PER_CLASS, max(counts[label] // _ONE_IN, int(counts[label] > 1)))
        former = [image_id for image_id in before.shown.get(label, ()) if image_id in fit]
        others = [image_id for image_id in ranked if fit[image_id].label == label and image_id not in former]
        shown[label] = [*former, *others][: max(wanted, len(former))]
    kept = before.kept | {image_id for ids in shown.values() for image_id in ids}
    kept |= {item.image_id for item in candidates if item.path in named} - is_queued
    own = {one for image_id in kept for one in kin_of.get(image_id, ())}
    kin = {item.image_id for item in candidates if not own.isdisjoint(kin_of.get(item.image_id, ()))}
    made = Guides(shown, frozenset(kept), frozenset(kin - kept))
    if made.as_dict() != before.as_dict():
        write_json_atomic(workspace.resolve(GUIDES), made.as_dict())
    return made


def _kin(workspace: Workspace) -> _Kin:
    place = workspace.resolve(MANIFEST)
    if not place.is_file():
        return {}
    table = read_manifest(place)[["image_id", *_KINSHIP]]
    return {
        row["image_id"]: [(name, row[name]) for name in _KINSHIP if row[name] is not None]
        for row in manifest_rows(table)
    }
