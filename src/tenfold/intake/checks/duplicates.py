"""Copies among the images: clusters of one picture, and one picture under two labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tenfold.data.findings import Finding
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.measures import Measures
from tenfold.intake.checks.near_copies import CopyLinks, clusters, copy_links
from tenfold.intake.checks.outcome import Outcome, counted, listed, plural
from tenfold.intake.contents import CheckRow, DuplicateCluster, State

MOST_SHOWN = 24
MANY_COPIES = 0.05
"""Share of images that are copies from which a set is smaller than it looks."""

MOST_TWO_LABELED = 0.05
"""Share of images with a copy of another label from which no label can be trusted: the state is stop."""

_EVIDENCE = 8


@dataclass(frozen=True)
class Copies:
    """The near-copies found: their links, clusters of places, and for every image the likeness of its best copy."""

    links: CopyLinks
    clusters: tuple[NDArray[np.int64], ...]
    best: NDArray[np.float64]


def find_copies(material: Material, measures: Measures, embedding_similarity: float) -> Copies:
    """Every cluster of images that are one picture, by hash and by features confirmed by details."""
    hashes = material.texts("phash")
    links = copy_links(hashes, measures.features, measures.thumbnails, embedding_similarity)
    best = np.zeros(len(hashes))
    np.maximum.at(best, links.first, links.likeness)
    np.maximum.at(best, links.second, links.likeness)
    return Copies(links, tuple(clusters(len(hashes), links)), best)


def duplicate_outcome(material: Material, copies: Copies) -> Outcome:
    """Copies among the kept images, and identical files that intake set aside.

    ok: none, or few that every split keeps together; look: a cluster that a split could part, or a twentieth of all
    images or more, as the set is then smaller than it looks. A finding's score is the likeness of the image's best copy
    (at least 0.5 when its hash tells), its evidence the other members of its cluster.
    """
    check, title = "duplicates", "Copies of one picture"
    findings = _findings(check, material, copies, copies.clusters)
    set_aside = int((material.quarantine["reason"] == "exact_duplicate").fillna(False).sum())
    n_images, n_clusters = len(material.manifest), len(copies.clusters)
    flagged = sum(len(members) for members in copies.clusters)
    sentence = ""
    if set_aside:
        sentence = (
            f"{counted(set_aside, 'file')} with the bytes of another {plural(set_aside, 'was', 'were')} set aside. "
        )
    if not n_clusters:
        return Outcome(
            CheckRow(check, title, "ok", n_images, 0, f"{sentence}No copies among the images kept."), findings
        )
    sentence += f"{counted(flagged, 'image')} of {n_images:,} form {counted(n_clusters, 'cluster')} of one picture"
    parted = sum(1 for members in copies.clusters if len(set(material.groups[members].tolist())) > 1)
    if parted:
        sentence += (
            f"; {parted} of them, found by features alone, could be parted by a split: give their images one "
            "group_id, or "
            "remove the copies."
        )
    else:
        sentence += (
            "; each stays on one side of a split, as its images share a hash, features, patient, lesion or group."
        )
    state: State = "look" if parted or flagged >= MANY_COPIES * n_images else "ok"
    return Outcome(CheckRow(check, title, state, n_images, flagged, sentence), findings)


def two_label_outcome(material: Material, copies: Copies) -> Outcome:
    """One picture under two labels. ok: none; look: any; stop: a twentieth of all images or more.

    Files with the same bytes and different labels were set aside by intake; they count here without an image_id.
    """
    check, title = "two_labels", "One picture under two labels"
    mixed = [members for members in copies.clusters if len(set(material.codes[members].tolist())) > 1]
    findings = _findings(check, material, copies, mixed)
    rows = material.quarantine[(material.quarantine["reason"] == "conflicting_labels").fillna(False).to_numpy()]
    findings += tuple(
        Finding(check, f"quarantine:{path}", 1.0, True, (), str(detail))
        for path, detail in zip(rows["path"].astype(str), rows["detail"].astype(str), strict=True)
    )
    kept_flagged = sum(len(members) for members in mixed)
    n_images = len(material.manifest) + len(rows)
    flagged = kept_flagged + len(rows)
    if not flagged:
        return Outcome(CheckRow(check, title, "ok", n_images, 0, "No picture carries two labels."), findings)
    state: State = "stop" if flagged / n_images >= MOST_TWO_LABELED else "look"
    sentence = ""
    if len(rows):
        verb = plural(len(rows), "was", "were")
        sentence += f"{counted(len(rows), 'file')} with a twin of another label {verb} set aside by intake. "
    if mixed:
        pairs = {tuple(sorted({material.labels[code] for code in material.codes[members]})) for members in mixed}
        sentence += (
            f"{counted(kept_flagged, 'image')} in {counted(len(mixed), 'cluster')} carry different labels "
            f"({listed(' and '.join(pair) for pair in sorted(pairs))}): one of them is wrong, or they show two "
            "findings. "
        )
    sentence += "Settle the labels first: " + (
        "with so many, no figure means anything." if state == "stop" else "see data/checks/findings.parquet."
    )
    return Outcome(CheckRow(check, title, state, n_images, flagged, sentence), findings)


def shown_clusters(material: Material, copies: Copies) -> tuple[DuplicateCluster, ...]:
    """The clusters for the page, the worst first: those that disagree in most, then the largest; 24 at most."""
    found = [_cluster(material, copies, members) for members in copies.clusters]
    found.sort(key=lambda cluster: (-len(cluster.crosses), -len(cluster.image_ids), cluster.image_ids))
    return tuple(found[:MOST_SHOWN])


def _cluster(material: Material, copies: Copies, members: NDArray[np.int64]) -> DuplicateCluster:
    def of(column: str) -> tuple[str | None, ...]:
        cells = material.manifest[column].iloc[members].astype(object)
        return tuple(cell if isinstance(cell, str) else None for cell in cells)

    def differs(values: Sequence[str | None]) -> bool:
        return len({value for value in values if value is not None}) > 1

    crosses: list[Literal["label", "split", "patient"]] = []
    if differs(of("label")):
        crosses.append("label")
    if differs(of("split")):
        crosses.append("split")
    if differs(of("patient_id")):
        crosses.append("patient")
    inside = np.isin(copies.links.first, members)
    pixels = material.manifest["sha256"].iloc[members]
    return DuplicateCluster(
        kind="exact" if pixels.nunique() == 1 else "near",
        image_ids=tuple(str(cell) for cell in of("image_id")), paths=of("path"),
        labels=tuple(str(cell) for cell in of("label")), splits=of("split"), patients=of("patient_id"),
        similarity=float(copies.links.likeness[inside].mean()), crosses=tuple(crosses),
    )  # fmt: skip


def _findings(
    check: str, material: Material, copies: Copies, flagged: Sequence[NDArray[np.int64]]
) -> tuple[Finding, ...]:
    """A finding for every image: those in `flagged` clusters are flagged."""
    ids, labels = material.image_ids, material.texts("label")
    cluster_of = {int(place): number for number, members in enumerate(flagged) for place in members}
    findings = []
    for place, image_id in enumerate(ids):
        number = cluster_of.get(place)
        if number is None:
            findings.append(Finding(check, image_id, 0.0, False, (), ""))
            continue
        others = [int(other) for other in flagged[number] if other != place]
        shown = ", ".join(f"{ids[other]} ({labels[other]})" for other in others[:3])
        detail = f"one picture with {shown}{' and others' if len(others) > 3 else ''}"
        score = max(0.5, float(copies.best[place]))
        findings.append(Finding(check, image_id, score, True, tuple(ids[k] for k in others[:_EVIDENCE]), detail))
    return tuple(findings)
