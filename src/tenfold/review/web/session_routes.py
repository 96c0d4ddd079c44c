"""Routes of the session and of what every reviewer needs: signing in, texts, the rubric, guide images."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from tenfold import __version__
from tenfold.core.errors import DataError
from tenfold.review.records import Progress, Reviewer
from tenfold.review.rubric import Question
from tenfold.review.web.context import (
    REST_AFTER_MINUTES,
    STATIC,
    Review,
    review_of,
    signed_in,
)
from tenfold.review.web.errors import ApiError
from tenfold.review.web.guides import guide_id
from tenfold.review.web.schemas import NothingIn, TokenIn, read_body

router = APIRouter(prefix="/api")
_FIRST_AHEAD = 2
Asking = Annotated[Reviewer, Depends(signed_in)]


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
    review = review_of(request)
    await read_body(request, NothingIn)
    place = review.settings.place
    session = request.cookies.get(place.cookie)
    if session:
        await run_in_threadpool(review.store.end_session, session)
    response.delete_cookie(place.cookie, path="/", secure=place.is_secure, httponly=True, samesite="strict")
    return {"ok": True}


@router.get("/me")
def me(request: Request, reviewer: Asking) -> dict[str, Any]:
    """Who is signed in, what they may do and how far they are."""
    return _me(review_of(request), reviewer)


@router.get("/progress")
def progress(request: Request, reviewer: Asking) -> dict[str, Any]:
    """How far the reviewer is."""
    return progress_json(review_of(request), reviewer)


@router.get("/text")
def text(lang: str = "en") -> Any:
    """The page's words in a language, or in English where there is no such file."""
    place = STATIC / f"text.{lang}.json"
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", lang) or not place.is_file():
        place = STATIC / "text.en.json"
    return json.loads(place.read_bytes())


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
    place = review.settings.place
    hours = max(0.0, (reviewer.expires_at - datetime.now(UTC)).total_seconds() / 3600)  # as long as the link
    response.set_cookie(
        place.cookie, review.store.begin_session(reviewer.id, hours), max_age=int(hours * 3600),
        path="/", secure=place.is_secure, httponly=True, samesite="strict",
    )  # fmt: skip
    return _me(review, reviewer)


def _me(review: Review, reviewer: Reviewer) -> dict[str, Any]:
    is_lead = reviewer.role == "lead"
    progress = progress_json(review, reviewer)
    if progress["next_position"] is not None:
        review.make_ahead(reviewer, progress["next_position"], _FIRST_AHEAD)
    return {
        "name": reviewer.name,
        "role": reviewer.role,
        "may": {
            "review": reviewer.role == "reviewer" or progress["total"] > 0,
            "adjudicate": reviewer.role == "adjudicator" or progress["adjudication"]["total"] > 0,
            "dashboard": is_lead,
            "compare": is_lead,
            "grid_all": is_lead,
        },
        "review_name": review.settings.review_name,
        "blinded": not is_lead,
        "shows_class": review.settings.shows_class,
        "progress": progress,
        "image": {"side_px": review.images.pixels("full"), "thumb_px": review.images.pixels("thumb")},
        "session_ends_at": reviewer.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "rest_after_minutes": REST_AFTER_MINUTES,
        "server_time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": __version__,
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
