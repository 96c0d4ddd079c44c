"""Groups across splits: a patient, lesion, group or copy on both sides makes every later figure too good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from tenfold.data.findings import Finding
from tenfold.data.split_groups import crossing_groups, link_words
from tenfold.intake.checks.duplicates import Copies
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import Outcome, counted, listed, not_checked, plural
from tenfold.intake.contents import CheckRow, State

UPSTREAM_COLUMN = "attr.split"
_EVIDENCE = 8
_NAMED = 200


def split_crossing(material: Material, copies: Copies) -> Outcome:
    """Whether anything crosses the sealed split, or before it the planned one.

    ok: nothing; stop: a group of patient, lesion, group_id or near-duplicates, by hash or joined by intake; look:
    copies found by features alone that intake did not join, so that the split does not know of them.
    """
    check, title = "crossing", "Patients or copies across splits"
    if material.split_fault is not None:
        return not_checked(check, title, f"There is no split, and none can be planned: {material.split_fault}")
    name = "the split" if material.is_split else "the planned split"
    return _crossing(material, copies, CheckRow(check, title, "ok", 0, 0, name), material.splits)


def upstream_crossing(material: Material, copies: Copies) -> Outcome | None:
    """Whether anything crosses the split that the source came with (attr.split); None when it came with none.

    ok: nothing crosses; look: something does, which matters when that split is used.
    """
    splits = material.texts(UPSTREAM_COLUMN)
    if len({split for split in splits if split is not None}) < 2:
        return None
    title = "Patients or copies across the source's own split"
    row = CheckRow("upstream_crossing", title, "ok", 0, 0, "the split that the source came with")
    found = _crossing(material, copies, row, splits)
    return replace(found, row=replace(found.row, state="look")) if found.row.state == "stop" else found


def _crossing(material: Material, copies: Copies, row: CheckRow, splits: Sequence[str | None]) -> Outcome:
    """row: check, title, and the name of the split as its sentence."""
    ids, split_name = material.image_ids, row.sentence
    place_of = {image_id: place for place, image_id in enumerate(ids)}
    names = pd.Series([split for split in splits], index=ids, dtype="string")
    parted = crossing_groups(material.manifest, names, keys=material.keys)
    reasons: dict[int, str] = {}
    evidence: dict[int, list[str]] = {}

    def mark(members: Sequence[int], reason: str) -> None:
        for place in members:
            reasons.setdefault(place, reason)
            others = (other for other in members if splits[other] not in (splits[place], None))
            evidence.setdefault(place, []).extend(ids[other] for other in others)

    for number, group in enumerate(parted):
        # Finding the words looks through the whole manifest: enough of them are named to see what is wrong.
        words = link_words(material.manifest, group.image_ids) if number < _NAMED else "one group"
        mark([place_of[image_id] for image_id in group.image_ids], words)
    by_features = [
        cluster.tolist()
        for cluster in copies.clusters
        if len({splits[place] for place in cluster} - {None}) > 1 and not reasons.keys() >= set(cluster.tolist())
    ]
    for members in by_features:
        mark([place for place in members if splits[place] is not None], "a copy by features")
    findings = tuple(
        Finding(
            row.check, ids[place], float(place in reasons), place in reasons,
            tuple(_first(evidence.get(place, ()))),
            f"in {splits[place]}, and images it belongs with are in another split: {reasons[place]}"
            if place in reasons else "",
        )
        for place in range(len(ids))
    )  # fmt: skip
    row = replace(row, n_checked=sum(split is not None for split in splits), n_flagged=len(reasons))
    if not reasons:
        return Outcome(replace(row, sentence=_nothing(material, split_name)), findings)
    state: State = "stop" if parted else "look"
    told = []
    if parted:
        told.append(f"{counted(len(parted), material.group_word)} ({listed(_words(reasons, parted, place_of), 3)})")
    if by_features:
        told.append(counted(len(by_features), "cluster of copies found by features", "clusters of copies by features"))
    advice = (
        "figures on it are too good: split by group again, in a new workspace."
        if parted
        else (
            "where they are one picture, give them one group_id and split "
            + ("again, in a new workspace." if material.is_split else "then.")
        )
    )
    verb = plural(len(parted) + len(by_features), "crosses", "cross")
    sentence = f"{' and '.join(told)} {verb} {split_name} ({counted(len(reasons), 'image')}): {advice}"
    return Outcome(replace(row, state=state, sentence=sentence), findings)


def _nothing(material: Material, split_name: str) -> str:
    if material.has_patients:
        return f"No patient, lesion or copy crosses {split_name}."
    if material.is_group_known.any():
        return f"No known group or copy crosses {split_name}; patients are not known."
    return (
        f"No copy crosses {split_name}, but no patient or group is known: images of one patient may still lie on both "
        "sides."
    )


def _words(reasons: dict[int, str], parted: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]],
           place_of: dict[str, int]) -> list[str]:  # fmt: skip
    return list(dict.fromkeys(reasons[place_of[group[2][0]]] for group in parted))


def _first(image_ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(image_ids))[:_EVIDENCE]
