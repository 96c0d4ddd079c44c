"""The review page's order: begin a workspace's review, serve it, invite and revoke people, tell and write results."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import DataError, InputError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.records import ImageFault, Reviewer, Role
from tenfold.review.store import DATABASE, Store

if TYPE_CHECKING:
    from tenfold.review.web.server import Listening

LOCAL_REVIEWER, LOCAL_LEAD = "local reviewer", "local lead"
"""Who judges, and who sees the dashboard, where the page is served to this machine alone."""

LINKS = "review/local-links.json"
"""The tokens of those two, readable by its owner only: served again, the page takes the same links."""

EXPORT = "review/export"
_ROLES: tuple[Role, ...] = ("reviewer", "adjudicator", "lead")


@dataclass(frozen=True)
class ReviewOrder:
    """A checked config in its workspace; `is_new`: no review was begun there yet."""

    workspace: Workspace
    config: ReviewConfig
    is_new: bool


@dataclass(frozen=True)
class PersonLink:
    """A link in clear: it is told once, and the store holds its hash only."""

    name: str
    role: Role
    link: str
    expires_at: datetime


@dataclass(frozen=True)
class ServedPage:
    """A page that answers. `links` are those of this machine's own page; other people are invited."""

    address: str
    links: tuple[PersonLink, ...]
    n_images: int
    is_new: bool
    note: str


@dataclass(frozen=True)
class PersonStatus:
    """How far somebody is, in images."""

    name: str
    role: Role
    state: str
    expires_at: datetime
    total: int
    decided: int
    accepted: int
    rejected: int
    to_adjudicate: int
    adjudicated: int


