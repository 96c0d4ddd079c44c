"""A study's review: which sets people judge, which parts wait for it, and how the study goes on after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.verdicts import kept_out_hashes
from tenfold.review.config import ReviewConfig
from tenfold.review.items import set_manifest
from tenfold.review.run import run as run_review
from tenfold.studies.arms import TUNABLE
from tenfold.studies.assembly import Waves
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.parts import Outcome
from tenfold.studies.plan import StudyPlan
from tenfold.studies.settings import fill_config


def reviewed_sets(plan: StudyPlan) -> tuple[str, ...]:
    """The sets that a generator drew for arms that leave out what reviewers reject.

    What is made of real images without a generator (round trips, recolored ones, composites) is no subject of it.
    """
    heeded = {name for cell in plan.cells if cell.review == "filtered" for name in cell.synthetic_sets}
    return tuple(sorted(one.name for one in plan.sets if one.name in heeded and one.strategy in TUNABLE))


def split_at_review(waves: Waves, plan: StudyPlan, sets: Sequence[str]) -> tuple[Waves, Waves]:
    """What can be done before people have judged these sets, and the cells that wait for it."""
    waiting = {cell.name for cell in plan.cells if cell.review == "filtered" and set(cell.synthetic_sets) & set(sets)}
    before = tuple(tuple(part for part in wave if part.name not in waiting) for wave in waves.waves)
    after = tuple(tuple(part for part in wave if part.name in waiting) for wave in waves.waves)
    return Waves(tuple(filter(None, before)), waves.needs), Waves(tuple(filter(None, after)), waves.needs)


def review_sets(
    config: StudyRunConfig, sets: Sequence[str], outcomes: Mapping[str, Outcome], workspace: Workspace,
    executor: Executor, progress: Progress,
) -> None:  # fmt: skip
    """Have people judge those of the sets that could be drawn. Raises WaitingForPeople until they have."""
    drawn = tuple(name for name in sets if name not in outcomes or outcomes[name].error is None)
    if config.review is None or not drawn:
        return
    filled = {"name": config.name, "sets": drawn}
    run_review(fill_config(ReviewConfig, config.review, "review", filled), workspace, executor, progress)


def heeded_verdicts(plan: StudyPlan, workspace: Workspace) -> Mapping[str, str]:
    """SHA-256 of what is kept out of the study's sets, by path: where it changes, its cells are trained anew."""
    return kept_out_hashes(workspace, [set_manifest(one.name) for one in plan.sets])
