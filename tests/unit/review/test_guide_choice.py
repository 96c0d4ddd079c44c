"""Which real images are examples: none that is queued, that was made into a queued one, or of the same person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.recipes.review_page import page_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.guide_choice import GUIDES, keep_guides, kept_guides
from tenfold.review.items import MANIFEST, real_items, set_manifest, synthetic_items
from tenfold.review.queue import choose_real
from tenfold.review.run import begin_review
from tenfold.review.web.security import loopback_place
from tests.review_workspace import add_set
from tests.tiny_data import make_tiny_workspace

PLAIN: dict[str, Any] = {"repeat_fraction": 0.0, "overlap_fraction": 1.0}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_tiny_workspace(tmp_path / "w", images_per_split={"train": 14, "val": 2, "test": 2})
    add_set(made, "drawn", 6)
    return made


def _change(workspace: Workspace, name: str, column: str, values: dict[str, str]) -> None:
    """Set a column of the images with these ids."""
    rows = read_manifest(workspace.resolve(name))
    for image_id, value in values.items():
        rows.loc[rows["image_id"] == image_id, column] = value
    write_manifest(rows, workspace.resolve(name))


def _queued(workspace: Workspace, **settings: Any) -> tuple[set[str], set[str]]:
    """Ids of the real images in the queue, and of those that are shown as guides."""
    config = ReviewConfig(**{**PLAIN, **settings})
    with begin_review(config, workspace) as store:
        given = page_settings(store, workspace, config, loopback_place(8765)).guides
        real = {item.image_id for item in store.items() if item.source == "real"}
    return real, {path.stem for paths in given.values() for path in paths}


def test_a_guide_is_never_queued_however_many_real_images_are_asked_for_later(workspace: Workspace) -> None:
    real, guides = _queued(workspace, real_fraction=0.2)
    assert len(guides) == 8 and real and not real & guides
    more, same = _queued(workspace, real_fraction=0.9)
    assert same == guides and more > real and len(more) == 32 - 8 and not more & guides
    assert _queued(workspace, real_fraction=0.0)[1] == guides


def test_sources_of_queued_images_are_no_guides_and_their_places_are_taken_by_others(workspace: Workspace) -> None:
    _, guides = _queued(workspace, real_fraction=0.1)
    source = min(guides)
    synthetic = synthetic_items(workspace)[0].image_id
    _change(workspace, set_manifest("drawn"), "parent_id", {synthetic: source})
    # The sources are read when the images are queued: a workspace that begins with them.
    workspace.resolve(GUIDES).unlink()
    workspace.resolve("review/review.sqlite").unlink()
    _, others = _queued(workspace, real_fraction=0.1)
    assert source not in others and len(others) == len(guides)


def test_the_queue_begins_with_real_images_of_other_people_than_the_guides(workspace: Workspace) -> None:
    real = sorted(real_items(workspace), key=lambda item: item.label)
    pairs = {item.image_id: f"patient {number // 2}" for number, item in enumerate(real)}
    _change(workspace, MANIFEST, "patient_id", pairs)
    queued, guides = _queued(workspace, real_fraction=0.4)
    assert len(queued) == 8 == len(guides)
    assert not {pairs[one] for one in queued} & {pairs[one] for one in guides}
    more, same = _queued(workspace, real_fraction=0.9)
    assert len(more) == 32 - 8, "where there are no others"
    assert len(same) < 8 and not {pairs[one] for one in more} & {pairs[one] for one in same}, "then those guides go"


@pytest.mark.parametrize("column", ["patient_id", "lesion_id", "group_id"])
def test_guides_and_queued_real_images_show_other_people(workspace: Workspace, column: str) -> None:
    _, guides = _queued(workspace, real_fraction=0.2)
    first = min(guides)
    real = real_items(workspace)
    label = next(item.label for item in real if item.image_id == first)
    others = [item for item in real if item.image_id not in guides]
    first_ones = choose_real(others, synthetic_items(workspace), 0.3, 1)
    kin = next(item.image_id for item in first_ones if item.label == label)
    rest = {one: f"other {one}" for one in (item.image_id for item in real)}
    _change(workspace, MANIFEST, column, rest | {first: "one", kin: "one"})
    items = synthetic_items(workspace)
    made = keep_guides(workspace, real_items(workspace), items, (), 1)
    assert first in made.kept and kin in made.kin
    free = [one for one in real if one.image_id not in made.kept]
    last = [one.image_id for one in choose_real(free, items, 0.9, 1, made.kin)]
    assert kin in last, "where there are no others"
    assert kin not in [one.image_id for one in choose_real(free, items, 0.3, 1, made.kin)]
    # One that is queued all the same, such as before, drives the guide out.
    queued = [*items, *(one for one in real if one.image_id == kin)]
    again = keep_guides(workspace, real_items(workspace), queued, (), 1)
    assert first not in again.shown[label] and first in again.kept and len(again.shown[label]) == 4


def test_what_the_rubric_names_is_not_queued_and_a_small_class_is_left_to_the_queue(workspace: Workspace) -> None:
    real = real_items(workspace)
    items = synthetic_items(workspace)
    made = keep_guides(workspace, real, items, {real[0].path}, 1)
    assert real[0].image_id in made.kept
    few = [*real[:1], *[one for one in real if one.label != real[0].label][:3]]
    workspace.resolve(GUIDES).unlink()
    small = keep_guides(workspace, few, items, (), 1)
    assert sorted(map(len, small.shown.values())) == [0, 1]


def test_a_damaged_list_is_told(workspace: Workspace) -> None:
    assert not kept_guides(workspace).kept
    workspace.resolve(GUIDES).parent.mkdir(parents=True, exist_ok=True)
    workspace.resolve(GUIDES).write_text("[]")
    with pytest.raises(DataError, match="guide images is damaged"):
        kept_guides(workspace)
