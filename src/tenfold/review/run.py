"""The review as a stage: queue planned, decisions gathered, and either the results written or people waited for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import WaitingForPeople
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.plain import to_plain
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.verdicts import FOLDER as VERDICTS
from tenfold.data.verdicts import write_verdicts
from tenfold.review.config import ReviewConfig
from tenfold.review.consensus import Consensus, consensus_table, decide
from tenfold.review.coverage import Coverage, Targets, tally
from tenfold.review.export import Results, decision_table, verdict_tables, write_results
from tenfold.review.items import real_items, set_manifest, synthetic_items
from tenfold.review.queue import choose_real
from tenfold.review.records import Item, Judgement, QueueSettings
from tenfold.review.rubric import Rubric, load_rubric
from tenfold.review.severity import severities_seen, severity_levels
from tenfold.review.store import DATABASE, Store
from tenfold.review.summary import ReaderPlace, Summary, summarize
from tenfold.review.tables import write_if_changed

STAGE = "review"
SETTINGS = "review/settings.json"
CONSENSUS, DECISIONS = "review/consensus.parquet", "review/decisions.parquet"
RESULTS = "review/results"
"""A folder of its own: a stage may sweep its folder, and the decisions must never lie in it."""
SERVED = "review/served.json"


@dataclass(frozen=True)
class Gathered:
    """Everything decided so far. `judgements` are those that stand; `items` are real and synthetic."""

    items: tuple[Item, ...]
    judgements: tuple[Judgement, ...]
    decided: tuple[Consensus, ...]
    places: tuple[ReaderPlace, ...]
    n_disputed: int


def run(config: ReviewConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write review/results/ once enough people have judged the images; until then the queue stands open.

    What was decided so far is written at every run, so that a rejected image is kept out from then on. With
    `auto_accept` nobody is waited for: what nobody judged is marked as unreviewed, and the summary says so.

    Raises:
        WaitingForPeople: images are not decided, too few reviewers are done, or disputes wait for an adjudicator.
        DataError: there is nothing to review, or the rubric has a fault.
    """
    wanted = synthetic_items(workspace, config.sets)
    rubric = load_rubric(config.rubric)
    if config.auto_accept and not workspace.resolve(DATABASE).is_file():
        gathered = Gathered(tuple(wanted), (), tuple(decide(wanted, (), config.consensus)), (), 0)
        decisions: list[Judgement] = []
        _keep_settings(config, workspace)
    else:
        with begin_review(config, workspace) as store:
            store.plan_adjudication()
            gathered, decisions = gather(store, config), store.decisions()
    _write_current(workspace, gathered, decisions)
    own = {item.image_id for item in wanted}
    _tell(progress, gathered, own)
    if not config.auto_accept:
        _wait(config, workspace, gathered, own)
    sets = sorted({item.set for item in wanted})
    inputs = [workspace.resolve(path) for path in (CONSENSUS, DECISIONS, *map(set_manifest, sets))]
    stage = begin_stage(workspace, STAGE, RESULTS, config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    summary, coverage = figures(gathered, config, rubric, workspace.root_seed)
    facts = {
        "name": config.name,
        "rule": config.consensus,
        "is_unreviewed": summary.undecided > 0,
        "auto_accept": config.auto_accept,
        "sets": sets,
        "n_reviewers": len({one.reviewer for one in gathered.judgements}),
        **{name: getattr(summary, name) for name in ("n_images", "accepted", "rejected", "undecided", "faulty")},
    }
    contents = {"facts": facts, "summary": to_plain(summary), "coverage": to_plain(coverage)}
    outputs = write_results(workspace, stage.folder, Results(gathered.items, gathered.decided, decisions, contents))
    return stage.finish(outputs, facts)


def begin_review(config: ReviewConfig, workspace: Workspace) -> Store:
    """The store with every image and queue of this config, made or brought up to it; close it after use.

    Decisions that are there stay. Raises DataError when there is nothing to review, or the rubric has a fault.
    """
    load_rubric(config.rubric)
    seed = derive_seed(workspace.root_seed, "review")
    synthetic = synthetic_items(workspace, config.sets)
    real = choose_real(real_items(workspace), synthetic, config.real_fraction, seed) if config.real_fraction else []
    settings = QueueSettings(seed, config.overlap_fraction, config.repeat_fraction)
    _keep_settings(config, workspace)
    store = Store.open_or_create(workspace.resolve(DATABASE))
    try:
        known = {item.image_id: item.sha256 for item in store.items()}
        if store.settings() != settings or any(item.image_id not in known for item in (*synthetic, *real)):
            store.fill([*synthetic, *real], settings)
        for item in synthetic:
            if known.get(item.image_id, item.sha256) != item.sha256:
                store.report_fault(item.image_id, "drawn anew with other bytes since it was put before the reviewers")
    except BaseException:
        store.close()
        raise
    return store


def review_settings(workspace: Workspace) -> ReviewConfig | None:
    """The config that the workspace's review was begun with; None when none was."""
    path = workspace.resolve(SETTINGS)
    return ReviewConfig.model_validate(read_json(path)) if path.is_file() else None


def gather(store: Store, config: ReviewConfig) -> Gathered:
    """What the store holds, and the consensus by the config's rule."""
    items, judgements = tuple(store.items()), tuple(store.latest())
    decided = tuple(decide(items, judgements, config.consensus, {fault.image_id for fault in store.faults()}))
    places = []
    for reviewer in store.reviewers():
        own = store.progress(reviewer.id)
        places.append(ReaderPlace(reviewer.name, reviewer.role, own.total, own.n_decided, own.n_faulty))
    return Gathered(items, judgements, decided, tuple(places), len(store.disputed()))


def figures(gathered: Gathered, config: ReviewConfig, rubric: Rubric, seed: int) -> tuple[Summary, Coverage]:
    """All figures and the coverage, at any moment of the review."""
    targets = Targets(**config.targets.model_dump())
    seen = severities_seen(gathered.items, gathered.judgements)
    coverage = tally(gathered.items, gathered.decided, targets, seen, severity_levels(rubric))
    return summarize(gathered.items, gathered.decided, gathered.judgements, gathered.places, seed=seed), coverage


def dashboard(store: Store, config: ReviewConfig, seed: int) -> dict[str, Any]:
    """`figures` as plain JSON, with `summary` and `coverage`; takes seconds on a hundred thousand images."""
    summary, coverage = figures(gather(store, config), config, load_rubric(config.rubric), seed)
    return {"summary": to_plain(summary), "coverage": to_plain(coverage)}


def refresh(workspace: Workspace) -> bool:
    """Write the decisions of now where other stages read them; whether anything changed. Nothing without a review.

    Whatever trains classifiers does this first, so that an image rejected a minute ago stays out.
    """
    config = review_settings(workspace)
    if config is None or not workspace.resolve(DATABASE).is_file():
        return False
    with Store.open(workspace.resolve(DATABASE)) as store:
        return _write_current(workspace, gather(store, config), store.decisions())


def _write_current(workspace: Workspace, gathered: Gathered, decisions: Sequence[Judgement]) -> bool:
    changed = [
        write_if_changed(decision_table(decisions), workspace.resolve(DECISIONS)),
        write_if_changed(consensus_table(gathered.decided), workspace.resolve(CONSENSUS)),
    ]
    for name, verdicts in verdict_tables(gathered.decided).items():
        if len(verdicts) or workspace.resolve(f"{VERDICTS}/{name}.parquet").is_file():
            changed.append(write_verdicts(workspace, name, verdicts))
    return any(changed)


def _keep_settings(config: ReviewConfig, workspace: Workspace) -> None:
    """For the page and for `refresh`, which know no recipe."""
    if review_settings(workspace) != config:
        write_json_atomic(workspace.resolve(SETTINGS), config.model_dump(mode="json"))


def _tell(progress: Progress, gathered: Gathered, own: Collection[str]) -> None:
    """What a reader of the log should know before a classifier is trained."""
    mine = [one for one in gathered.decided if one.image_id in own]
    if faulty := sum(one.is_faulty for one in mine):
        progress.log(f"Review: {faulty:,} images could not be shown and are kept out.")
    kept = {(one.set, one.label) for one in mine if one.verdict != "rejected"}
    for name, label in sorted({(one.set, one.label) for one in mine} - kept):
        progress.log(f"Review: every image of {label} in {name} was rejected; arms that need it cannot be trained.")


def _wait(config: ReviewConfig, workspace: Workspace, gathered: Gathered, own: Collection[str]) -> None:
    mine = [one for one in gathered.decided if one.image_id in own]
    done = sum(one.n_reviewers > 0 or one.is_faulty for one in mine)
    readers = [place for place in gathered.places if place.total]
    finished = sum(place.decided + place.faulty >= place.total for place in readers)
    disputed = sum(one.is_disputed and not one.is_adjudicated and not one.is_faulty for one in mine)
    waits_for_word = disputed if config.consensus == "adjudicated" else 0
    if done == len(mine) and finished >= config.reviewers_needed and not waits_for_word:
        return
    active = sum(place.decided > 0 for place in readers)
    parts = [f"{done:,} of {len(mine):,} images decided by {active} reviewer{'' if active == 1 else 's'}"]
    if done == len(mine) and finished < config.reviewers_needed:
        parts.append(f"{finished} of the {config.reviewers_needed} reviewers needed have finished")
    if waits_for_word:
        parts.append(
            f"{waits_for_word:,} disputed image{'s wait' if waits_for_word > 1 else ' waits'} for an adjudicator"
        )
    raise WaitingForPeople(
        "the review is not finished: " + "; ".join(parts),
        where=str(workspace.resolve(DATABASE)),
        expected="every image decided, and "
        + ("a reviewer" if config.reviewers_needed == 1 else f"{config.reviewers_needed} reviewers")
        + " with nothing left to judge",
        todo=f"{_how_to_open(workspace)} Then run the same command again: it goes on. Without people: --auto-accept.",
    )


def _how_to_open(workspace: Workspace) -> str:
    served = workspace.resolve(SERVED)
    address = read_json(served).get("address") if served.is_file() else None
    command = f"`tenfold review serve {workspace.path}`"
    return f"Open {address} (served by {command})." if address else f"Open the page that {command} prints."
