"""Routes of judging: a reviewer's own queue, blinded images, decisions, and what others said where they differ."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from tenfold.core.errors import DataError, StorageError
from tenfold.review.records import Decision, Judgement, Queue, Reviewer, Saved, Slot, Verdict
from tenfold.review.rubric import CONDITION, check_answers
from tenfold.review.web.context import Review, review_of
from tenfold.review.web.errors import ApiError, not_found, refusal
from tenfold.review.web.images import MEDIA_TYPE, ImageFile, Size, View
from tenfold.review.web.schemas import DecisionIn, DecisionsIn, OpaqueId, read_body
from tenfold.review.web.session_routes import progress_json
from tenfold.review.web.sessions import Asking, adjudicator

router = APIRouter(prefix="/api")
MAX_SLOTS = 500
Start = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=1, le=MAX_SLOTS)]
ANSWER_SECONDS = 0.02
"""Images leave at multiples of it: looking up and noting one takes less."""
_IMAGE_ID_LENGTH = 16
_THUMBS_AHEAD = 16


@router.get("/slots")
def slots(
    request: Request, reviewer: Asking, start: Start = 0, count: Count = 50, kind: Queue = "queue"
) -> dict[str, Any]:
    """A window of one of the reviewer's queues: opaque ids, the class to be shown if they may know, their own words."""
    review = review_of(request)
    store = review.store
    if kind == "adjudication" and reviewer.role != "reviewer":
        store.plan_adjudication()
    window = store.queue(reviewer.id, start, count, kind)
    state = store.progress(reviewer.id, kind)
    return {
        "kind": kind,
        "total": state.total,
        "start": start,
        "plan_version": state.plan_version,
        "slots": [_slot_json(slot, shows_class=review.settings.shows_class) for slot in window],
    }


@router.get("/image/{opaque}")
async def image(request: Request, reviewer: Asking, opaque: OpaqueId, size: Size = "full") -> Response:
    """An image's pixels, encoded and padded like every other's. A slot counts as served from here on."""
    began = time.monotonic()
    review = review_of(request)
    asked = _image_asked(review, reviewer, opaque, size)
    content: bytes | None = None
    try:
        view = review.images.view(asked.file, size)
        if asked.is_new_slot:
            await asyncio.wrap_future(review.writer.mark_served(reviewer.id, opaque))
        content = await _pixels(review, view)
    except DataError as error:
        if asked.image_id:
            await run_in_threadpool(review.store.report_fault, asked.image_id, error.what, asked.file.sha256)
    tick = min(ANSWER_SECONDS, review.images.making_seconds)
    spent = time.monotonic() - began
    await asyncio.sleep(max(1, math.ceil(spent / tick)) * tick - spent)
    if content is None:
        raise ApiError(
            410, "ImageFault", "this image cannot be shown", expected="the image as it was when it was queued",
            todo="Go on with the next one: this one is kept out and was reported.",
        )  # fmt: skip
    return Response(content, media_type=MEDIA_TYPE)


@router.post("/decisions")
async def decisions(request: Request, reviewer: Asking) -> dict[str, Any]:
    """Judgements, each kept for good, refused for good, or not in this queue; or, with 503, none of them."""
    review = review_of(request)
    given = (await read_body(request, DecisionsIn)).decisions
    results: dict[int, dict[str, Any]] = {}
    asked: dict[int, Decision] = {}
    for number, one in enumerate(given):
        try:
            check_answers(review.settings.rubric, one.reasons, one.answers, review.labels)
            _check_class(review, one)
            asked[number] = _decision(one)
        except DataError as error:
            results[number] = _refused(review, reviewer, one, error)
    saved = await asyncio.wrap_future(review.writer.decide(reviewer.id, list(asked.values())))
    for number, outcome in zip(asked, saved, strict=True):
        if isinstance(outcome, DataError):
            results[number] = _refused(review, reviewer, given[number], outcome)
        else:
            results[number] = _kept(outcome)
    return {
        "results": [results[number] for number in range(len(given))],
        "progress": progress_json(review, reviewer),
    }


@router.get("/opinions/{opaque}")
def opinions(request: Request, opaque: OpaqueId, reviewer: Annotated[Reviewer, Depends(adjudicator)]) -> dict[str, Any]:
    """What the reviewers said of an image on which they differ, without their names."""
    review = review_of(request)
    try:
        found = review.store.find_slot(opaque)
    except DataError:
        raise not_found("there is no such image in your queue") from None
    if found.reviewer_id != reviewer.id or found.kind != "adjudication":
        raise not_found("there is no such image in your queue")
    said = [one for one in review.store.latest(found.item.image_id) if one.kind == "first"]
    said.sort(key=lambda one: review.store.blind_place(opaque, one.reviewer))
    return {"slot": opaque, "opinions": [_opinion(one, number) for number, one in enumerate(said, 1)]}


