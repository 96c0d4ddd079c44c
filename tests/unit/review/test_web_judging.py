"""Judging over the page's API: windows of the queue, pixels, decisions, undo, repeats of a post, two tabs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from tenfold.core.workspace import Workspace
from tests.review_page import Page, decision, look, path_of, review_page, slots_of


@pytest.fixture
def page(workspace: Workspace) -> Iterator[Page]:
    with review_page(workspace, ("ann", "ben")) as made:
        yield made


def test_a_session_tells_who_may_do_what_and_ends(page: Page) -> None:
    page.invite("eve", "lead")
    ann, eve = page.client("ann"), page.client("eve")
    told = ann.get("/api/me").json()
    assert (told["name"], told["role"]) == ("ann", "reviewer")
    assert told["may"] == {"review": True, "adjudicate": False, "dashboard": False, "compare": False, "grid_all": False}
    assert told["progress"]["total"] == len(page.items)
    assert eve.get("/api/me").json()["may"]["compare"]
    cookie = page.client().post("/api/session", json={"token": page.tokens["ann"]}).headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert page.tokens["ann"].lower() not in cookie

    assert ann.post("/api/session/end", json={}).json() == {"ok": True}
    assert ann.get("/api/me").status_code == 401


def test_a_window_holds_opaque_ids_and_own_words_only(page: Page) -> None:
    ann, ben = page.client("ann"), page.client("ben")
    whole = ann.get("/api/slots", params={"count": 500}).json()
    part = ann.get("/api/slots", params={"start": 4, "count": 3}).json()
    assert whole["total"] == part["total"] == len(page.items)
    assert part["slots"] == whole["slots"][4:7]
    assert [slot["position"] for slot in part["slots"]] == [4, 5, 6]
    names = {"slot", "position", "verdict", "client_id", "reasons", "answers", "comment", "is_faulty", "label"}
    assert set(whole["slots"][0]) == names
    shown = [page.store.find_slot(slot["slot"]).item.label for slot in whole["slots"]]
    assert [slot["label"] for slot in whole["slots"]] == shown
    assert not set(slots_of(ann)) & set(slots_of(ben))
    assert ann.get("/api/slots", params={"start": 10**6}).json()["slots"] == []
    assert ann.get("/api/slots", params={"count": 501}).status_code == 422


def test_what_is_named_otherwise_is_not_accepted(page: Page) -> None:
    """Where reviewers know what an image is meant to show; a rejection of it is kept."""
    ann = page.client("ann")
    slot = ann.get("/api/slots").json()["slots"][0]
    other = next(label for label in page.app.state.review.labels if label != slot["label"])
    look(ann, slot["slot"])
    wrong = decision(slot["slot"], answers={"condition": other})
    answer = ann.post("/api/decisions", json={"decisions": [wrong]}).json()
    assert answer["results"][0]["status"] == "refused"
    assert slot["label"] in answer["results"][0]["error"]["what"]
    for right in (
        decision(slot["slot"], "reject", answers={"condition": other}),
        decision(slot["slot"], answers={"condition": slot["label"]}),
    ):
        answer = ann.post("/api/decisions", json={"decisions": [right]}).json()
        assert answer["results"][0]["status"] == "saved"


def test_reviewers_can_be_left_to_name_the_class(workspace: Workspace) -> None:
    with review_page(workspace, shows_class=False) as page:
        ann = page.client("ann")
        slots = ann.get("/api/slots").json()["slots"]
        assert {slot["label"] for slot in slots} == {None}
        assert not ann.get("/api/me").json()["shows_class"]
        look(ann, slots[0]["slot"])
        sent = [decision(slots[0]["slot"], answers={"condition": label}) for label in page.app.state.review.labels]
        answer = ann.post("/api/decisions", json={"decisions": sent}).json()
        assert {one["status"] for one in answer["results"]} == {"saved"}


def test_images_are_alike_but_for_their_pixels(page: Page) -> None:
    ann = page.client("ann")
    answers = [ann.get(f"/api/image/{slot}") for slot in slots_of(ann)]
    assert len({len(answer.content) for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    heads = {answer.content[: answer.content.index(b"\xff\xda")] for answer in answers}
    assert len(heads) == 1, "tables, size and metadata before the pixels differ"
    assert not {"etag", "last-modified", "server"} & set(answers[0].headers)
    pictures = [Image.open(io.BytesIO(answer.content)) for answer in answers]
    assert {(picture.format, picture.size, picture.mode) for picture in pictures} == {("JPEG", (32, 32), "RGB")}
    assert len({answer.content for answer in answers}) == len(page.items)


def test_decisions_are_kept_answered_one_by_one_and_counted(page: Page) -> None:
    ann = page.client("ann")
    first, second, unseen = slots_of(ann)[:3]
    look(ann, first)
    look(ann, second)
    good = decision(
        first,
        reasons=[],
        answers={
            "accurate": True,
            "condition": page.store.find_slot(first).item.label,
            "realism": 4,
            "artifacts": ["blur"],
        },
    )
    bad_reason = decision(second, "reject", reasons=["boredom"])
    sent = [good, decision(second, "reject", reasons=["poor_quality"], comment="blurred"), decision(unseen), bad_reason]
    told = ann.post("/api/decisions", json={"decisions": sent}).json()
    assert [one["status"] for one in told["results"]] == ["saved", "saved", "refused", "refused"]
    assert "not shown" in told["results"][2]["error"]["what"]
    assert "boredom" in str(told["results"][3]["error"])
    progress = told["progress"]
    assert (progress["decided"], progress["accepted"], progress["rejected"], progress["open"]) == (2, 1, 1, 10)
    assert progress["next_position"] == 2
    shown = ann.get("/api/slots").json()["slots"]
    assert (shown[0]["verdict"], shown[0]["answers"]["realism"], shown[0]["client_id"]) == (
        "accept",
        4,
        good["client_id"],
    )
    assert (shown[1]["reasons"], shown[1]["comment"], shown[2]["verdict"]) == (["poor_quality"], "blurred", None)
    assert len(page.store.decisions()) == 2


def test_a_repeated_post_is_harmless_and_an_id_is_used_once(page: Page) -> None:
    ann = page.client("ann")
    first, second = slots_of(ann)[:2]
    look(ann, first)
    look(ann, second)
    sent = decision(first)
    for expected in ("saved", "known"):
        told = ann.post("/api/decisions", json={"decisions": [sent]}).json()
        assert told["results"][0]["status"] == expected
    other = decision(second, client_id=sent["client_id"])
    assert ann.post("/api/decisions", json={"decisions": [other]}).json()["results"][0]["status"] == "refused"
    assert len(page.store.decisions()) == 1


def test_undo_takes_back_and_two_tabs_see_each_other(page: Page) -> None:
    one_tab, other_tab = page.client("ann"), page.client("ann")
    slot = slots_of(one_tab)[0]
    look(one_tab, slot)
    accepted = decision(slot)
    assert one_tab.post("/api/decisions", json={"decisions": [accepted]}).json()["results"][0]["was"] is None
    told = other_tab.post("/api/decisions", json={"decisions": [decision(slot, "reject")]}).json()
    assert (told["results"][0]["status"], told["results"][0]["was"]) == ("saved", "accept")
    shown = one_tab.get("/api/slots").json()["slots"][0]
    assert shown["verdict"] == "reject"

    undo = decision(slot, "none", undoes=shown["client_id"])
    told = one_tab.post("/api/decisions", json={"decisions": [undo]}).json()
    assert told["results"][0]["status"] == "saved"
    assert other_tab.get("/api/slots").json()["slots"][0]["verdict"] == "accept"
    assert [one.verdict for one in page.store.decisions()] == ["accept", "reject", "none"]


@pytest.mark.parametrize("seconds", [-5.0, 1e12, None])
def test_a_clock_that_jumps_costs_no_decision(page: Page, seconds: float | None) -> None:
    ann = page.client("ann")
    slot = slots_of(ann)[0]
    look(ann, slot)
    sent = decision(slot, seconds=seconds, client_time="1970-01-01T00:00:00.000Z")
    assert ann.post("/api/decisions", json={"decisions": [sent]}).json()["results"][0]["status"] == "saved"
    assert page.store.decisions()[0].seconds is None


def test_another_reviewers_slot_is_not_there(page: Page) -> None:
    ann, ben = page.client("ann"), page.client("ben")
    slot = slots_of(ann)[0]
    look(ann, slot)
    assert ben.get(f"/api/image/{slot}").status_code == 404
    told = ben.post("/api/decisions", json={"decisions": [decision(slot)]}).json()
    assert told["results"][0]["status"] == "not_in_queue", "it may belong elsewhere: the page keeps it"
    assert page.store.decisions() == []


def test_an_image_that_is_gone_or_changed_is_told_kept_out_and_reported(page: Page) -> None:
    ann = page.client("ann")
    gone, damaged, changed = slots_of(ann)[:3]
    look(ann, gone)
    path_of(page, damaged).write_bytes(path_of(page, damaged).read_bytes()[:-200])
    Image.new("RGB", (32, 32)).save(path_of(page, changed), "PNG")
    path_of(page, gone).unlink()
    for slot in (gone, damaged, changed):
        answer = ann.get(f"/api/image/{slot}")
        assert (answer.status_code, answer.json()["error"]) == (410, "ImageFault")
        assert str(page.workspace.path) not in answer.text
        assert ".png" not in answer.text and ".jpg" not in answer.text
    slots = ann.get("/api/slots").json()["slots"]
    assert [slot["is_faulty"] for slot in slots[:4]] == [True, True, True, False]
    progress = ann.get("/api/progress").json()
    assert (progress["faulty"], progress["next_position"]) == (3, 3)
    assert len(page.store.faults()) == 3


def test_the_rubric_the_words_and_the_guides(workspace: Workspace) -> None:
    with review_page(workspace, items=None) as page:
        ann = page.client("ann")
        rubric = ann.get("/api/rubric").json()
        condition = next(one for one in rubric["questions"] if one["id"] == "condition")
        assert [option["value"] for option in condition["options"]] == ["mole", "rash"]
        assert [reason["key"] for reason in rubric["reasons"]] == [str(n) for n in range(1, 10)]
        assert any(reason["value"] == "hallucinated_feature" for reason in rubric["reasons"])
        assert [one["value"] for one in ann.get("/api/guides").json()["classes"]] == ["mole", "rash"]
        assert page.client().get("/api/text", params={"lang": "../../x"}).json() == ann.get("/api/text").json()


def test_guide_images_are_shown_to_everyone(workspace: Workspace) -> None:
    from tests.review_page import make_items

    items = make_items(workspace)
    guide, queued = items[-1], items[:-1]
    guides = {guide.label: [workspace.path / guide.path]}
    with review_page(workspace, items=queued, guides=guides) as page:
        ann = page.client("ann")
        images = {one["value"]: one["images"] for one in ann.get("/api/guides").json()["classes"]}
        assert images["rash" if guide.label == "mole" else "mole"] == []
        answer = ann.get(f"/api/image/{images[guide.label][0]}")
        assert len(answer.content) == len(ann.get(f"/api/image/{slots_of(ann)[0]}").content)
        assert page.client().get(f"/api/image/{images[guide.label][0]}").status_code == 401
