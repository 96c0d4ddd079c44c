"""The intake preview: what columns mean and why, images by class, a few rows, what is set aside; nothing is written."""

from __future__ import annotations

from pathlib import Path

from tenfold.data.import_items import ImportItem, Listing, QuarantineRow
from tenfold.intake.config import IntakeConfig, PhantomConfig
from tenfold.intake.preview import FILE_PATH, FOLDER_NAME, preview_listing, preview_source
from tests.image_files import write_class_folders


def item(label: str, number: int, **fields: object) -> ImportItem:
    name = f"{label}/{number}.png"
    return ImportItem(f"/s/{name}", name, label, number + 2, fields)


def listing(items: list[ImportItem], quarantined: list[QuarantineRow] | None = None, **more: object) -> Listing:
    return Listing(Path("/s"), tuple(items), tuple(quarantined or ()), **more)  # type: ignore[arg-type]


def test_columns_come_with_their_reasons_file_and_label_first() -> None:
    found = preview_listing(
        listing(
            [item("df", k, patient_id=f"p{k}") for k in range(3)],
            columns={"patient_id": "pid", "label": "dx", "image": "file", "attr.clinic": "clinic"},
            reasons={"patient_id": "named in the column map", "label": "its name 'dx' usually means label"},
            format="table",
        ),
        "t.csv",
    )
    assert [(one.taken_for, one.column, one.reason) for one in found.columns] == [
        ("image", "file", "by its name"),
        ("label", "dx", "its name 'dx' usually means label"),
        ("patient_id", "pid", "named in the column map"),
    ]
    assert (found.source, found.source_format) == ("t.csv", "table")


def test_rows_are_counted_by_class_and_none_vanishes() -> None:
    items = [item("df", k, patient_id=f"p{k // 2}", skin_type=1 + k) for k in range(4)]
    items += [item("vasc", k, lesion_id="l", **{"attr.b": "x", "attr.a": "y"}) for k in range(3)]
    bad = [QuarantineRow("missing_file", f"{k}.png", k + 90, "df") for k in range(5)]
    bad.append(QuarantineRow("no_label", "", 99))
    found = preview_listing(listing(items, bad, other_classes={"nevus": 7}), "s")
    df, vasc = found.classes
    assert (df.label, df.n_images, df.n_set_aside, df.n_patients, df.n_lesions) == ("df", 4, 5, 2, None)
    assert df.skin_types == {"1": 1, "2": 1, "3": 1, "4": 1} and vasc.skin_types == {}
    assert (vasc.n_patients, vasc.n_lesions) == (None, 1)
    assert found.n_rows_in == found.n_images + found.n_set_aside == 13
    assert found.other_classes == {"nevus": 7}
    assert [(one.reason, one.n_rows) for one in found.quarantine] == [("missing_file", 5), ("no_label", 1)]
    assert found.quarantine[0].examples == ("0.png (line 90)", "1.png (line 91)", "2.png (line 92)")
    assert found.quarantine[1].examples == ("? (line 99)",)
    assert found.kept_columns == ("attr.b", "attr.a")
    assert found.cautions == ("5 image files are missing; their rows would be set aside.",)


def test_a_few_rows_of_every_class_are_shown() -> None:
    items = [item(label, k) for label in ("a", "b") for k in range(9)]
    shown = preview_listing(listing(items), "s").samples
    assert [row.name for row in shown] == ["a/0.png", "b/0.png", "a/1.png", "b/1.png", "a/2.png"]


def test_skin_types_of_missing_images_are_told_by_the_listing() -> None:
    bad = [QuarantineRow("missing_file", "x.png", 2, "acne")]
    found = preview_listing(listing([], bad, skin_types={"acne": {"3": 1}}), "s")
    assert found.classes[0].skin_types == {"3": 1}
    assert found.cautions[0] == "No image was found: 1 rows would be set aside; there is nothing to import."


def test_thousands_of_upstream_columns_are_counted_and_few_are_shown() -> None:
    found = preview_listing(listing([item("a", 0, **{f"attr.c{k}": "x" for k in range(3000)})]), "s")
    assert found.n_kept_columns == 3000
    assert found.kept_columns[:2] == ("attr.c0", "attr.c1") and len(found.kept_columns) == 12


def test_a_class_too_small_to_import_is_told_with_what_is_possible() -> None:
    items = [item(label, k) for label, count in {"a": 4, "b": 4, "rare": 2}.items() for k in range(count)]
    found = preview_listing(listing(items), "s")
    assert found.cautions[0] == (
        "Classes with fewer than 3 images cannot be imported: rare; leave them out: --classes a,b."
    )
    assert "--map patient_id=COLUMN" in found.cautions[1]


def test_a_folder_of_classes_needs_no_column(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 3, "vasc": 4})
    before = sorted(tmp_path.rglob("*"))
    found = preview_source(IntakeConfig(source=str(root)))
    assert {one.label: one.n_images for one in found.classes} == {"df": 3, "vasc": 4}
    assert {one.taken_for for one in found.columns} >= {"label"}
    assert found.source_format == "folder"
    assert found.cautions[0].endswith(
        "A table with a row per image and columns for file, label and patient would tell it."
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_listing_without_columns_says_that_folders_are_the_labels() -> None:
    columns = preview_listing(listing([item("a", 0)]), "s").columns
    assert [one.column for one in columns] == [FILE_PATH, FOLDER_NAME]


def test_the_phantom_is_announced_not_read() -> None:
    found = preview_source(IntakeConfig(classes=["annulosis"], phantom=PhantomConfig(images_per_class=7)))
    assert (found.source_format, found.n_images) == ("phantom", 7)
    assert found.to_json()["classes"][0]["label"] == "annulosis"