async def _pixels(review: Review, view: View) -> bytes:
    try:
        return await review.images.content(view)
    except StorageError as error:
        raise ApiError(
            503, "NotNow", error.what, expected="an image that can be read",
            todo="The page asks again. If this stays, tell whoever runs the server.",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """An image that may be sent: `image_id` is set for one that is judged, so that a fault of it is reported."""

    file: ImageFile
    image_id: str | None
    is_new_slot: bool = False


def _image_asked(review: Review, reviewer: Reviewer, opaque: str, size: Size) -> _Asked:
    """What stands behind an address, if this reviewer may see it; the images after it are made ahead."""
    if len(opaque) == _IMAGE_ID_LENGTH:
        return _image_by_id(review, opaque, is_unblinded=reviewer.role == "lead")
    try:
        found = review.store.find_slot(opaque)
    except DataError:
        raise not_found("there is no such image in your queue") from None
    if found.reviewer_id != reviewer.id:
        raise not_found("there is no such image in your queue")
    asked = _Asked(review.image_file(found.item), found.item.image_id, is_new_slot=not found.is_served)
    queue: Queue = "adjudication" if found.kind == "adjudication" else "queue"
    if size == "full":
        review.make_ahead(reviewer, found.position, queue=queue)
    else:
        review.make_ahead(reviewer, found.position, _THUMBS_AHEAD, "thumb", queue=queue)
    return asked


def _image_by_id(review: Review, image_id: str, *, is_unblinded: bool) -> _Asked:
    if image_id in review.guide_files:
        return _Asked(ImageFile(review.guide_files[image_id], ""), None)
    if is_unblinded and image_id in review.items:
        return _Asked(review.image_file(review.items[image_id]), image_id)
    if is_unblinded and image_id in review.real_images():
        return _Asked(review.image_file(review.real_images()[image_id]), None)
    raise not_found("there is no such image")


def _kept(saved: Saved) -> dict[str, Any]:
    return {
        "client_id": saved.client_id, "status": "saved" if saved.is_new else "known", "was": _verdict(saved.was),
        "error": None,
    }  # fmt: skip


def _refused(review: Review, reviewer: Reviewer, one: DecisionIn, error: DataError) -> dict[str, Any]:
    """What is not in this queue may be in another one, or come back with a store's copy: the page is to keep it."""
    try:
        is_own = review.store.find_slot(one.slot).reviewer_id == reviewer.id
    except DataError:
        is_own = False
    status = "refused" if is_own else "not_in_queue"
    return {"client_id": one.client_id, "status": status, "was": None, "error": refusal(error)}


def _decision(one: DecisionIn) -> Decision:
    return Decision(
        client_id=one.client_id, opaque=one.slot, verdict=one.verdict, reasons=tuple(one.reasons), answers=one.answers,
        comment=one.comment, seconds=one.seconds, client_time=one.client_time, undoes=one.undoes,
    )  # fmt: skip


def _check_class(review: Review, one: DecisionIn) -> None:
    """Raise DataError for an image that is accepted as what it is not: it would teach a classifier the wrong class."""
    named = one.answers.get(CONDITION)
    if not review.settings.shows_class or one.verdict != "accept" or named not in review.labels:
        return
    label = review.store.find_slot(one.slot).item.label
    if named != label:
        raise DataError(
            f"the image is meant to show {label}, and was named {named}", where=f"answers.{CONDITION}",
            expected="the same class, or a rejection", todo="Reject it, or mend the answer.",
        )  # fmt: skip


def _verdict(verdict: Verdict) -> str | None:
    return None if verdict == "none" else verdict


def _slot_json(slot: Slot, *, shows_class: bool) -> dict[str, Any]:
    return {
        "slot": slot.opaque, "position": slot.position, "verdict": _verdict(slot.verdict), "client_id": slot.client_id,
        "reasons": list(slot.reasons), "answers": dict(slot.answers), "comment": slot.comment,
        "is_faulty": slot.is_faulty, "label": slot.label if shows_class else None,
    }  # fmt: skip


def _opinion(one: Judgement, number: int) -> dict[str, Any]:
    return {
        "by": f"Reviewer {number}", "verdict": one.verdict, "reasons": list(one.reasons),
        "answers": dict(one.answers), "comment": one.comment,
    }  # fmt: skip
