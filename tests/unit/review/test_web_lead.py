"""What unblinded eyes see: adjudicators what others said, leads the grid, comparisons and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tenfold.core.workspace import Workspace
from tenfold.data.findings import Finding, findings_table
from tests.review_page import Page, decision, look, make_items, review_page, slots_of


@pytest.fixture
def page(workspace: Workspace) -> Iterator[Page]:
    items = make_items(workspace)
    with review_page(workspace, ("ann", "ben"), items=items, real_images=lambda: items[-3:]) as made:
        yield made


def _judge(page: Page, name: str, verdicts: dict[str, str]) -> None:
    """Judge images by their ids."""
    client = page.client(name)
    for slot in slots_of(client):
        verdict = verdicts.get(page.store.find_slot(slot).item.image_id)
        if verdict is not None:
            look(client, slot)
            sent = decision(slot, verdict, comment=f"{verdict} it")
            assert client.post("/api/decisions", json={"decisions": [sent]}).json()["results"][0]["status"] == "saved"


def _grid(page: Page, **wanted: Any) -> list[dict[str, Any]]:
    answer = page.client("eve").get("/api/grid", params={"count": 500, **wanted})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_an_adjudicator_decides_what_reviewers_differ_on(page: Page) -> None:
    first, second = [image_id for image_id, item in page.items.items() if item.source == "synthetic"][:2]
    _judge(page, "ann", {first: "accept", second: "accept"})
    _judge(page, "ben", {first: "reject", second: "accept"})
    page.invite("ada", "adjudicator")
    ada = page.client("ada")
    assert slots_of(ada) == []
    waiting = slots_of(ada, "adjudication")
    assert [page.store.find_slot(slot).item.image_id for slot in waiting] == [first]
    told = ada.get(f"/api/opinions/{waiting[0]}").json()["opinions"]
    assert sorted(one["verdict"] for one in told) == ["accept", "reject"]
    assert {one["by"] for one in told} == {"Reviewer 1", "Reviewer 2"}
    assert "ann" not in str(told) and "ben" not in str(told)
    look(ada, waiting[0])
    sent = ada.post("/api/decisions", json={"decisions": [decision(waiting[0], "reject")]}).json()
    assert sent["results"][0]["status"] == "saved"
    assert sent["progress"]["adjudication"] == {
        "total": 1, "decided": 1, "accepted": 0, "rejected": 1, "faulty": 0, "open": 0, "next_position": None,
    }  # fmt: skip
    assert ada.get("/api/me").json()["may"]["adjudicate"]


def test_the_grid_filters_by_origin_and_verdict(page: Page) -> None:
    page.invite("eve", "lead")
    synthetic = [image_id for image_id, item in page.items.items() if item.source == "synthetic"]
    _judge(page, "ann", {synthetic[0]: "accept", synthetic[1]: "reject", synthetic[2]: "accept"})
    _judge(page, "ben", {synthetic[2]: "reject"})
    assert len(_grid(page)) == len(page.items)
    assert {row["item"] for row in _grid(page, source="synthetic")} == set(synthetic)
    assert [row["item"] for row in _grid(page, verdict="accepted")] == [synthetic[0]]
    assert {row["item"] for row in _grid(page, verdict="rejected")} == set(synthetic[1:3])
    disputed = _grid(page, verdict="disputed")
    assert [(row["item"], row["n_reviewers"], row["n_accept"]) for row in disputed] == [(synthetic[2], 2, 1)]
    assert {row["label"] for row in _grid(page, label="rash", set="main")} == {"rash"}
    told = page.client("eve").get("/api/grid", params={"start": 2, "count": 1}).json()
    assert (told["total"], len(told["items"])) == (len(page.items), 1)
    assert told["filters"]["source"] == ["real", "synthetic"]
    assert page.client("eve").get("/api/grid", params={"verdict": "maybe"}).status_code == 422


def test_a_comparison_shows_source_neighbors_flags_and_words(page: Page) -> None:
    page.invite("eve", "lead")
    eve = page.client("eve")
    synthetic = next(item for item in page.items.values() if item.source == "synthetic")
    real = [item for item in page.items.values() if item.source == "real"]
    assert eve.get(f"/api/compare/{synthetic.image_id}").json()["note"] == "no_audit"

    audit = page.workspace.path / "audits/main"
    audit.mkdir(parents=True)
    found = Finding("memorization.features", synthetic.image_id, 0.98, True, (real[0].image_id, "0" * 16), "p 0.02")
    findings_table([found]).to_parquet(audit / "findings.parquet")
    (page.workspace.path / "audits/broken").mkdir()
    (page.workspace.path / "audits/broken/findings.parquet").write_bytes(b"none")
    _judge(page, "ann", {synthetic.image_id: "reject"})
    told = eve.get(f"/api/compare/{synthetic.image_id}").json()
    assert told["item"]["prompt"] == synthetic.prompt
    assert [one["image"] for one in told["neighbors"]] == [real[0].image_id], "an id that is no shown image is left out"
    assert told["flags"] == [{"check": "memorization.features", "score": 0.98, "is_flagged": True, "detail": "p 0.02"}]
    assert [(one["by"], one["verdict"], one["comment"]) for one in told["decisions"]] == [
        ("ann", "reject", "reject it")
    ]
    assert (told["note"], told["parent"]) == ("", None)
    for image_id in (synthetic.image_id, real[0].image_id):
        assert eve.get(f"/api/image/{image_id}").headers["content-type"] == "image/jpeg"
    assert eve.get("/api/compare/" + "0" * 16).status_code == 404
    assert eve.get(f"/api/compare/{real[0].image_id}").json()["flags"] == []


def test_figures_are_made_at_most_every_few_seconds(workspace: Workspace) -> None:
    calls = []

    def figures() -> dict[str, Any]:
        calls.append(1)
        return {"made_at": "now", "summary": {"n": len(calls)}}

    with review_page(workspace, figures=figures) as page:
        page.invite("eve", "lead")
        eve = page.client("eve")
        assert [eve.get("/api/dashboard").json()["summary"] for _ in range(3)] == [{"n": 1}] * 3
