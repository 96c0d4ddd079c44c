"""Plain faults of images: files set aside by intake, blank, tiny and absurdly large ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from tenfold.data.findings import Finding
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.outcome import Outcome, counted, listed
from tenfold.intake.contents import CheckRow, QuarantineReason, State, SuspectImage

TWIN_REASONS = ("exact_duplicate", "conflicting_labels")
"""Reasons of the quarantine that say a file is there twice: the duplicate check tells of them."""

UNCHOSEN_REASONS = ("not_chosen",)
"""Reasons of rows that are sound but were not asked for, such as the other slices of a series."""

BLANK_CONTRAST = 3.0
"""Standard deviation of gray levels below which a picture shows nothing."""

MOST_LOST = 0.2
"""Share of rows lost from which the rest may stand for nothing: the state is stop."""

_EXAMPLES = 3


def quarantine_reasons(material: Material) -> tuple[QuarantineReason, ...]:
    """Why rows were set aside, the most frequent first."""
    table = material.quarantine
    reasons = table["reason"].fillna("not told").astype(str)
    counts = reasons.value_counts()
    found = []
    for reason in sorted(counts.index, key=lambda name: (-int(counts[name]), name)):
        rows = table[reasons == reason].head(_EXAMPLES)
        names = [
            f"{path}{'' if line is None else f' (line {line})'}"
            for path, line in zip(_texts(rows["path"]), _texts(rows["line"]), strict=True)
        ]
        found.append(QuarantineReason(reason, int(counts[reason]), tuple(names)))
    return tuple(found)


def lost_rows(material: Material) -> Outcome:
    """Rows that could not be read or used. ok: none; look: any; stop: more than a fifth of all rows, or of a class.

    Copies and rows that were not asked for are not counted. A quarantined row has no image_id: its findings carry
    `quarantine:` and its path.
    """
    check, title = "unreadable", "Files that could not be used"
    table = material.quarantine
    reasons = table["reason"].fillna("not told").astype(str)
    table = table[~reasons.isin([*TWIN_REASONS, *UNCHOSEN_REASONS]).to_numpy()]
    findings = tuple(
        Finding(check, f"quarantine:{path}", 1.0, True, (), f"{reason}: {detail}" if detail else str(reason))
        for path, reason, detail in zip(*(_texts(table[name]) for name in ("path", "reason", "detail")), strict=True)
    )
    n_kept, n_lost = len(material.manifest), len(table)
    if not n_lost:
        return Outcome(CheckRow(check, title, "ok", n_kept, 0, "Every file could be read and used."))
    shares = {"all rows": n_lost / (n_kept + n_lost)}
    lost_labels = table["label"].astype("string")
    for place, label in enumerate(material.labels):
        lost = int((lost_labels == label).fillna(False).sum())
        shares[f"class {label}"] = lost / (lost + int((material.codes == place).sum()))
    hardest = max(shares, key=lambda name: shares[name])
    state: State = "stop" if shares[hardest] > MOST_LOST else "look"
    counts = table["reason"].astype(str).value_counts()
    told = listed(f"{int(counts[name])} {name.replace('_', ' ')}" for name in sorted(counts.index))
    sentence = (
        f"{counted(n_lost, 'row')} of {n_kept + n_lost:,} could not be used ({told}); of {hardest} "
        f"{shares[hardest]:.0%} "
        "are lost. "
    )
    sentence += (
        "What is left may not stand for the source: mend the files and import again."
        if state == "stop"
        else "See data/quarantine.csv for each."
    )
    return Outcome(CheckRow(check, title, state, n_kept + n_lost, n_lost, sentence), findings)


def blank_images(material: Material, contrast: NDArray[np.float32]) -> Outcome:
    """Images of one gray level, more or less; the score is 0.5 at the limit and 1 for a constant image.

    ok: none; look: any.
    """
    scores = BLANK_CONTRAST / (BLANK_CONTRAST + contrast.astype(np.float64))
    return _per_image(
        material, ("blank", "Blank images"), scores, contrast < BLANK_CONTRAST,
        detail=lambda place: f"gray levels vary by {contrast[place]:.1f} of 255 only",
        advice="They show nothing: remove them or find the right files.",
    )  # fmt: skip


def tiny_images(material: Material, smallest_side_px: int) -> Outcome:
    """Originals whose shorter side is below the limit; the score is 0.5 at the limit. ok: none; look: any."""
    width, height = material.original_sizes()
    side = np.fmax(np.fmin(width, height), 1.0)
    return _per_image(
        material, ("tiny", "Tiny images"), smallest_side_px / (smallest_side_px + side), side < smallest_side_px,
        detail=lambda place: f"{width[place]:.0f} x {height[place]:.0f} px",
        advice=f"Below {smallest_side_px} px they are thumbnails or cuttings: find the full images or leave them out.",
    )  # fmt: skip


def huge_images(material: Material, largest_megapixels: float) -> Outcome:
    """Originals of more megapixels than the limit; the score is 0.5 at the limit. ok: none; look: any."""
    width, height = material.original_sizes()
    megapixels = width * height / 1e6
    return _per_image(
        material, ("huge", "Absurdly large images"), megapixels / (megapixels + largest_megapixels),
        megapixels > largest_megapixels,
        detail=lambda place: f"{width[place]:.0f} x {height[place]:.0f} px, {megapixels[place]:.0f} megapixels",
        advice="Once resized, their lesion may be a speck: crop to what matters, and see whether they are slides.",
    )  # fmt: skip


def _per_image(
    material: Material, name: tuple[str, str], scores: NDArray[np.float64], is_flagged: NDArray[np.bool_],
    *, detail: Callable[[int], str], advice: str,
) -> Outcome:  # fmt: skip
    check, title = name
    ids, labels, paths = material.image_ids, material.texts("label"), material.texts("path")
    scores = np.where(np.isfinite(scores), scores, 0.0)
    findings = tuple(
        Finding(check, ids[k], float(scores[k]), bool(is_flagged[k]), (), detail(k) if is_flagged[k] else "")
        for k in range(len(ids))
    )
    worst_first = sorted(np.flatnonzero(is_flagged), key=lambda k: (-float(scores[k]), ids[k]))
    suspects = tuple(
        SuspectImage(check, ids[k], paths[k], labels[k] or "", float(scores[k]), detail(int(k))) for k in worst_first
    )
    if not suspects:
        return Outcome(CheckRow(check, title, "ok", len(ids), 0, f"No {title.lower()}."), findings)
    classes = sorted({suspect.label for suspect in suspects})
    sentence = f"{counted(len(suspects), 'image')} of {len(ids):,}, in {listed(classes)}. {advice}"
    return Outcome(CheckRow(check, title, "look", len(ids), len(suspects), sentence), findings, suspects)


def _texts(column: Iterable[object]) -> list[str | None]:
    """Cells as texts; None for a missing one (pandas gives NA or NaN)."""
    return [cell if isinstance(cell, str) else None for cell in list(column)]
