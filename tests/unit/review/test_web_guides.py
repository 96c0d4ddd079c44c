"""Guide images: what the rubric names is looked at and told with its line, and a class is known or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.errors import DataError, FaultsError, TenfoldError
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.recipes.review_page import page_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.rubric import Rubric, load_placed_rubric
from tenfold.review.run import begin_review
from tenfold.review.web.guides import guide_files, guide_id, guide_table
from tenfold.review.web.security import loopback_place
from tenfold.review.yaml_places import KeyPath
from tests.review_page import make_items
from tests.review_workspace import make_review_workspace

REASONS = "reasons:\n  - {key: 1, id: blurred, text: Blurred}\n"


def _rubric(folder: Path, *guides: str) -> tuple[Rubric, Callable[[KeyPath], str]]:
    lines = "".join(f"      - {name}\n" for name in guides)
    (folder / "my.yaml").write_text(f"{REASONS}classes:\n  mole:\n    text: Dark.\n    guides:\n{lines}")
    return load_placed_rubric(folder / "my.yaml")


def test_named_guides_come_before_chosen_ones(workspace: Workspace) -> None:
    first, second, third = (workspace.path / item.path for item in make_items(workspace, 0, 3))
    rubric, tell = _rubric(workspace.path, workspace.relative(first))
    files = guide_files(rubric, [workspace.path], {"mole": [second], "rash": [third]}, (), tell)
    assert files == {"mole": [first.resolve()], "rash": [third]}
    assert set(guide_table(files)) == {guide_id(label, 0) for label in ("mole", "rash")}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nowhere.png", "is not there"),
        ("../../etc/passwd", "is not there"),
        ("/etc/passwd", "is not there"),
        ("x" * 390, "is not there"),
        ("data", "is not there"),
        ("recipe.yaml", "cannot be shown: the file is none of"),
        ("empty.png", "cannot be shown: the image file is empty"),
    ],
)
def test_a_guide_that_is_no_image_is_told_with_its_line(workspace: Workspace, name: str, what: str) -> None:
    (workspace.path / "recipe.yaml").write_text("a: b")
    (workspace.path / "empty.png").touch()
    [good] = make_items(workspace, 0, 1)
    rubric, tell = _rubric(workspace.path, good.path, name)
    with pytest.raises(DataError, match=what) as caught:
        guide_files(rubric, [workspace.path], {}, (), tell)
    assert caught.value.where == f"{workspace.path / 'my.yaml'}:8:9"
    assert len(caught.value.what) < 200


def test_all_guides_at_fault_are_told_and_so_is_one_that_is_judged(workspace: Workspace) -> None:
    [item] = make_items(workspace, 1, 0)
    (workspace.path / "copy.png").write_bytes((workspace.path / item.path).read_bytes())
    rubric, tell = _rubric(workspace.path, "copy.png", "nowhere.png")
    with pytest.raises(FaultsError) as caught:
        guide_files(rubric, [workspace.path], {}, {item.sha256, sha256_bytes(b"")}, tell)
    assert "is judged in this review" in str(caught.value) and "my.yaml:7:9" in str(caught.value)
    assert "my.yaml:8:9" in str(caught.value)


def test_a_class_that_the_data_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    workspace = make_review_workspace(tmp_path / "w")
    (tmp_path / "my.yaml").write_text(f"{REASONS}classes:\n  mole: {{text: Dark.}}\n  mloe: {{text: Dark.}}\n")
    config = ReviewConfig(rubric=str(tmp_path / "my.yaml"))
    with begin_review(config, workspace) as store, pytest.raises(TenfoldError) as caught:
        page_settings(store, workspace, config, loopback_place(8765))
    assert "classes.mloe: the data has no such class" in caught.value.what
    assert caught.value.where == f"{tmp_path / 'my.yaml'}:5:3" and caught.value.expected == "one of mole, rash"
