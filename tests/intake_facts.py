"""Made-up facts of an intake, healthy and confounded, for the tests of the intake page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tenfold.core.files import write_json_atomic
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.intake.contents import (
    CheckRow,
    ClassRow,
    ConfoundRow,
    DuplicateCluster,
    IntakeFacts,
    Interval,
    PowerRow,
    QuarantineReason,
    SkinToneFacts,
    SubgroupRow,
    SuspectImage,
)

LABELS = ("basal_cell_carcinoma", "melanoma", "nevus")
SPLITS = ("train", "val", "test")
SCRIPT = "<script>alert('x')</script>"
LONG = "pigmented_lesion_of_uncertain_behavior_" * 5 + "final"
PICTURES = 30
_PER_CLASS = (1240, 410, 2655)


def make_intake_workspace(path: Path, facts: IntakeFacts) -> Workspace:
    """A workspace with pictures and the facts of its checks."""
    workspace = Workspace.create(path, name="made-up skin", root_seed=7, data_license="CC0 1.0")
    generator = numpy_generator(derive_seed(7, "intake page"))
    (path / "data/images").mkdir(parents=True)
    rows, columns = np.mgrid[0:64, 0:64]
    for number in range(PICTURES):
        skin = np.array([224, 172, 140]) - 22 * (number % 6)
        x, y, radius = generator.uniform(24, 40), generator.uniform(24, 40), generator.uniform(8, 18)
        inside = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2)[..., None]
        pixels = np.where(inside, skin * (0.4 + 0.05 * (number % 5)), skin) + generator.normal(0, 5, (64, 64, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(workspace.path / picture(number))
    write_json_atomic(workspace.path / "data/checks/summary.json", facts.to_json())
    return workspace


def picture(number: int) -> str:
    """The path of one of the workspace's pictures."""
    return f"data/images/{number % PICTURES:016x}.png"


