"""Routes of the lead, who sees what reviewers must not: the dashboard, every image by origin, comparisons."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from tenfold.review.records import Judgement, Reviewer
from tenfold.review.web.comparing import compare
from tenfold.review.web.context import review_of
from tenfold.review.web.errors import not_found
from tenfold.review.web.queue_routes import MAX_SLOTS
from tenfold.review.web.schemas import OpaqueId
from tenfold.review.web.sessions import lead

router = APIRouter(prefix="/api")
Lead = Annotated[Reviewer, Depends(lead)]
_Word = Annotated[str, Field(max_length=100)]


class GridQuery(BaseModel):
    """What the grid is to show; an empty text filters nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: _Word = ""
    source: Literal["", "real", "synthetic"] = ""
    set: _Word = ""
    strategy: _Word = ""
    skin_type_group: _Word = ""
    severity: _Word = ""
    verdict: Literal["", "accepted", "rejected", "undecided", "disputed", "faulty"] = ""
    start: int = Field(0, ge=0, le=10**9)
    count: int = Field(100, ge=1, le=MAX_SLOTS)


@router.get("/dashboard")
def dashboard(request: Request, _reviewer: Lead) -> dict[str, Any]:
    """The review's figures, at most some seconds old."""
    made: dict[str, Any] = review_of(request).figures.get()
    return made


@router.get("/grid")
def grid(request: Request, _reviewer: Lead, query: Annotated[GridQuery, Query()]) -> dict[str, Any]:
    """A window of all images that fit the filters, and what there is to filter by."""
    overview = review_of(request).overview
    overview.refresh()
    rows = overview.rows_of(query.model_dump(exclude={"start", "count"}, exclude_defaults=True))
    window = [row.as_dict() for row in rows[query.start : query.start + query.count]]
    return {"total": len(rows), "start": query.start, "items": window, "filters": overview.filters}


@router.get("/compare/{image_id}")
def comparison(request: Request, image_id: OpaqueId, _reviewer: Lead) -> dict[str, Any]:
    """An image beside its source, its nearest training images and what audits found; and what each reviewer said."""
    review = review_of(request)
    if image_id not in review.items:
        raise not_found("there is no such image")
    review.overview.refresh()
    row = review.overview.row(image_id)
    item = review.items[image_id]
    return {
        "item": {**row.as_dict(), "prompt": item.prompt or "", "image_id": image_id},
        **compare(review.workspace, item, {key: one.label for key, one in review.real_images().items()}),
        "decisions": [_said(one) for one in review.store.latest(image_id)],
    }


def _said(one: Judgement) -> dict[str, Any]:
    return {
        "by": one.reviewer, "kind": one.kind, "verdict": one.verdict, "reasons": list(one.reasons),
        "answers": dict(one.answers), "comment": one.comment, "seconds": one.seconds,
        "at": one.server_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