@dataclass(frozen=True)
class ReviewStatus:
    """Where a review stands."""

    database: str
    n_images: int
    n_decisions: int
    people: tuple[PersonStatus, ...]
    faults: tuple[ImageFault, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        plain = asdict(self)
        for one in (*plain["people"], *plain["faults"]):
            one.update({key: value.isoformat() for key, value in one.items() if isinstance(value, datetime)})
        return plain


def order_review(folder: Path, settings: Sequence[str] = ()) -> ReviewOrder:
    """A checked config: as the review was begun, or the defaults, with these settings. Nothing is written.

    Args:
        settings: ``a=b`` texts as typed after --set.

    Raises:
        WorkspaceError: there is no workspace.
        RecipeError, FaultsError: a setting is unknown or of a wrong type.
    """
    from tenfold.review.begun import review_settings

    workspace = Workspace.open(folder)
    begun = review_settings(workspace)
    config = load_settings(ReviewConfig, settings, defaults=begun.model_dump() if begun else {})
    return ReviewOrder(workspace, config, is_new=begun is None)


def serve_review(order: ReviewOrder, asked: Listening, on_ready: Callable[[ServedPage], None]) -> None:
    """Serve a workspace's review until Ctrl-C, then write its consensus; begin it if there is none yet.

    Args:
        on_ready: called with the page's address and links once it answers.

    Raises:
        InputError: the page would be open to other machines without TLS, or the port is taken.
        DataError: there is no synthetic set to review, or the rubric has a fault.
    """
    from tenfold.recipes.review_page import page_settings
    from tenfold.review.run import begin_review, refresh
    from tenfold.review.waiting import SERVED
    from tenfold.review.web.app import create_app
    from tenfold.review.web.server import bind, check_listening, link, page_address, place_of, serve

    check_listening(asked)
    workspace = order.workspace
    with bind(asked) as bound:
        port = int(bound.getsockname()[1])
        address = page_address(asked, port)
        try:
            with begin_review(order.config, workspace, changes_all=True) as store:
                settings = page_settings(store, workspace, order.config, place_of(asked, port))
                app = create_app(store, workspace, settings)
                is_local = not (asked.is_remote or asked.is_behind_proxy)
                people = _local_people(store, workspace) if is_local else []
                links = [PersonLink(one.name, one.role, link(address, token), one.expires_at) for one, token in people]
                write_json_atomic(workspace.resolve(SERVED), {"address": address})
                note = "" if is_local else _idle_note(store)
                page = ServedPage(address, tuple(links), len(store.items()), order.is_new, note)
                serve(app, bound, asked, lambda: on_ready(page))
        except KeyboardInterrupt:
            refresh(workspace)
            raise
        refresh(workspace)


def invite_reviewer(folder: Path, name: str, role: str | None, days: float, address: str | None) -> PersonLink:
    """A new link for a person; for one invited before it ends the earlier link.

    Args:
        role: None: the role the person has, of a new one "reviewer".
        address: of the page; None: where it was served last.

    Raises:
        WorkspaceError, DataError: there is no workspace or review, or no name, role or time of this kind is allowed.
        InputError: the role is unknown, the address cannot be a page's, or the page was never served and none is given.
    """
    from tenfold.review.waiting import SERVED
    from tenfold.review.web.security import check_address
    from tenfold.review.web.server import link

    known = next((one for one in _ROLES if one == role), None)
    if role is not None and known is None:
        raise InputError(f"there is no role {role!r}", where="--role", expected=", ".join(_ROLES))
    workspace = Workspace.open(folder)
    served = workspace.resolve(SERVED)
    if address is not None:
        check_address(address)
    place = address or (read_json(served).get("address") if served.is_file() else None)
    if not place:
        raise InputError(
            "the page's address is not known yet", where=str(workspace.path), expected="a page that was served once",
            todo="Serve it first (`tenfold review serve`), or name the address with --address.",
        )  # fmt: skip
    with _opened(workspace) as store:
        made = store.invite(name, known, days)
    person = made.reviewer
    return PersonLink(person.name, person.role, link(str(place).rstrip("/"), made.token), person.expires_at)


def revoke_reviewer(folder: Path, name: str) -> Reviewer:
    """End a person's link and sessions. Raises DataError when nobody has the name."""
    with _opened(Workspace.open(folder)) as store:
        return store.revoke(name)


def review_status(folder: Path) -> ReviewStatus:
    """How far everybody is. Raises WorkspaceError or DataError when there is no review."""
    workspace = Workspace.open(folder)
    with _opened(workspace) as store:
        people = tuple(_status(store, one) for one in store.reviewers())
        return ReviewStatus(
            str(workspace.resolve(DATABASE)), len(store.items()), len(store.decisions()), people, tuple(store.faults())
        )


def export_review(folder: Path, to: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Write what was decided so far, of several reviews of the one begun last; the folder and the names of its files.

    Raises:
        WorkspaceError, DataError: there is no review.
        StorageError: the folder cannot be written.
    """
    from tenfold.review.begun import review_settings, rubric_of
    from tenfold.review.export import Results, write_results
    from tenfold.review.run import figures_now, refresh

    workspace = Workspace.open(folder)
    config = review_settings(workspace) or ReviewConfig.model_validate({})
    refresh(workspace)
    with _opened(workspace) as store:
        mine, contents = figures_now(store, config, workspace)
    target = workspace.resolve(EXPORT) if to is None else to
    results = Results(mine.items, mine.decided, mine.record, contents, rubric_of(config, workspace))
    paths = write_results(workspace, target, results)
    return target, tuple(sorted(path.name for path in paths))


def _opened(workspace: Workspace) -> Store:
    return Store.open(workspace.resolve(DATABASE))


def _status(store: Store, person: Reviewer) -> PersonStatus:
    own, words = store.progress(person.id, "queue"), store.progress(person.id, "adjudication")
    return PersonStatus(
        name=person.name,
        role=person.role,
        state=person.state,
        expires_at=person.expires_at,
        total=own.total,
        decided=own.n_decided,
        accepted=own.n_accepted,
        rejected=own.n_rejected,
        to_adjudicate=words.total,
        adjudicated=words.n_decided,
    )


def _local_people(store: Store, workspace: Workspace) -> list[tuple[Reviewer, str]]:
    """The lead of this machine and, where nobody was invited to judge, its reviewer: with their tokens."""
    place = workspace.resolve(LINKS)
    tokens = _kept_tokens(place)
    judges = [one.name for one in store.reviewers() if one.role == "reviewer" and one.state != "revoked"]
    wanted: list[tuple[str, Role]] = [(LOCAL_LEAD, "lead")]
    if not judges or LOCAL_REVIEWER in judges:
        wanted.insert(0, (LOCAL_REVIEWER, "reviewer"))
    people = []
    for name, role in wanted:
        try:
            person, token = store.reviewer_by_token(tokens.get(name, "")), tokens.get(name, "")
        except DataError:
            made = store.invite(name, role)
            person, token = made.reviewer, made.token
        people.append((person, token))
    _keep_tokens(place, {person.name: token for person, token in people})
    return people


def _kept_tokens(place: Path) -> dict[str, str]:
    try:
        value = read_json(place)
    except (DataError, OSError):
        return {}
    return {str(name): str(token) for name, token in value.items()} if isinstance(value, dict) else {}


def _keep_tokens(place: Path, tokens: dict[str, str]) -> None:
    """For the owner's eyes only."""
    mask = os.umask(0o077)
    try:
        write_json_atomic(place, tokens)
    finally:
        os.umask(mask)


def _idle_note(store: Store) -> str:
    """A word about this machine's reviewer, whose share of the images would wait for ever."""
    for person in store.reviewers():
        is_idle = person.name == LOCAL_REVIEWER and person.state != "revoked" and person.role == "reviewer"
        if is_idle and not store.progress(person.id).n_decided:
            return (
                f"{LOCAL_REVIEWER!r} of an earlier `review serve` has a share of the images and judged none: "
                f"`tenfold review revoke {LOCAL_REVIEWER!r}` gives them to the others."
            )
    return ""