def healthy() -> IntakeFacts:
    """A set of three classes with patients, skin types and a sealed split, in which nothing stands in the way."""
    classes = tuple(
        ClassRow(label, n, n // 2, n // 2, {"train": n - 2 * (n // 5), "val": n // 5, "test": n // 5}, "")
        for label, n in zip(LABELS, _PER_CLASS, strict=True)
    )
    confounds = tuple(
        confound(facts, label, 0.52 + 0.02 * place)
        for place, facts in enumerate(("all", "image size", "compression", "attr.archive"))
        for label in LABELS
    )
    return IntakeFacts(
        state="ok",
        answer="Yes: nothing found stands in the way of a study of 3 classes",
        source_format="table (metadata.csv)",
        data_license="CC BY 4.0",
        n_rows_in=4329,
        n_kept=4305,
        n_quarantined=24,
        is_split=True,
        columns={"label": "dx", "patient_id": "pid", "skin_type": "fitzpatrick", "site": "localization",
                 "attr.archive": "archive", "attr.camera": "camera"},
        column_reasons={"label": "its name “dx” usually means label", "patient_id": "named in the column map",
                        "skin_type": "its name usually means skin type", "site": "its name usually means site",
                        "attr.archive": "no column of the manifest: kept as it is"},
        notes=("2 spellings of nevus were merged: Nevus, NEVUS",),
        checks=(
            check("unreadable", "Unreadable images", "ok", 4329, 0, "Every file could be decoded"),
            check("two_labels", "One picture under two labels", "ok", 4329, 0, "No picture carries two labels"),
            check("duplicates", "Copies of one picture", "ok", 4305, 14, "7 pairs; each lies in one split"),
            check("crossing", "Patients across splits", "ok", 4305, 0, "No patient lies in two splits"),
            check("label_errors", "Probable label errors", "ok", 4305, 9, "9 images look like another class"),
            check("confounds", "Confounds", "ok", 4305, 0, "No class can be told from file facts alone"),
            check("power", "Power of the test", "ok", 861, 0, "Differences of 4.1 points in accuracy can be seen"),
        ),
        classes=classes,
        montage={label: tuple(picture(10 * place + n) for n in range(10)) for place, label in enumerate(LABELS)},
        confounds=confounds,
        subgroups=tuple(subgroups(("I-II", "III-IV", "V-VI"), (2300, 1700, 305))),
        power=(power("accuracy", None, 861, 0.041), *(power("auroc", label, 861, 0.05) for label in LABELS)),
        duplicates=(cluster(2), cluster(3)),
        n_duplicate_clusters=7,
        suspects=tuple(
            SuspectImage("label_errors", f"{n:016x}", picture(n), LABELS[n % 3], 0.99 - 0.05 * n,
                         f"looks like {LABELS[(n + 1) % 3]}")
            for n in range(9)
        ),
        quarantine=(QuarantineReason("exact_duplicate", 24, ("images/b.png, line 9", "images/c.png, line 12")),),
        skin_tone=skin_tone(),
        n_patients=2151,
        n_groups=2144,
    )  # fmt: skip


def confounded() -> IntakeFacts:
    """A chest X-ray set in which one class came from another archive, and one class is tiny."""
    labels = ("covid19", "lung_opacity", "no_finding", "viral_pneumonia")
    counts = (60, 60, 60, 4)
    sentence = "4 images allow no test of their own: leave the class out, or find at least 10 more images"
    return replace(
        healthy(),
        state="stop",
        answer="No: covid19 can be told from file facts alone (AUROC 0.98)",
        n_rows_in=190,
        n_kept=184,
        n_quarantined=6,
        is_split=False,
        classes=tuple(
            ClassRow(label, n, n - 3, n - 3, {}, sentence if n == 4 else "")
            for label, n in zip(labels, counts, strict=True)
        ),
        checks=(
            check("unreadable", "Unreadable images", "look", 190, 4, "4 files could not be decoded and were set aside"),
            check("blank", "Blank images", "ok", 184, 0, "None"),
            check("duplicates", "Copies of one picture", "look", 184, 6, "2 of 3 clusters hold two labels"),
            check("confounds", "Confounds", "stop", 184, 60,
                  "covid19 can be told from file facts alone (AUROC 0.98): a classifier may learn the archive, not "
                  "the disease. Take all classes from the same archives, or report on the archive each came from"),
            check("class_sizes", "Class sizes", "look", 184, 4, "viral_pneumonia has 4 images"),
            check("power", "Power of the test", "look", 46, 0, "Only differences of 24 points or more can be seen"),
        ),
        confounds=(
            confound("all", "covid19", 0.98, 0.012, "mostly image size and compression"),
            confound("image size", "covid19", 0.95, 0.02),
            confound("attr.origin", "covid19", 0.99, 0.008, "93 % of cohen2020 is covid19"),
            confound("all", "lung_opacity", 0.58, 0.09),
            confound("all", "no_finding", 0.49, 0.1),
            confound("compression", "no_finding", 0.44, 0.09),
            ConfoundRow("all", "viral_pneumonia", Interval(None, None, None, 4, 1, ""), False, "too few groups"),
        ),
        montage={label: tuple(picture(n + 5 * place) for n in range(min(n_images, 12)))
                 for place, (label, n_images) in enumerate(zip(labels, counts, strict=True))},
        subgroups=tuple(
            replace(row, attribute="sex") for row in subgroups(("female", "male", ""), (90, 80, 14), labels)
        ),
        power=tuple(
            replace(row, is_planned=True)
            for row in (power("accuracy", None, 46, 0.24), power("auroc", "viral_pneumonia", 46, None))
        ),
        duplicates=(cluster(2), cluster(9, labels=("covid19", "no_finding"), crosses=("label", "patient"))),
        n_duplicate_clusters=3,
        quarantine=(QuarantineReason("unreadable_file", 4, ("images/a.jpg, line 4",)),
                    QuarantineReason("missing_file", 2, ("images/z.jpg, line 77",))),
        skin_tone=None,
        skipped={"outliers": "too few images of viral_pneumonia for cross-validation"},
        n_patients=171,
        n_groups=168,
    )  # fmt: skip


def without_patients(facts: IntakeFacts) -> IntakeFacts:
    """The facts of data that know no patients and no skin types."""
    columns = {name: source for name, source in facts.columns.items() if name not in ("patient_id", "skin_type")}
    return replace(
        facts,
        columns=columns,
        column_reasons={name: why for name, why in facts.column_reasons.items() if name in columns},
        classes=tuple(replace(row, n_patients=None) for row in facts.classes),
        checks=tuple(row for row in facts.checks if "atient" not in row.title),
        subgroups=(),
        duplicates=tuple(replace(c, patients=(None,) * len(c.image_ids)) for c in facts.duplicates),
        skin_tone=None,
        n_patients=None,
    )


def many_classes(number: int = 40) -> IntakeFacts:
    """Many classes with hostile, foreign and very long names, and hundreds of clusters of duplicates."""
    foreign = ("皮膚線維腫", "أكزيما", "Ακμή", "naïve & <b>bold</b>", "ë\u202egnorw", SCRIPT, LONG, "$\\frac{")
    labels = [*foreign, *(f"class_{place:02d}" for place in range(number - len(foreign)))]
    facts = without_patients(healthy())
    sizes = [4 + 37 * place % 211 for place in range(number)]
    clusters = [cluster(2 + place % 30, labels=(labels[place % number],)) for place in range(300)]
    clusters[250] = cluster(12, labels=tuple(labels[:8]), crosses=("label", "split"))
    return replace(
        facts,
        state="look",
        answer=f"With care: {SCRIPT} has 4 images",
        n_rows_in=sum(sizes),
        n_kept=sum(sizes),
        n_quarantined=0,
        quarantine=(),
        classes=tuple(
            ClassRow(label, n, None, n, {"train": n - 2, "val": 1, "test": 1}, "")
            for label, n in zip(labels, sizes, strict=True)
        ),
        montage={label: tuple(picture(place + n) for n in range(12)) for place, label in enumerate(labels)},
        confounds=tuple(
            confound(what, label, 0.5 + 0.012 * place, 0.05, SCRIPT)
            for place, label in enumerate(labels)
            for what in ("all", "image size", f"attr.{SCRIPT}")
        ),
        subgroups=tuple(
            replace(row, attribute=attribute)
            for attribute in ("site", f"attr.{SCRIPT}")
            for row in subgroups([f"{SCRIPT} {n}" for n in range(40)], range(200, 160, -1), labels, patients=False)
        ),
        power=tuple(power("auroc", label, 80, 0.2) for label in labels),
        duplicates=tuple(clusters),
        n_duplicate_clusters=312,
        suspects=tuple(
            SuspectImage("outliers", SCRIPT, f"../{SCRIPT}", label, 0.5, SCRIPT) for label in labels
        ),
        notes=tuple(f"note {n}: {SCRIPT}" for n in range(40)),
        columns={SCRIPT: SCRIPT, LONG: LONG, **{f"attr.{n}": f"column {n}" for n in range(3000)}},
        column_reasons={SCRIPT: SCRIPT},
        source_format=SCRIPT,
        data_license=SCRIPT,
        skipped={SCRIPT: SCRIPT},
    )  # fmt: skip


def nothing_kept() -> IntakeFacts:
    """A table whose images are all missing."""
    return replace(
        without_patients(healthy()), state="stop", answer="No: no image could be kept", n_rows_in=16577, n_kept=0,
        n_quarantined=16577, is_split=False, classes=(), checks=(), montage={}, confounds=(), power=(), duplicates=(),
        n_duplicate_clusters=0, suspects=(), notes=(), columns={}, column_reasons={}, n_groups=None,
        quarantine=(QuarantineReason("missing_file", 16577, ("0a1b.jpg, line 2",)),),
    )  # fmt: skip


def check(name: str, title: str, state: str, n_checked: int, n_flagged: int, sentence: str) -> CheckRow:
    """A row of the checks' table."""
    return CheckRow(name, title, state, n_checked, n_flagged, sentence)  # type: ignore[arg-type]


def confound(facts: str, label: str, value: float, half: float = 0.03, detail: str = "") -> ConfoundRow:
    """A test of one class against one kind of file facts."""
    auroc = Interval(value, value - half, min(1.0, value + half), 184, 168, "Cluster bootstrap over groups")
    return ConfoundRow(facts, label, auroc, value - half > 0.7, detail)


def power(metric: str, label: str | None, n_images: int, difference: float | None) -> PowerRow:
    """A row of the power table."""
    assumption = "Two classifiers are assumed to differ on a fifth of the images"
    return PowerRow(metric, label, n_images, n_images // 2, difference, assumption, False)


def cluster(size: int, *, labels: Sequence[str] = ("nevus",), crosses: tuple[str, ...] = ()) -> DuplicateCluster:
    """A cluster of this many images, with these labels in turn."""
    splits = SPLITS if "split" in crosses else ("train",)
    patients = ("Erika Mustermann", "Jane Doe") if "patient" in crosses else ("Erika Mustermann",)
    return DuplicateCluster(
        "near" if size > 2 else "exact", tuple(f"{n:016x}" for n in range(size)),
        tuple(picture(n) for n in range(size)), tuple(labels[n % len(labels)] for n in range(size)),
        tuple(splits[n % len(splits)] for n in range(size)), tuple(patients[n % len(patients)] for n in range(size)),
        0.994, crosses,  # type: ignore[arg-type]
    )  # fmt: skip


def subgroups(
    values: Sequence[str], counts: Sequence[int], labels: Sequence[str] = LABELS, *, patients: bool = True
) -> list[SubgroupRow]:
    """Subgroups by skin type group; the smallest are underpowered."""
    return [
        SubgroupRow(
            "skin_type_group", value, {label: n // len(labels) for label in labels}, n, n // 2 if patients else None,
            n // 5, n // 10, None if n < 20 else round(1 / n**0.5, 3), n < 400,
        )
        for value, n in zip(values, counts, strict=True)
    ]  # fmt: skip


def skin_tone() -> SkinToneFacts:
    """Skin types of six kinds with the color of each image."""
    generator = numpy_generator(derive_seed(7, "ITA"))
    centers = {"1": 58, "2": 47, "3": 35, "4": 22, "5": 8, "6": -18, "not given": 30}
    values = {name: tuple(generator.normal(center, 9, 200).round(2)) for name, center in centers.items()}
    sentence = "Skin types are as given; 300 that were missing were estimated, and are marked so"
    return SkinToneFacts(3900, 105, 300, values, sentence)
