"""How the data commands show a preview, the findings of the checks and an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenfold.cli.console import Console
from tenfold.cli.progress import readable_seconds

if TYPE_CHECKING:
    from tenfold.core.run_record import Result
    from tenfold.intake.contents import CheckRow, IntakeFacts
    from tenfold.intake.export import Export
    from tenfold.intake.preview import IntakePreview
    from tenfold.recipes.data_intake import DataSummary

STATE_WORDS = {"stop": "STOP", "look": "look", "not_checked": "not checked", "ok": "ok"}
"""The worst first."""

MOST_CLASSES = 30
_SHOWN_FIELDS = ("patient_id", "lesion_id", "group_id", "skin_type", "skin_type_group", "age", "sex", "site")
_LONGEST_CELL = 60


def show_preview(preview: IntakePreview, console: Console) -> None:
    """What each column was taken for and why, images by class, a few rows and what is set aside so far."""
    if console.is_json:
        console.event("preview", preview.to_json())
        return
    console.line(f"Source: {preview.source} (read as: {preview.source_format})")
    console.table(
        "What the columns were taken for",
        ("Column", "Taken for", "Why"),
        [(_short(one.column), one.taken_for, one.reason) for one in preview.columns],
    )
    if preview.n_kept_columns:
        more = preview.n_kept_columns - len(preview.kept_columns)
        names = ", ".join(_short(name) for name in preview.kept_columns)
        console.line(f"Kept as they are: {names}" + (f" and {more:,} more" if more else ""))
    _classes(preview, console)
    _rows(preview, console)
    if preview.quarantine:
        console.table(
            "Set aside so far (before any image is decoded)",
            ("Reason", "Rows", "For example"),
            [(one.reason, f"{one.n_rows:,}", _short("; ".join(one.examples), 90)) for one in preview.quarantine],
        )
    for note in preview.notes:
        console.line(f"Note: {note}")
    for caution in preview.cautions:
        console.line(f"Caution: {caution}")
    console.line(
        f"{preview.n_rows_in:,} rows in = {preview.n_images:,} images to read + {preview.n_set_aside:,} set aside."
    )


def show_summary(summary: DataSummary, console: Console) -> None:
    """Counts, the classes, the checks with their state in words, the answer, and where to read and go on."""
    facts = summary.facts
    console.table("Classes", *_class_table(facts))
    worst_first = sorted(facts.checks, key=lambda one: list(STATE_WORDS).index(one.state))
    console.table(
        "Checks",
        ("State", "Check", "What was found"),
        [(STATE_WORDS[one.state], one.title, one.sentence) for one in worst_first],
    )
    lines = [_rows_line(facts)]
    if facts.quarantine:
        reasons = ", ".join(f"{one.n_rows:,} {one.reason}" for one in facts.quarantine)
        lines.append(f"Quarantined: {reasons} (data/quarantine.csv)")
    lines += [facts.answer, f"Page: {summary.page}"]
    if not console.is_quiet:
        lines += _next_steps(summary)
    console.line(f"Done in {readable_seconds(summary.seconds)}.")
    console.result(_summary_value(summary), lines)


def show_external(result: Result, console: Console) -> None:
    """Synthetic images made elsewhere: the counts, and what they may not be used for."""
    summary = dict(result.summary)
    rows_in, kept, refused = (summary.get(name) for name in ("rows_in", "kept", "quarantined"))
    lines = [f"{rows_in} rows in = {kept} kept + {refused} quarantined"] if rows_in is not None else []
    for warning in summary.get("warnings", ()):
        console.line(str(warning))
    lines.append(f"Synthetic images: {result.folder}")
    lines.append("Their ancestors are unknown: no strict comparison counts them.")
    console.result({"folder": str(result.folder), "summary": summary}, lines)


def show_export(written: Export, console: Console) -> None:
    """What was written, with its counts by split."""
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(written.by_split.items()))
    masks = f", {written.n_masks:,} masks" if written.n_masks else ""
    for note in written.notes:
        console.line(f"Note: {note}")
    value = {
        "target": str(written.target), "kind": written.kind, "images": written.n_images, "masks": written.n_masks,
        "by_split": dict(written.by_split), "notes": list(written.notes),
    }  # fmt: skip
    console.result(value, [f"{written.n_images:,} images ({counts}){masks}", f"Written: {written.target}"])


def _classes(preview: IntakePreview, console: Console) -> None:
    has_patients = any(one.n_patients is not None for one in preview.classes)
    has_lesions = any(one.n_lesions is not None for one in preview.classes)
    columns = ["Class", "Images", "Set aside"]
    columns += ["Patients"] if has_patients else []
    columns += ["Lesions"] if has_lesions else []
    rows: list[Sequence[object]] = []
    shown = sorted(preview.classes, key=lambda one: -(one.n_images + one.n_set_aside))[:MOST_CLASSES]
    for one in shown:
        row: list[object] = [_short(one.label), f"{one.n_images:,}", f"{one.n_set_aside:,}"]
        row += [_number(one.n_patients)] if has_patients else []
        row += [_number(one.n_lesions)] if has_lesions else []
        rows.append(row)
    left = preview.classes[len(shown) :]
    if left:
        images, set_aside = sum(one.n_images for one in left), sum(one.n_set_aside for one in left)
        unknown = [""] * (has_patients + has_lesions)
        rows.append([f"and {len(left)} smaller classes", f"{images:,}", f"{set_aside:,}", *unknown])
    title = "Classes" if not left else f"Classes (the {len(shown)} largest of {len(preview.classes)})"
    console.table(title, columns, rows)
    _skin_types(preview, console)
    if preview.n_masks:
        console.line(f"Masks: {preview.n_masks:,} images have one.")
    if preview.other_classes:
        names = ", ".join(f"{name} ({count:,})" for name, count in list(preview.other_classes.items())[:12])
        console.line(f"Not asked for: {names}" + (" ..." if len(preview.other_classes) > 12 else ""))


def _skin_types(preview: IntakePreview, console: Console) -> None:
    """Skin types as the source gives them, by class, rows without an image included; the sum of all classes last."""
    tones = sorted({tone for one in preview.classes for tone in one.skin_types}, key=lambda tone: (len(tone), tone))
    if not tones:
        return
    shown = sorted(preview.classes, key=lambda one: -sum(one.skin_types.values()))[:MOST_CLASSES]
    rows = [[_short(one.label, 36), *[f"{one.skin_types.get(tone, 0):,}" for tone in tones]] for one in shown]
    totals = [f"{sum(one.skin_types.get(tone, 0) for one in preview.classes):,}" for tone in tones]
    rows.append([f"all {len(preview.classes)} classes", *totals])
    console.table("Skin types given (Fitzpatrick), rows by class", ["Class", *tones], rows)


def _rows(preview: IntakePreview, console: Console) -> None:
    if not preview.samples:
        return
    names = [name for name in _SHOWN_FIELDS if any(name in row.fields for row in preview.samples)]
    console.table(
        "A few rows",
        ("File", "Class", *names, "Line"),
        [
            (_short(row.name, 40), row.label, *[_short(row.fields.get(name, "")) for name in names], row.line or "")
            for row in preview.samples
        ],
    )


def _class_table(facts: IntakeFacts) -> tuple[list[str], list[Sequence[object]]]:
    has_patients = any(one.n_patients is not None for one in facts.classes)
    splits = ["train", "val", "test"] if facts.is_split else []
    columns = ["Class", "Images", *(["Patients"] if has_patients else []), "Groups", *splits, "What it allows"]
    rows: list[Sequence[object]] = []
    for one in facts.classes:
        patients = [_number(one.n_patients or None)] if has_patients else []
        by_split = [f"{one.by_split.get(name, 0):,}" for name in splits]
        rows.append([_short(one.label), f"{one.n_images:,}", *patients, f"{one.n_groups:,}", *by_split, one.sentence])
    return columns, rows


def _rows_line(facts: IntakeFacts) -> str:
    return f"{facts.n_rows_in:,} rows in = {facts.n_kept:,} kept + {facts.n_quarantined:,} quarantined"


def _next_steps(summary: DataSummary) -> list[str]:
    place = summary.workspace
    steps = [] if summary.facts.is_split else [f"Next: tenfold data split --workspace {place}"]
    return [*steps, f"A study on these images: tenfold run {summary.recipe} --workspace {place} --dry-run"]


def _summary_value(summary: DataSummary) -> Mapping[str, Any]:
    facts = summary.facts
    return {
        "state": facts.state, "answer": facts.answer, "rows_in": facts.n_rows_in, "kept": facts.n_kept,
        "quarantined": facts.n_quarantined, "checks": [_check_value(one) for one in facts.checks],
        "classes": {one.label: one.n_images for one in facts.classes}, "is_split": facts.is_split,
        "notes": list(facts.notes), "page": str(summary.page), "workspace": str(summary.workspace),
        "recipe": str(summary.recipe), "split": summary.split, "seconds": summary.seconds,
    }  # fmt: skip


def _check_value(row: CheckRow) -> Mapping[str, Any]:
    return {
        "check": row.check, "state": row.state, "checked": row.n_checked, "flagged": row.n_flagged,
        "sentence": row.sentence,
    }  # fmt: skip


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _short(text: str, longest: int = _LONGEST_CELL) -> str:
    """Control characters shown as spaces, and a long text cut in its middle: names come from files."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    half = (longest - 3) // 2
    return clean if len(clean) <= longest else f"{clean[:half]}...{clean[-half:]}"
