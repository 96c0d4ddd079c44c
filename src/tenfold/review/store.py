"""The review's store: images, queues, people and append-only decisions in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.review import assigning, counts, database, decisions, meta, people, slots
from tenfold.review.queue import opaque_id
from tenfold.review.records import (
    Decision,
    ImageFault,
    Invitation,
    Item,
    Judgement,
    Progress,
    Queue,
    QueueSettings,
    Reviewer,
    Role,
    Saved,
    ServedImage,
    Share,
    Slot,
)
from tenfold.review.times import utc_now

DATABASE = "review/review.sqlite"
"""Relative to the workspace."""

_MOST_DRAFTS = 3
"""Then a plan is made under the write lock: people and images change faster than it is drafted."""


class Store:
    """Safe for several threads and processes. Every write that returns is on the disk and outlives `kill -9`.

    All methods raise StorageError ("not saved: ...", reads "not read: ...") when the database is locked, read-only or
    gone or the disk is full, and DataError for an id, token, name or decision that is wrong.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = utc_now) -> None:
        """Use `open` or `open_or_create`, which see to the file first."""
        self.path = path
        self._now = clock
        self._database = database.Database(path)
        with self._database.reading() as connection:
            self._secret = meta.secret(connection)
            is_due, is_wrong = meta.is_plan_due(connection), not counts.agree(connection)
        if is_wrong or not self._secret:
            with self._database.writing() as connection:
                self._secret = meta.make_secret(connection)
                if is_wrong:
                    counts.rebuild(connection)
        if is_due:  # a program ended between a change of people or images and the plan for it
            self._plan()

    @classmethod
    def open(cls, path: str | Path, clock: Callable[[], datetime] = utc_now) -> Store:
        """Open an existing store; an older one is migrated, after a copy. DataError when there is none."""
        database.prepare(Path(path))
        return cls(Path(path), clock)

    @classmethod
    def open_or_create(cls, path: str | Path, clock: Callable[[], datetime] = utc_now) -> Store:
        """Open the store, or make it."""
        database.create(Path(path))
        return cls.open(path, clock)

    def close(self) -> None:
        """Let go of the file; a later call raises StorageError."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fill(self, items: Iterable[Item], settings: QueueSettings) -> int:
        """Add the images that are not there yet, keep the settings and plan all queues; the number added.

        Images that are there stay as they are, even when they are not named again. One that was drawn anew with other
        bytes is to be judged anew; what was said of the former stays on record.
        """
        added = 0
        rows = iter(items)
        while part := list(islice(rows, assigning.SLICE)):
            with self._database.writing() as connection:
                added += slots.add_items(connection, part, self._secret, self._now())
        with self._database.writing() as connection:
            meta.set_settings(connection, settings)
            meta.set_plan_due(connection, is_due=True)
        self._plan()
        return added

    def settings(self) -> QueueSettings | None:
        """As given to `fill`; None before."""
        with self._database.reading() as connection:
            return meta.settings(connection)

    def items(self) -> list[Item]:
        """All images as they are now, by image id."""
        with self._database.reading() as connection:
            return slots.items(connection)

    def invite(self, name: str, role: Role | None = None, days: float = 14.0) -> Invitation:
        """Make a reviewer, or give a known one a new link (the old link and its sessions end, decisions stay).

        Queues are planned anew: images that nobody has seen are shared with the new one.
        """
        with self._database.writing() as connection:
            invitation = people.invite(connection, name, role, days, self._now())
            meta.set_plan_due(connection, is_due=True)
        self._plan()
        return invitation

    def revoke(self, name: str) -> Reviewer:
        """End link and sessions; what the reviewer has not decided goes to the others."""
        with self._database.writing() as connection:
            reviewer = people.revoke(connection, name, self._now())
            meta.set_plan_due(connection, is_due=True)
        self._plan()
        return reviewer

    def reviewers(self) -> list[Reviewer]:
        """Everyone ever invited, in the order of their first invitation."""
        with self._database.reading() as connection:
            return people.reviewers(connection, self._now())

    def reviewer_by_token(self, token: str) -> Reviewer:
        """The active reviewer of a link. DataError when it is unknown, revoked or expired."""
        with self._database.reading() as connection:
            return people.reviewer_by_token(connection, token, self._now())

    def begin_session(self, reviewer_id: int, hours: float = 12.0) -> str:
        """A new session's secret, for a cookie; without a valid link it counts no more."""
        with self._database.writing() as connection:
            return people.begin_session(connection, reviewer_id, hours, self._now())

    def reviewer_by_session(self, session: str) -> Reviewer:
        """The active reviewer of a session. DataError when it is unknown or over, or the link is."""
        with self._database.reading(is_one_query=True) as connection:
            return people.reviewer_by_session(connection, session, self._now())

    def end_session(self, session: str) -> None:
        """Nothing happens when it has ended already."""
        with self._database.writing() as connection:
            people.end_session(connection, session, self._now())

    def queue(self, reviewer_id: int, start: int, count: int, queue: Queue = "queue") -> list[Slot]:
        """The slots at positions start to start + count - 1; positions are 0 to total - 1."""
        with self._database.reading() as connection:
            return slots.window(connection, reviewer_id, queue, start, count)

    def slot(self, reviewer_id: int, opaque: str) -> Slot:
        """One own slot. DataError when it is not this reviewer's."""
        with self._database.reading() as connection:
            return slots.own_slot(connection, reviewer_id, opaque)

    def find_slot(self, opaque: str) -> ServedImage:
        """What stands behind anyone's slot; the caller sees to whose it is. DataError when there is none."""
        with self._database.reading(is_one_query=True) as connection:
            return slots.behind(connection, opaque)

    def item_by_opaque(self, opaque: str) -> Item:
        """The image of an id that `item_opaques` gives, for unblinded pages."""
        with self._database.reading() as connection:
            return slots.item_by_opaque(connection, opaque)

    def person_id(self, reviewer_id: int) -> str:
        """Who somebody is to browsers: unlike in every other store, and nothing can be learned from it."""
        return opaque_id(self._secret, "person", str(reviewer_id))

    def blind_place(self, opaque: str, reviewer: str) -> str:
        """What orders the opinions on a slot, so that their order names nobody."""
        return opaque_id(self._secret, "opinion", f"{opaque}/{reviewer}")

    def item_opaques(self) -> dict[str, str]:
        """By image id, the id under which unblinded pages know an image."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT image_id, opaque FROM item WHERE is_current ORDER BY image_id")
            return dict(rows.fetchall())

    def serve(self, reviewer_id: int, opaque: str) -> Item:
        """The image of an own slot, noted as served (on the disk) before it is returned. DataError: not an own slot."""
        found = self.find_slot(opaque)
        if found.reviewer_id != reviewer_id:
            raise slots.unknown_slot(opaque)
        if not found.is_served:
            self.mark_served([(reviewer_id, opaque)])
        return found.item

    def mark_served(self, pairs: Sequence[tuple[int, str]]) -> int:
        """Note slots (reviewer id, opaque) as served, in one transaction; the number that was new."""
        with self._database.writing() as connection:
            return slots.mark_served(connection, pairs, self._now())

    def progress(self, reviewer_id: int, queue: Queue = "queue") -> Progress:
        """How far a reviewer is."""
        with self._database.reading() as connection:
            return counts.progress(connection, reviewer_id, queue)

    def shares(self, image_ids: Collection[str] | None = None) -> list[Share]:
        """What everyone ever invited has of these images, None: of all; in the order of their first invitation."""
        with self._database.reading() as connection:
            return counts.shares(connection, people.reviewers(connection, self._now()), image_ids)

    def plan_adjudication(self) -> int:
        """Give disputed images to adjudicators, or where none is invited to leads, if the settings say so; the number
        of new slots. Cheap when there is nothing new."""
        with self._database.reading() as connection:
            settings = meta.settings(connection)
            if settings is None or not assigning.undealt(connection, settings):
                return 0
        with self._database.writing() as connection:
            return assigning.plan_adjudication(connection, settings, self._secret)

    def disputed(self) -> list[str]:
        """Synthetic images that wait for an adjudicator: first judgements differ, and no word of one stands."""
        with self._database.reading() as connection:
            return counts.disputed(connection)

    def rejected_before(self) -> set[str]:
        """Images of which somebody rejected what was drawn before."""
        with self._database.reading() as connection:
            return counts.rejected_before(connection)

    def add_decision(self, reviewer_id: int, decision: Decision) -> Saved:
        """Append one. DataError: not an own slot, not served, a client_id of another decision, an undo of nothing."""
        saved = self.add_decisions([(reviewer_id, decision)])[0]
        if isinstance(saved, DataError):
            raise saved
        return saved

    def add_decisions(self, given: Sequence[tuple[int, Decision]]) -> list[Saved | DataError]:
        """Append decisions (reviewer id, decision) of any reviewers, in order and in one transaction.

        A refused one does not hold up the others. StorageError: none of them was saved.
        """
        return self.record((), given)

    def record(
        self, served: Sequence[tuple[int, str]], given: Sequence[tuple[int, Decision]]
    ) -> list[Saved | DataError]:
        """`mark_served`, then `add_decisions`, in one transaction: the disk is waited for once."""
        results: list[Saved | DataError] = []
        with self._database.writing() as connection:
            now = self._now()
            slots.mark_served(connection, served, now)
            for reviewer_id, decision in given:
                try:
                    results.append(decisions.add(connection, reviewer_id, decision, now))
                except DataError as error:
                    results.append(error)
        return results

    def decisions(self) -> list[Judgement]:
        """Every decision ever made, undone ones and undos too, in the order of arrival."""
        with self._database.reading() as connection:
            return decisions.all_decisions(connection)

    def latest(self, image_id: str | None = None) -> list[Judgement]:
        """The decision that stands for each decided slot (after undo), in the order of arrival; of one image or all, as
        they are now."""
        with self._database.reading() as connection:
            return decisions.standing_decisions(connection, image_id)

    def decided_since(self, number: int) -> tuple[int, set[str]]:
        """The number of the last decision, and the images of which anything was decided after decision `number`."""
        with self._database.reading() as connection:
            return decisions.decided_since(connection, number)

    def following(self, reviewer_id: int, position: int, count: int, queue: Queue = "queue") -> list[Item]:
        """The images at the next places of a queue, from a position on."""
        with self._database.reading(is_one_query=True) as connection:
            return slots.following(connection, reviewer_id, queue, position, count)

    def report_fault(self, image_id: str, what: str, sha256: str = "") -> None:
        """Note that an image cannot be shown; the first word stays. `sha256`: of the bytes meant; "": those of now."""
        with self._database.writing() as connection:
            slots.report_fault(connection, image_id, sha256, what, self._now())

    def end_faults(self, image_ids: Collection[str]) -> None:
        """Note that these images, as they are now, can be shown again: who has not judged them is asked again."""
        with self._database.writing() as connection:
            for image_id in image_ids:
                slots.end_fault(connection, image_id, self._now())

    def faults(self) -> list[ImageFault]:
        """The images that cannot be shown, by image id."""
        with self._database.reading() as connection:
            return slots.faults(connection)

    def _plan(self) -> None:
        """Bring all queues to the plan; the write lock is held for slices and for what must change at once only."""
        for attempt in range(_MOST_DRAFTS):
            with self._database.reading() as connection:
                settings = meta.settings(connection)
                change = None if settings is None else assigning.draft(connection, settings, self._secret)
            for part in assigning.slices(change) if change is not None else ():
                with self._database.writing() as connection:
                    assigning.add_slots(connection, part)
            with self._database.writing() as connection:
                settings = meta.settings(connection)
                if settings is not None:
                    if change is None or assigning.basis(connection, settings) != change.basis:
                        if attempt < _MOST_DRAFTS - 1:
                            continue
                        change = assigning.draft(connection, settings, self._secret)
                        assigning.add_slots(connection, change.early)
                    assigning.apply(connection, change)
                    assigning.plan_adjudication(connection, settings, self._secret)
                meta.set_plan_due(connection, is_due=False)
                return
