"""Checkpoint choice: the lowest validation loss among kept weights whose samples are no copies of training images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scipy import stats

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class CopyCheck:
    """Samples of one candidate against its training images."""

    n_samples: int
    n_flagged: int
    """Samples flagged in feature or pixel space."""
    n_allowed: int
    """So many flags are still what chance gives in 19 of 20 sets of as many images that are no copies."""
    spaces: Mapping[str, Mapping[str, Any]]
    """The facts of each space, of `Memorization.summary`."""

    @property
    def has_copies(self) -> bool:
        """More flags than chance explains."""
        return self.n_flagged > self.n_allowed


def most_by_chance(n_samples: int, flag_share: float) -> int:
    """Flags among `n_samples` images that are no copies, each flagged with chance `flag_share`: 95 % of sets have no
    more."""
    return int(stats.binom.ppf(_CONFIDENCE, n_samples, min(1.0, flag_share)))


@dataclass(frozen=True)
class Candidate:
    """Kept weights, with what is known of them; `copies` is None where their samples were not looked at."""

    step: int
    validation_loss: float
    copies: CopyCheck | None = None


@dataclass(frozen=True)
class Choice:
    """The chosen step, why, and all candidates by validation loss."""

    step: int
    reason: str
    loss_before_training: float
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def choose(
    losses: Mapping[int, float],
    steps: list[int],
    look: Callable[[int], CopyCheck | None],
    *,
    most_looks: int,
) -> Choice:
    """Choose among the weights of `steps`, of which `losses` has the validation loss (and that of step 0).

    The best `most_looks` by validation loss are looked at for copies. The first without is chosen; if all have some,
    the one with the fewest. `look` gives None when there are too few real images to tell.
    """
    ranked = sorted((Candidate(step, losses[step]) for step in steps), key=lambda one: (one.validation_loss, one.step))
    looked = [replace(one, copies=look(one.step)) for one in ranked[:most_looks]]
    chosen, reason = _chosen(looked)
    return _told(chosen, reason, losses, [*looked, *ranked[most_looks:]])


def choose_by_loss(losses: Mapping[int, float], steps: list[int], *, no_copies: str) -> Choice:
    """Choose the lowest validation loss among the weights of `steps`; `no_copies`: why no copies are looked for."""
    ranked = sorted((Candidate(step, losses[step]) for step in steps), key=lambda one: (one.validation_loss, one.step))
    return _told(ranked[0], f"the lowest validation loss; {no_copies}, so copies are not looked for", losses, ranked)


def _told(chosen: Candidate, reason: str, losses: Mapping[int, float], candidates: Sequence[Candidate]) -> Choice:
    before = losses.get(0, math.nan)
    if chosen.validation_loss >= before:
        reason += f"; no better than before the training ({before:.4g}): it did not learn what the held-out images show"
    return Choice(chosen.step, reason, before, tuple(candidates))


def _chosen(looked: list[Candidate]) -> tuple[Candidate, str]:
    first = looked[0]
    if first.copies is None:
        return first, "the lowest validation loss; too few real images of several patients to look for copies"
    for rank, candidate in enumerate(looked):
        if candidate.copies is not None and not candidate.copies.has_copies:
            if rank == 0:
                return candidate, "the lowest validation loss, and its samples are no copies of training images"
            passed = ", ".join(str(one.step) for one in looked[:rank])
            return candidate, f"the lowest validation loss without copies: the samples of step {passed} have some"
    fewest = min(looked, key=lambda one: (one.copies.n_flagged if one.copies else 0, one.validation_loss, one.step))
    return fewest, f"copies among the samples of all {len(looked)} candidates looked at: the one with the fewest"
