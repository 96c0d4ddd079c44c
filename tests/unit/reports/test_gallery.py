"""Which pictures are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenfold.reports.gallery import NearestImage, SyntheticSet, choose_pictures
from tenfold.reports.reading import StudyFiles, read_study
from tests.report_workspace import LABELS, SET, make_report_workspace


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    folder: Path = tmp_path_factory.mktemp("gallery") / "workspace"
    return read_study(make_report_workspace(folder), "main")


def make_set(files: StudyFiles, nearest: dict[str, NearestImage]) -> SyntheticSet:
    return SyntheticSet(SET, files.synthetic[SET], files.generators[SET], 8, nearest)


def test_the_first_by_id_are_shown_whatever_the_row_order(files: StudyFiles) -> None:
    assert files.manifest is not None
    chosen = make_set(files, {})
    turned = replace(chosen, rows=chosen.rows.iloc[::-1])
    gallery = choose_pictures(chosen, files.manifest, 4)
    assert gallery == choose_pictures(turned, files.manifest, 4)
    assert [group.label for group in gallery.classes] == sorted(LABELS)
    for group in gallery.classes:
        ids = [card.picture.image_id for card in group.synthetic]
        assert ids == sorted(ids) and len(ids) == 4
        assert group.n_synthetic == 10
        assert group.n_flagged is None
        assert all(guide.label == group.label for guide in group.guides)


def test_flagged_copies_are_shown_too_with_their_original(files: StudyFiles) -> None:
    assert files.manifest is not None
    rows = files.synthetic[SET]
    last = max(rows.loc[rows["label"] == LABELS[0], "image_id"])
    guide = files.generators[SET][0]
    gallery = choose_pictures(make_set(files, {last: NearestImage(guide, True, "distance 0.01")}), files.manifest, 2)
    group = next(group for group in gallery.classes if group.label == LABELS[0])
    assert (group.n_flagged, len(group.synthetic)) == (1, 3)
    copy = group.synthetic[-1]
    assert copy.is_flagged and copy.nearest is not None
    assert (copy.picture.image_id, copy.nearest.image_id) == (last, guide)


def test_a_nearest_image_outside_the_manifest_is_not_shown(files: StudyFiles) -> None:
    assert files.manifest is not None
    first = min(files.synthetic[SET]["image_id"])
    gallery = choose_pictures(make_set(files, {first: NearestImage("ffff", False, "")}), files.manifest, 30)
    shown = {card.picture.image_id: card for group in gallery.classes for card in group.synthetic}
    assert shown[first].nearest is None
