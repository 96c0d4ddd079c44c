"""Images that several sets hold, that are drawn anew, or that cannot be shown for a while: what a verdict becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import WaitingForPeople
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.verdicts import read_filtered, read_reviewed
from tenfold.reports.config import GalleryConfig
from tenfold.reports.contact_sheet_run import run_gallery
from tenfold.review.config import ReviewConfig
from tenfold.review.faults import NO_FIT
from tenfold.review.items import set_manifest
from tenfold.review.records import Decision
from tenfold.review.run import refresh, run
from tenfold.review.store import DATABASE, Store
from tests.review_workspace import judge_all, make_review_workspace, usable_ids

MANIFEST = "synthetic/drawn/manifest.parquet"
ALONE: dict[str, Any] = {"reviewers_needed": 1, "real_fraction": 0.0, "repeat_fraction": 0.0}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_review_workspace(tmp_path / "w")


def _run(workspace: Workspace, **settings: Any) -> Result:
    return run(ReviewConfig(**{**ALONE, **settings}), workspace, SerialExecutor(), NullProgress())


def _wait(workspace: Workspace, **settings: Any) -> WaitingForPeople:
    with pytest.raises(WaitingForPeople) as caught:
        _run(workspace, **settings)
    return caught.value


def _begun(workspace: Workspace, verdicts: dict[str, Any] | None = None) -> int:
    """Begin the review and have ann judge all; her id."""
    _wait(workspace)
    with Store.open(workspace.resolve(DATABASE)) as store:
        ann = store.invite("ann").reviewer.id
    judge_all(workspace, ann, verdicts)
    return ann


def _copy_set(workspace: Workspace, name: str, ids: list[str]) -> None:
    """A finished set that shares these images with `drawn`."""
    rows = read_manifest(workspace.resolve(MANIFEST))
    place = workspace.resolve(set_manifest(name))
    place.parent.mkdir(parents=True)
    write_manifest(rows[rows["image_id"].isin(ids)].reset_index(drop=True), place)
    write_json_atomic(place.parent / "run.json", {"outputs": {}})


def _draw_anew(workspace: Workspace, image_id: str, shade: bytes) -> None:
    """Other bytes behind the same id, in the file and in the manifest."""
    rows = read_manifest(workspace.resolve(MANIFEST))
    place = workspace.path / str(rows.set_index("image_id").loc[image_id, "path"])
    first = place.with_suffix(".first")
    if not first.exists():
        first.write_bytes(place.read_bytes())
    data = first.read_bytes() + shade
    place.write_bytes(data)
    rows.loc[rows["image_id"] == image_id, "sha256"] = sha256_bytes(data)
    write_manifest(rows, workspace.resolve(MANIFEST))


def _review_of(workspace: Workspace, image_id: str) -> str:
    return str(read_reviewed(workspace, MANIFEST).set_index("image_id").loc[image_id, "review"])


def _is_learned(workspace: Workspace, image_id: str, manifest: str = MANIFEST) -> bool:
    return image_id in set(read_filtered(workspace, manifest)["image_id"])


def test_a_rejection_holds_in_every_set_that_has_the_image(workspace: Workspace) -> None:
    out, kept = usable_ids(workspace)[:2]
    _copy_set(workspace, "also", [out, kept])  # sorts before `drawn`: the image is judged as one of this set
    ann = _begun(workspace, {out: "reject"})
    _run(workspace)
    for name in ("drawn", "also"):
        assert read_reviewed(workspace, set_manifest(name)).set_index("image_id").loc[out, "review"] == "rejected"
        assert not _is_learned(workspace, out, set_manifest(name)) and _is_learned(workspace, kept, set_manifest(name))
    # One that is drawn after the review, and that trains before anyone begins it anew.
    _copy_set(workspace, "later", [out, kept])
    assert refresh(workspace) and not _is_learned(workspace, out, set_manifest("later"))
    judge_all(workspace, ann)
    refresh(workspace)
    assert all(_is_learned(workspace, out, set_manifest(name)) for name in ("drawn", "also", "later"))


def test_a_review_of_a_set_counts_the_images_that_another_has_too(workspace: Workspace) -> None:
    ids = usable_ids(workspace)
    _begun(workspace, {ids[0]: "reject"})
    _copy_set(workspace, "part", ids[:4])
    result = _run(workspace, sets=("part",), name="second")
    assert result.summary["sets"] == ["part"]
    assert (result.summary["n_images"], result.summary["accepted"], result.summary["rejected"]) == (4, 3, 1)
    contents = read_json(workspace.resolve("review/results/second/summary.json"))
    assert [row["value"] for row in contents["summary"]["by_set"]] == ["part"]


def test_an_image_drawn_anew_is_judged_anew(workspace: Workspace) -> None:
    accepted, rejected = usable_ids(workspace)[:2]
    ann = _begun(workspace, {rejected: "reject"})
    _run(workspace)
    for image_id in (accepted, rejected):
        _draw_anew(workspace, image_id, b"\0")
    assert "10 of 12 images decided" in _wait(workspace).what
    assert _review_of(workspace, accepted) == _review_of(workspace, rejected) == "unreviewed"
    assert _is_learned(workspace, accepted) and not _is_learned(workspace, rejected), "until it is judged again"
    with Store.open(workspace.resolve(DATABASE)) as store:
        assert not store.faults() and store.progress(ann).n_open == 2
        assert len(store.decisions()) == 12 and len(store.latest()) == 10
        before = {one.image_id: one.sha256 for one in store.decisions()}
    judge_all(workspace, ann)
    result = _run(workspace)
    assert (result.summary["accepted"], result.summary["faulty"]) == (12, 0) and _is_learned(workspace, rejected)
    table = pd.read_parquet(workspace.resolve("review/decisions.parquet"))
    assert set(table.loc[table["image_id"] == accepted, "sha256"]) > {before[accepted]}, "both are on record"


def test_drawn_as_it_was_before_what_was_said_counts_again(workspace: Workspace) -> None:
    image_id = usable_ids(workspace)[0]
    _begun(workspace, {image_id: "reject"})
    _run(workspace)
    _draw_anew(workspace, image_id, b"\0")
    _wait(workspace)
    _draw_anew(workspace, image_id, b"")
    result = _run(workspace)
    assert result.summary["rejected"] == 1 and _review_of(workspace, image_id) == "rejected"


def test_an_image_that_is_back_is_no_fault_any_more(workspace: Workspace) -> None:
    image_id = usable_ids(workspace)[0]
    ann = _begun(workspace)
    rows = read_manifest(workspace.resolve(MANIFEST)).set_index("image_id")
    place = workspace.path / str(rows.loc[image_id, "path"])
    away = place.rename(place.with_suffix(".away"))
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.report_fault(image_id, "the image file cannot be read: No such file or directory")
    result = _run(workspace)
    assert (result.summary["faulty"], result.summary["rejected"], result.summary["accepted"]) == (1, 0, 11)
    assert _review_of(workspace, image_id) == "unreviewed" and not _is_learned(workspace, image_id)
    away.rename(place)
    result = _run(workspace)
    assert (result.summary["faulty"], result.summary["accepted"]) == (0, 12) and _is_learned(workspace, image_id)
    with Store.open(workspace.resolve(DATABASE)) as store:
        assert not store.faults() and store.progress(ann).n_faulty == 0
        with store._database.reading() as connection:
            [over] = connection.execute("SELECT what FROM fault_over").fetchall()
        assert "cannot be read" in over["what"], "it stays on record"


def test_an_image_that_can_never_be_shown_stays_out_and_nobody_waits_for_it(workspace: Workspace) -> None:
    image_id = usable_ids(workspace)[0]
    _wait(workspace)
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.report_fault(image_id, NO_FIT)
        ann = store.invite("ann").reviewer.id
        for slot in store.queue(ann, 0, 20):
            if not slot.is_faulty:
                store.serve(ann, slot.opaque)
                store.add_decision(ann, Decision(f"client-{slot.position}", slot.opaque, "accept"))
    result = _run(workspace)
    assert (result.summary["faulty"], result.summary["accepted"]) == (1, 11) and not _is_learned(workspace, image_id)


def test_an_image_that_went_is_of_its_own_bytes(workspace: Workspace) -> None:
    """A page that still shows the former bytes reports them as faulty, not the new ones."""
    image_id = usable_ids(workspace)[0]
    _begun(workspace)
    former = str(read_manifest(workspace.resolve(MANIFEST)).set_index("image_id").loc[image_id, "sha256"])
    _draw_anew(workspace, image_id, b"\0")
    _wait(workspace)
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.report_fault(image_id, "the image file has changed since it was queued", former)
        assert not store.faults()


def test_a_gallery_shows_what_was_decided_a_moment_ago(workspace: Workspace) -> None:
    def gallery() -> Result:
        return run_gallery(GalleryConfig(name="drawn"), workspace, SerialExecutor(), NullProgress())

    _begun(workspace)
    before = (gallery().folder / "gallery.html").read_bytes()
    with Store.open(workspace.resolve(DATABASE)) as store:
        [ann] = [person.id for person in store.reviewers()]
    judge_all(workspace, ann, {usable_ids(workspace)[0]: "reject"})
    assert (gallery().folder / "gallery.html").read_bytes() != before
