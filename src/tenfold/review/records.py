"""The review's records as plain frozen data: what is judged, by whom, in which place, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["reviewer", "adjudicator", "lead"]
Queue = Literal["queue", "adjudication"]
Kind = Literal["first", "repeat", "adjudication"]
Verdict = Literal["accept", "reject", "none"]


@dataclass(frozen=True)
class Item:
    """An image to judge. `path` is relative to the workspace; `set` is its folder under synthetic/, "" for a real one.

    `label`, `skin_type` and `severity` are what a synthetic image was asked to show.
    """

    image_id: str
    path: str
    sha256: str
    label: str
    source: Literal["real", "synthetic"]
    set: str = ""
    strategy: str | None = None
    prompt: str | None = None
    skin_type: int | None = None
    skin_type_group: str | None = None
    severity: str | None = None
    parent_id: str | None = None


@dataclass(frozen=True)
class QueueSettings:
    """How queues are planned; kept in the store, so that an invitation needs no recipe. Fractions in [0, 1].

    has_adjudication: whether images on which reviewers differ go to an adjudicator.
    """

    seed: int
    overlap_fraction: float = 0.2
    repeat_fraction: float = 0.05
    has_adjudication: bool = True


@dataclass(frozen=True)
class Reviewer:
    """A person with a link; `state` is as of the moment of reading."""

    id: int
    name: str
    role: Role
    state: Literal["active", "revoked", "expired"]
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Share:
    """What a person has of some images, in places of the queue; repeats count, adjudication does not.

    `taken_away`: places that went to others, undecided, when the link was revoked.
    """

    reviewer: Reviewer
    total: int
    decided: int
    faulty: int
    open: int
    taken_away: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether the whole share was judged, not a part before the person left."""
        return self.decided > 0 and not self.open and not (self.reviewer.state == "revoked" and self.taken_away)


@dataclass(frozen=True)
class Invitation:
    """A link's token in clear, which is told once and never stored."""

    reviewer: Reviewer
    token: str


@dataclass(frozen=True)
class Slot:
    """A place in a reviewer's queue and the own decision that stands there. `kind` stays on the server."""

    opaque: str
    position: int
    kind: Kind
    verdict: Verdict
    """`none` while it is open."""
    reasons: tuple[str, ...]
    answers: Mapping[str, Any]
    comment: str
    client_id: str | None
    """Of the decision that stands: what an undo names."""
    is_faulty: bool
    label: str
    """The class that the image is meant to show; it leaves the server where reviewers are to know it."""


@dataclass(frozen=True)
class ServedImage:
    """What stands behind a slot: whose it is, which image, whether it was ever served, and where in the queue."""

    reviewer_id: int
    kind: Kind
    item: Item
    is_served: bool
    is_faulty: bool
    position: int


@dataclass(frozen=True)
class Decision:
    """A judgement as the page sends it; `client_id` is made by the page and makes a repeated send harmless.

    `undoes` is the client_id of an own earlier decision on the same slot (verdict ``none`` then). ``none`` without
    `undoes` keeps answers or a comment and leaves the slot as it is. `seconds` and `client_time` are the browser's
    word: a time that cannot be is kept as unknown, and nothing is ordered by them.
    """

    client_id: str
    opaque: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""
    seconds: float | None = None
    client_time: str | None = None
    undoes: str | None = None


@dataclass(frozen=True)
class Saved:
    """An acknowledgement: the decision is on the disk. `is_new` is False for a repeated send; `was` is the verdict
    that stood before (``none``: undecided, or a repeated send)."""

    client_id: str
    is_new: bool
    server_time: datetime
    was: Verdict


@dataclass(frozen=True)
class Judgement:
    """A stored decision with its place; `number` is the order of arrival over all reviewers."""

    number: int
    client_id: str
    reviewer: str
    role: Role
    image_id: str
    kind: Kind
    position: int
    verdict: Verdict
    reasons: tuple[str, ...]
    answers: Mapping[str, Any]
    comment: str
    seconds: float | None
    client_time: str | None
    server_time: datetime
    undoes: str | None
    sha256: str = ""
    """Of the bytes that were seen."""


@dataclass(frozen=True)
class Progress:
    """How far a reviewer is in one of the two queues. Faulty slots that are undecided are `n_faulty`, not open.

    `next_position` is the first open slot, None when all is done. `plan_version` changes when queues were planned anew:
    the page then reads its queue again (opaque ids stay).
    """

    total: int
    n_accepted: int
    n_rejected: int
    n_faulty: int
    next_position: int | None
    plan_version: int

    @property
    def n_decided(self) -> int:
        return self.n_accepted + self.n_rejected

    @property
    def n_open(self) -> int:
        return self.total - self.n_decided - self.n_faulty


@dataclass(frozen=True)
class ImageFault:
    """An image that cannot be shown: deleted, corrupted or changed since it was planned."""

    image_id: str
    what: str
    at: datetime
