"""Routes of the session and of what every reviewer needs: signing in, texts, the rubric, guide images."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from tenfold.core.errors import DataError
from tenfold.review.records import Progress, Reviewer
from tenfold.review.rubric import Question
from tenfold.review.web.context import REST_AFTER_MINUTES, STATIC, Review, review_of
from tenfold.review.web.errors import ApiError
from tenfold.review.web.guides import guide_id
from tenfold.review.web.schemas import NothingIn, TokenIn, read_body
from tenfold.review.web.sessions import Asking, begin_session, end_session, people_here

router = APIRouter(prefix="/api")
_FIRST_AHEAD = 2


@router.get("/health")
async def health() -> dict[str, bool]:
    """Whether the server is there; for a page that lost it."""
    return {"ok": True}


@router.post("/session")
async def begin(request: Request, response: Response) -> dict[str, Any]:
    """A link's token becomes a session, which lives in a cookie that no script can read."""
    review = review_of(request)
    given = await read_body(request, TokenIn)
    return await run_in_threadpool(_begin, review, given.token, response)


@router.post("/session/end")
async def end(request: Request, response: Response) -> dict[str, bool]:
    """Sign out."""
    await read_body(request, NothingIn)
    await run_in_threadpool(end_session, request, response)
    return {"ok": True}


@router.get("/people")
def people(request: Request) -> dict[str, Any]:
    """Who is signed in in this browser: a page that was opened without a link asks which of them is at it."""
    store = review_of(request).store
    return {
        "people": [
            {"person": store.person_id(one.id), "name": one.name, "role": one.role} for one in people_here(request)
        ]
    }


@router.get("/me")
def me(request: Request, reviewer: Asking) -> dict[str, Any]:
    """Who is signed in, what they may do and how far they are."""
    return _me(review_of(request), reviewer)


@router.get("/progress")
def progress(request: Request, reviewer: Asking) -> dict[str, Any]:
    """How far the reviewer is."""
    return progress_json(review_of(request), reviewer)


@router.get("/text")
def text(lang: str = "en") -> dict[str, Any]:
    """The page's words in a language; what its file lacks, or all where there is no such file, in English."""
    words: dict[str, Any] = json.loads((STATIC / "text.en.json").read_bytes())
    place = STATIC / f"text.{lang}.json"
    if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", lang) and place.is_file():
        words |= {"language": lang} | json.loads(place.read_bytes())
    return words


@router.get("/rubric")
def rubric(request: Request, _reviewer: Asking) -> dict[str, Any]:
    """What is asked, the reasons to reject and the classes."""
    review = review_of(request)
    given = review.settings.rubric
    return {
        "questions": [_question(question, review.labels) for question in given.questions],
        "reasons": [{"key": str(reason.key), "value": reason.id, "text": reason.text} for reason in given.reasons],
        "classes": [_class(review, label) for label in review.labels],
    }


@router.get("/guides")
def guides(request: Request, _reviewer: Asking) -> dict[str, Any]:
    """Per class its definition and images to compare with, which are in nobody's queue."""
    review = review_of(request)
    images = review.settings.guides
    return {
        "classes": [
            {**_class(review, label), "images": [guide_id(label, n) for n in range(len(images.get(label, ())))]}
            for label in review.labels
        ]
    }


def progress_json(review: Review, reviewer: Reviewer) -> dict[str, Any]:
    """How far somebody is in the queue and, within, in the adjudication, of which reviewers have none."""
    queue = review.store.progress(reviewer.id, "queue")
    has_words = reviewer.role != "reviewer"
    words = review.store.progress(reviewer.id, "adjudication") if has_words else Progress(0, 0, 0, 0, None, 0)
    return {**_progress(queue), "plan_version": queue.plan_version, "adjudication": _progress(words)}


def _progress(value: Progress) -> dict[str, Any]:
    return {
        "total": value.total, "decided": value.n_decided, "accepted": value.n_accepted, "rejected": value.n_rejected,
        "faulty": value.n_faulty, "open": value.n_open, "next_position": value.next_position,
    }  # fmt: skip


def _begin(review: Review, token: str, response: Response) -> dict[str, Any]:
    try:
        reviewer = review.store.reviewer_by_token(token)
    except DataError as error:
        raise ApiError(401, "TokenRefused", error.what, expected=error.expected, todo="Ask for a new link.") from None
    begin_session(review, reviewer, response)
    return _me(review, reviewer)


def _me(review: Review, reviewer: Reviewer) -> dict[str, Any]:
    is_lead = reviewer.role == "lead"
    progress = progress_json(review, reviewer)
    if progress["next_position"] is not None:
        review.make_ahead(reviewer, progress["next_position"], _FIRST_AHEAD)
    return {
        "person": review.store.person_id(reviewer.id),
        "name": reviewer.name,
        "role": reviewer.role,
        "may": {
            "review": reviewer.role == "reviewer" or progress["total"] > 0,
            "adjudicate": reviewer.role == "adjudicator" or progress["adjudication"]["total"] > 0,
            "dashboard": is_lead,
            "compare": is_lead,
            "grid_all": is_lead,
        },
        "shows_class": review.settings.shows_class,
        "progress": progress,
        "rest_after_minutes": REST_AFTER_MINUTES,
    }


def _class(review: Review, label: str) -> dict[str, str]:
    known = review.settings.rubric.classes.get(label)
    return {"value": label, "name": label.replace("_", " "), "definition": known.text if known else ""}


def _question(question: Question, labels: tuple[str, ...]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": question.id, "text": question.text, "kind": question.kind, "required": question.is_required,
        "key": question.key,
    }  # fmt: skip
    if question.kind in ("choice", "many"):
        classes = [{"value": label, "text": label.replace("_", " ")} for label in labels]
        own = [{"value": option.id, "text": option.text} for option in question.options]
        value["options"] = classes if question.options_from == "classes" else own
    if question.kind == "scale":
        value |= {"low": 1, "high": question.levels, "low_text": question.low, "high_text": question.high}
    return value
