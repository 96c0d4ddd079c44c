"""Who asks: a session for each person of a browser, so that several links can be open in it at the same time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request, Response

from tenfold.core.errors import DataError
from tenfold.review.records import Reviewer, Role
from tenfold.review.web.context import Review, review_of
from tenfold.review.web.errors import ApiError
from tenfold.review.web.security import SESSION_DAYS

PERSON_HEADER = "x-tenfold-person"
"""With it every request of a page tells whose page it is, by the id that /api/me gave; a browser's cookies do not."""
_PERSON = re.compile("[0-9a-f]{32}")


def cookie_name(review: Review, person: str) -> str:
    """Of a person's session cookie. Ports share cookies: it differs between stores too."""
    return f"{review.settings.place.cookie}_{person}"


def begin_session(review: Review, reviewer: Reviewer, response: Response) -> None:
    """Sign somebody in beside whoever else is, for as long as the link is valid and `SESSION_DAYS` at most."""
    left = min(reviewer.expires_at - datetime.now(UTC), timedelta(days=SESSION_DAYS))
    seconds = max(0, int(left.total_seconds()))
    response.set_cookie(
        cookie_name(review, review.store.person_id(reviewer.id)),
        review.store.begin_session(reviewer.id, seconds / 3600), max_age=seconds,
        path="/", secure=review.settings.place.is_secure, httponly=True, samesite="strict",
    )  # fmt: skip


def end_session(request: Request, response: Response) -> None:
    """Sign out the person whose page asks, and nobody else; all of the browser when none is named."""
    review = review_of(request)
    person = request.headers.get(PERSON_HEADER, "")
    for one in [person] if person else [review.store.person_id(reviewer.id) for reviewer in people_here(request)]:
        session = _session(request, one)
        if session:
            review.store.end_session(session)
            response.delete_cookie(
                cookie_name(review, one), path="/", secure=review.settings.place.is_secure, httponly=True,
                samesite="strict",
            )  # fmt: skip


def people_here(request: Request) -> list[Reviewer]:
    """Those who are signed in in the browser that asks."""
    review = review_of(request)
    start = cookie_name(review, "")
    found = []
    for name in request.cookies:
        person = name.removeprefix(start)
        if person == name or not _PERSON.fullmatch(person):
            continue
        try:
            found.append(_reviewer(request, person))
        except DataError:
            continue  # a session that has ended, or one of another store
    return sorted(found, key=lambda reviewer: reviewer.id)


async def signed_in(request: Request) -> Reviewer:
    """Who asks: the person that the page names, or the only one who is signed in in the browser.

    ApiError 401 without a session; 409 for a person of another store, and for several people and none named: what is
    asked or sent then is another's, and is not to be given up.
    """
    person = request.headers.get(PERSON_HEADER, "")
    try:
        if person:
            return _reviewer(request, person)
        here = people_here(request)
        if len(here) == 1:
            return here[0]
        what = "you are not signed in"
    except DataError as error:
        here, what = [], error.what
    if here:
        raise ApiError(
            409, "SeveralPeople", "several people are signed in in this browser",
            expected=f"the header {PERSON_HEADER}", todo="Open your own link again.",
        )  # fmt: skip
    if person and person not in _all_people(review_of(request)):
        raise ApiError(
            409, "AnotherReview", "another review is served at this address now",
            expected="the review that this page belongs to", todo="Serve that review again, or open your new link.",
        )  # fmt: skip
    raise ApiError(
        401, "NotSignedIn", what, expected="a session of this page", todo="Open the link that you were given."
    )


async def lead(request: Request) -> Reviewer:
    """A lead who asks. ApiError 403 for other roles: what leads see would unblind them."""
    return await _with_role(request, "lead")


async def adjudicator(request: Request) -> Reviewer:
    """An adjudicator or lead who asks. ApiError 403 for reviewers: what others said would sway them."""
    return await _with_role(request, "adjudicator", "lead")


Asking = Annotated[Reviewer, Depends(signed_in)]


def _session(request: Request, person: str) -> str:
    if not _PERSON.fullmatch(person):
        return ""
    return request.cookies.get(cookie_name(review_of(request), person), "")


def _reviewer(request: Request, person: str) -> Reviewer:
    """Raises DataError without a session of this very person."""
    store = review_of(request).store
    session = _session(request, person)
    if not session:
        raise DataError("you are not signed in")
    reviewer = store.reviewer_by_session(session)
    if store.person_id(reviewer.id) != person:
        raise DataError("you are not signed in")
    return reviewer


def _all_people(review: Review) -> set[str]:
    return {review.store.person_id(reviewer.id) for reviewer in review.store.reviewers()}


async def _with_role(request: Request, *roles: Role) -> Reviewer:
    reviewer = await signed_in(request)
    if reviewer.role not in roles:
        raise ApiError(
            403, "NotAllowed", f"this is not for the role {reviewer.role}", expected=" or ".join(roles),
            todo="Ask whoever runs the review.",
        )  # fmt: skip
    return reviewer
