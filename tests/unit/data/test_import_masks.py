"""Masks: found by a table's column, by their name beside the image and in parallel folders, never taken for images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.data.importers import Listing, import_folder, import_table
from tests.image_files import write_image


def masks(listing: Listing) -> dict[str, str | None]:
    """Image -> mask, both as seen from the root."""
    return {
        item.name: None if item.mask_path is None else item.mask_path.relative_to(listing.root).as_posix()
        for item in listing.items
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("df/a.jpg", "df/a_mask.png"),
        ("df/a.jpg", "df/a_segmentation.png"),
        ("df/a.jpg", "df/masks/a.png"),
        ("df/a.jpg", "masks/df/a.png"),
        ("df/a.jpg", "masks/a_segmentation.PNG"),
        ("images/df/a.jpg", "masks/df/a.png"),
        ("images/df/a.jpg", "segmentations/df/a_mask.bmp"),
        ("images/df/deep/a.jpg", "masks/df/deep/a.png"),
    ],
)
def test_masks_by_name_and_place(tmp_path: Path, image: str, mask: str) -> None:
    write_image(tmp_path / image, 1)
    write_image(tmp_path / image.replace("a.jpg", "b.jpg").replace("df", "vasc"), 2)
    write_image(tmp_path / mask, 3)
    listing = import_folder(tmp_path)
    assert masks(listing)[image] == mask
    assert len(listing.items) == 2 and not listing.quarantined
    assert listing.reasons["mask"].startswith("a mask file of the image's name")


def test_a_mask_without_its_image_is_set_aside(tmp_path: Path) -> None:
    write_image(tmp_path / "df/a.png", 1)
    write_image(tmp_path / "df/b_mask.png", 2)
    listing = import_folder(tmp_path)
    assert [(row.path, row.reason) for row in listing.quarantined] == [("df/b_mask.png", "mask_without_image")]
    assert "there is no image b beside it" in listing.quarantined[0].detail


def test_a_class_named_mask_is_a_class(tmp_path: Path) -> None:
    write_image(tmp_path / "mask/a.png", 1)
    write_image(tmp_path / "no mask/b.png", 2)
    assert sorted(item.label for item in import_folder(tmp_path).items) == ["mask", "no mask"]


def test_masks_of_no_image_are_told(tmp_path: Path) -> None:
    for number, name in enumerate(("images/df/a.png", "masks/df/a.png", "masks/df/b.png")):
        write_image(tmp_path / name, number)
    notes = import_folder(tmp_path).notes
    assert notes == ("1 files are the mask of no listed image, e.g. masks/df/b.png",)


def test_a_link_to_a_mask_outside_is_not_taken(tmp_path: Path) -> None:
    secret = write_image(tmp_path / "secret.png", 1)
    write_image(tmp_path / "s/df/a.png", 2)
    (tmp_path / "s/df/a_mask.png").symlink_to(secret)
    assert masks(import_folder(tmp_path / "s")) == {"df/a.png": None}


def test_masks_of_a_table(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("a.png", "b.png", "c.png", "masks/x.png", "b_mask.png", "df/d.png", "masks/df/d.png")
    ):
        write_image(tmp_path / name, number)
    lines = ["image,label,mask", "a,df,x", "b,df,gone.png", "c,df,../../etc/passwd", "d,df,d.png"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    listing = import_table(tmp_path / "metadata.csv")
    assert masks(listing) == {
        "a.png": "masks/x.png", "b.png": "b_mask.png", "c.png": None, "df/d.png": "masks/df/d.png",
    }  # fmt: skip
    assert listing.columns["mask"] == "mask"
    assert listing.items[2].fields["attr.mask"] == "../../etc/passwd"
    assert "2 masks were not found; their images are kept without one, e.g. line 3: gone.png" in listing.notes[0]
    assert not any("lie beside the listed" in note for note in listing.notes)
