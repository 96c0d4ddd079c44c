"""What a review still waits for, and whom: in figures, and in words for whoever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.errors import WaitingForPeople
from tenfold.core.files import read_json
from tenfold.core.workspace import Workspace
from tenfold.review.config import ReviewConfig
from tenfold.review.consensus import Consensus
from tenfold.review.records import Judgement, Share
from tenfold.review.store import DATABASE

SERVED = "review/served.json"
_MOST_NAMED = 5


@dataclass(frozen=True)
class Waiting:
    """Synthetic images that nobody judged (faulty ones apart) and those that wait for an adjudicator; reviewers who
    judged any, who have finished their whole share of the review's images, and how many are needed."""

    n_images: int
    n_reviewers: int
    unlooked: int
    disputed_open: int
    reviewers_finished: int
    reviewers_needed: int

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for."""
        return not (self.unlooked or self.disputed_open) and self.reviewers_finished >= self.reviewers_needed


def waiting_for(
    config: ReviewConfig, decided: Sequence[Consensus], judgements: Sequence[Judgement], shares: Sequence[Share]
) -> Waiting:
    """What is not done of a review's images."""
    own = {one.image_id for one in decided}
    looked = {one.reviewer for one in judgements if one.image_id in own and one.kind != "adjudication"}
    return Waiting(
        n_images=len(decided),
        n_reviewers=len(looked),
        unlooked=sum(not one.n_reviewers and not one.is_faulty for one in decided),
        disputed_open=sum(_waits_for_word(one) for one in decided),
        reviewers_finished=sum(one.is_finished and one.reviewer.name in looked for one in shares),
        reviewers_needed=config.reviewers_needed,
    )


def waiting_error(waiting: Waiting, shares: Sequence[Share], workspace: Workspace) -> WaitingForPeople:
    """The error that says what is missing, who holds it, and what to do."""
    done = waiting.n_images - waiting.unlooked
    active = waiting.n_reviewers
    holding = [one for one in shares if one.open and one.reviewer.state != "revoked"]
    parts = [f"{done:,} of {waiting.n_images:,} images decided by {active} reviewer{'' if active == 1 else 's'}"]
    if not waiting.unlooked and waiting.reviewers_finished < waiting.reviewers_needed:
        finished = waiting.reviewers_finished
        verb = "has" if finished == 1 else "have"
        parts.append(f"{finished} of the {waiting.reviewers_needed} reviewers needed {verb} finished")
    if holding:
        more = f" and {len(holding) - _MOST_NAMED} others" if len(holding) > _MOST_NAMED else ""
        parts.append(f"left: {', '.join(map(_held, holding[:_MOST_NAMED]))}{more}")
    if waiting.disputed_open:
        count = waiting.disputed_open
        parts.append(f"{count:,} disputed image{'s wait' if count > 1 else ' waits'} for an adjudicator")
    needed = "a reviewer" if waiting.reviewers_needed == 1 else f"{waiting.reviewers_needed} reviewers"
    return WaitingForPeople(
        "the review is not finished: " + "; ".join(parts),
        where=str(workspace.resolve(DATABASE)),
        expected=f"every image decided, and {needed} with nothing left to judge",
        todo=" ".join([
            *_advice(waiting, shares), _how_to_open(workspace),
            "Then run the same command again: it goes on. Without people: --auto-accept.",
        ]),
    )  # fmt: skip


def _waits_for_word(one: Consensus) -> bool:
    return one.rule == "adjudicated" and one.is_disputed and not one.is_adjudicated and not one.is_faulty


def _held(share: Share) -> str:
    person = share.reviewer
    late = f" (link expired {person.expires_at:%Y-%m-%d})" if person.state == "expired" else ""
    return f"{share.open:,} with {person.name}{late}"


def _advice(waiting: Waiting, shares: Sequence[Share]) -> list[str]:
    """What only an invitation or a revocation can solve."""
    found = []
    late = next((one.reviewer.name for one in shares if one.open and one.reviewer.state == "expired"), None)
    if late is not None:
        found.append(
            f"`tenfold review invite '{late}'` makes a new link, `tenfold review revoke '{late}'` gives what is left "
            "to the others."
        )
    able = sum(one.is_finished or (one.open > 0 and one.reviewer.state != "revoked") for one in shares)
    if able and able < waiting.reviewers_needed:
        found.append(f"Invite {waiting.reviewers_needed - able} more: `tenfold review invite NAME`.")
    if waiting.disputed_open:
        words = ("adjudicator", "lead")
        if not any(one.reviewer.role in words and one.reviewer.state == "active" for one in shares):
            found.append("Nobody can settle disputes: `tenfold review invite NAME --role adjudicator`.")
    return found


def _how_to_open(workspace: Workspace) -> str:
    served = workspace.resolve(SERVED)
    address = read_json(served).get("address") if served.is_file() else None
    command = f"`tenfold review serve {workspace.path}`"
    return f"Open {address} (served by {command})." if address else f"Open the page that {command} prints."
