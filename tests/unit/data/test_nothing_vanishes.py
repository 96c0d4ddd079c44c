"""Nothing vanishes: what an importer sees and does not read is counted in a note, printed and in the summary."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.workspace import Workspace
from tenfold.data.importers import SourceOptions, list_source
from tenfold.data.passed_over import PassedOver
from tenfold.data.pseudonyms import temporary_pseudonyms
from tests.dicom_files import slice_of, write_dicom
from tests.image_files import write_class_folders, write_image
from tests.unit.intake.import_into import Log, intake


def outside(root: Path, name: str) -> None:
    """A link at this place that leads out of the source."""
    target = root.parent / "outside"
    target.write_bytes(b"x")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_workspace(path: Path) -> None:
    write_class_folders(path, {"df": 1})
    Workspace.create(path / "w", name="w", root_seed=0, data_license="none")


SEEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a hidden class folder": (
        lambda root: write_image(root / ".nevus/a.png", 9),
        "1 images are hidden (a name on their path begins with a dot) and were not read, e.g. .nevus/a.png",
    ),
    "a hidden image": (
        lambda root: write_image(root / "df/.a.png", 9),
        "1 images are hidden (a name on their path begins with a dot) and were not read, e.g. df/.a.png",
    ),
    "an empty class folder": (lambda root: (root / "nevus").mkdir(), "1 folders hold nothing, e.g. nevus"),
    "an empty folder in a class": (
        lambda root: (root / "df/more/deep").mkdir(parents=True),
        "1 folders hold nothing, e.g. df/more/deep",
    ),
    "a mask that leads out of the source": (
        lambda root: outside(root, "masks/df/image_1.png"),
        "1 mask files are not used, e.g. masks/df/image_1.png (a link leads out of the source folder)",
    ),
    "a second mask": (
        lambda root: [write_image(root / f"df/image_0_{end}.png", 9) for end in ("mask", "segmentation")],
        "1 files are the mask of no listed image, e.g. df/image_0_segmentation.png",
    ),
    "a caption that leads out of the source": (
        lambda root: outside(root, "df/image_1.txt"),
        "1 caption files are not used, e.g. df/image_1.txt (a link leads out of the source folder)",
    ),
    "a long caption": (
        lambda root: write_text(root / "df/image_1.txt", "long " * 5000),
        "1 caption files are longer than 20,000 bytes and were cut, e.g. df/image_1.txt",
    ),
    "files beside the class folders": (
        lambda root: [write_text(root / name, "x") for name in ("README.md", "LICENSE")],
        "2 other files in the source were not read, e.g. LICENSE",
    ),
    "a workspace": (
        lambda root: make_workspace(root / "df"),
        "1 workspaces of Tenfold lie in the source and were not read, e.g. df/w",
    ),
}


@pytest.mark.parametrize("seen", sorted(SEEN))
def test_what_a_folder_import_does_not_read_is_told(seen: str, tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 2, "vasc": 2})
    assert list_source(root).notes == ()
    make, note = SEEN[seen]
    make(root)
    listing = list_source(root)
    assert note in listing.notes
    assert len(listing.notes) == 1 or seen == "a workspace"


def test_what_lies_beside_the_images_folder_is_told(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "s/images", {"df": 2, "vasc": 2})
    write_class_folders(tmp_path / "s", {"nevus": 3})
    (tmp_path / "s/more").symlink_to(tmp_path)
    assert set(list_source(tmp_path / "s").notes) == {
        "3 images lie in the source but in no row or class folder that is read, e.g. nevus/image_0.png",
        "1 links to folders were not followed, e.g. more",
    }


def test_classes_that_are_not_wanted_are_counted_once(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 2, "vasc": 3})
    write_image(root / "stray.png", 9)
    listing = list_source(root, SourceOptions(classes=["df"]))
    assert dict(listing.other_classes) == {"vasc": 3} and not listing.quarantined
    assert listing.notes == (
        "1 images lie in the source but in no row or class folder that is read, e.g. stray.png",
    )  # fmt: skip


@pytest.mark.parametrize("classes", [None, ["df"]])
def test_images_that_no_row_names_are_told_and_those_of_other_rows_are_not(
    tmp_path: Path, classes: list[str] | None
) -> None:
    root = write_class_folders(tmp_path / "s/first", {"df": 2, "vasc": 2}).parent
    write_class_folders(root / "other", {"df": 2, "vasc": 2})
    lines = [f"first/{label}/image_{k}.png,{label}" for label in ("df", "vasc") for k in range(2)]
    write_text(root / "metadata.csv", "\n".join(["image,label", *lines, "first/df/gone.png,df"]))
    listing = list_source(root, SourceOptions(classes=classes))
    note = "4 images lie in the source but in no row or class folder that is read, e.g. other/df/image_0.png"
    assert listing.notes == (note,)
    by_file = list_source(root / "metadata.csv", SourceOptions(classes=classes))
    assert by_file.notes == (), "a table given by itself speaks for the folders of its images only"


@pytest.mark.parametrize(("column", "count"), [("", 0), (",caption", 1)])
def test_a_caption_file_is_read_or_told(tmp_path: Path, column: str, count: int) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 2})
    write_text(root / "df/image_0.txt", "a caption")
    write_text(root / "metadata.csv", f"image,label{column}\ndf/image_0.png,df{column}\ndf/image_1.png,df{column}\n")
    listing = list_source(root)
    assert listing.items[0].fields["caption"] == (column[1:] or "a caption")
    assert len(listing.notes) == count and all("1 other files" in note for note in listing.notes)


def test_a_split_without_metadata_is_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_class_folders(tmp_path / split, {"df": 2, "vasc": 2})
    lines = [f"{label}/image_{k}.png,{label}" for label in ("df", "vasc") for k in range(2)]
    write_text(tmp_path / "train/metadata.csv", "\n".join(["file_name,label", *lines]))
    listing = list_source(tmp_path)
    assert listing.format == "imagefolder" and len(listing.items) == 4
    assert "4 images lie in the source but in no row" in listing.notes[0]


def test_a_dicom_export_tells_numbers_without_names(tmp_path: Path) -> None:
    for patient in ("one", "two", "three", "four"):
        label = "sick" if "o" in patient[:2] else "well"
        write_dicom(tmp_path / f"s/{label}/{patient}.dcm", slice_of(patient, 1, 1))
    write_dicom(tmp_path / "s/.doe_john/a.dcm", slice_of("doe", 1, 1))
    options = SourceOptions(format="dicom", pseudonyms=temporary_pseudonyms())
    notes = list_source(tmp_path / "s", options).notes
    assert "1 images are hidden (a name on their path begins with a dot) and were not read" in notes
    assert not any("doe" in note for note in notes)


def test_notes_are_printed_and_in_the_summary(tmp_path: Path, workspace: Workspace) -> None:
    root, log = write_class_folders(tmp_path / "s", {"df": 4, "vasc": 4}), Log()
    for make, _ in SEEN.values():
        make(root)
    result = intake(workspace, root, log)
    for what in ("images are hidden", "folders hold nothing", "mask files are not used", "caption files are not used",
                 "other files in the source", "the mask of no listed image", "workspaces of Tenfold"):  # fmt: skip
        assert any(what in note for note in result.summary["notes"]), what
        assert any(what in line for line in log.lines), what


def test_a_name_is_told_once() -> None:
    passed = PassedOver()
    for what, name in (("are gone", "a"), ("are odd", "a"), ("are gone", "b")):
        passed.add(what, name, "why")
    assert passed.notes() == ["2 are gone, e.g. a (why)"] and passed.counts() == ["2 are gone"]


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 2, "vasc": 2})
    for name in ("df/pipe", "df/pipe.png", "df/pipe.dcm", "df/image_0.txt", "df/image_1_mask.png"):
        os.mkfifo(root / name)
    listing = list_source(root)
    assert [(row.path, row.reason) for row in listing.quarantined] == [
        ("df/pipe", "not_an_image"), ("df/pipe.dcm", "missing_file"), ("df/pipe.png", "missing_file"),
    ]  # fmt: skip
    assert len(listing.items) == 4 and len(listing.notes) == 2
