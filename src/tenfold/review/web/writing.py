"""Writes of all reviewers gathered: those that wait while the disk works go into its next transaction together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from tenfold.core.errors import DataError
from tenfold.review.records import Decision, Saved
from tenfold.review.store import Store

_MOST_AT_ONCE = 500

Outcomes = list[Saved | DataError]


@dataclass
class _Job:
    """Decisions of one reviewer, or a slot to be noted as served (then there are none)."""

    reviewer_id: int
    decisions: Sequence[Decision] = ()
    slot: str = ""
    done: Future[Outcomes] = field(default_factory=lambda: Future[Outcomes]())


class GroupWriter:
    """One thread that writes. A future is done when its part is on the disk, or raises what kept it from there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="review-writer", daemon=True)
        self._thread.start()

    def decide(self, reviewer_id: int, decisions: Sequence[Decision]) -> Future[Outcomes]:
        """Have decisions kept; what became of each, in order."""
        job = _Job(reviewer_id, decisions)
        self._jobs.put(job)
        return job.done

    def mark_served(self, reviewer_id: int, slot: str) -> Future[Outcomes]:
        """Have a slot noted as served; the result is empty."""
        job = _Job(reviewer_id, slot=slot)
        self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Finish what waits and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            gathered = [self._jobs.get()]
            while len(gathered) < _MOST_AT_ONCE:
                try:
                    gathered.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            jobs = [job for job in gathered if job is not None]
            is_open = len(jobs) == len(gathered)
            if jobs:
                self._write(jobs)

    def _write(self, jobs: Sequence[_Job]) -> None:
        served = [(job.reviewer_id, job.slot) for job in jobs if job.slot]
        decided = [(job.reviewer_id, one) for job in jobs for one in job.decisions]
        try:
            outcomes = iter(self._store.record(served, decided))
            for job in jobs:
                job.done.set_result([next(outcomes) for _ in job.decisions])
        except Exception as error:
            _fail(jobs, error)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    """Nobody waits for ever."""
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)
