"""The review as a stage: queue planned, decisions gathered, and either the results written or people waited for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json
from tenfold.core.plain import to_plain
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.review.begun import keep_settings, review_settings, rubric_of
from tenfold.review.config import ReviewConfig
from tenfold.review.consensus import Consensus, consensus_table, decide
from tenfold.review.coverage import Coverage, Targets, tally
from tenfold.review.export import Results, decision_table, write_results, write_set_verdicts
from tenfold.review.faults import end_past_faults
from tenfold.review.guide_choice import keep_guides, kept_guides
from tenfold.review.items import real_items, set_manifest, sets_with, synthetic_items
from tenfold.review.lost import DECISIONS, refuse_lost
from tenfold.review.queue import choose_real, wished_real
from tenfold.review.records import Item, Judgement, QueueSettings, Share
from tenfold.review.rubric import Rubric, load_rubric
from tenfold.review.severity import severities_seen, severity_levels
from tenfold.review.store import DATABASE, Store
from tenfold.review.summary import ReaderPlace, Summary, summarize
from tenfold.review.tables import write_if_changed
from tenfold.review.waiting import waiting_error, waiting_for

STAGE = "review"
CONSENSUS = "review/consensus.parquet"
RESULTS = "review/results"
"""Of each review in a folder of its own: a stage may sweep its folder, and the decisions must never lie in it."""


@dataclass(frozen=True)
class Gathered:
    """Everything decided so far. `judgements` are those that stand, `record` all that were ever made, in order; `items`
    are real and synthetic; `shares`: of everyone ever invited; `sets`: ids by set, where several can share an image."""

    items: tuple[Item, ...]
    judgements: tuple[Judgement, ...]
    decided: tuple[Consensus, ...]
    shares: tuple[Share, ...]
    record: tuple[Judgement, ...] = ()
    sets: Mapping[str, Collection[str]] | None = None


def run(config: ReviewConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write review/results/<name>/ once enough people have judged the images; until then the queue stands open.

    What was decided so far is written at every run, so that a rejected image is kept out from then on. With
    `auto_accept` nobody is waited for: what nobody judged is marked as unreviewed, disputed images stay out until they
    are settled, and the summary says so.

    Raises:
        WaitingForPeople: images are not decided, too few reviewers are done, or disputes wait for an adjudicator.
        DataError: there is nothing to review, the rubric has a fault, or another review of the workspace has other
            settings.
    """
    rubric = load_rubric(config.rubric)
    if config.auto_accept and not workspace.resolve(DATABASE).is_file():
        refuse_lost(workspace, None)
        wanted = synthetic_items(workspace, config.sets)
        keep_settings(config, workspace)
        held = sets_with(workspace, [one.image_id for one in wanted], config.sets)
        everything = mine = Gathered(tuple(wanted), (), tuple(decide(wanted, (), config.consensus)), (), sets=held)
    else:
        with begin_review(config, workspace) as store:
            store.plan_adjudication()
            everything, mine = gather(store, config), of_review(store, config, workspace)
        _tell_real(progress, config, mine.items)
    _write_current(workspace, everything)
    _tell(progress, mine.decided)
    waiting = waiting_for(config, mine.decided, mine.judgements, mine.shares)
    if not (waiting.is_over or config.auto_accept):
        raise waiting_error(waiting, mine.shares, workspace)
    sets = sorted(config.sets) or sorted(sets_with(workspace, [one.image_id for one in mine.decided]))
    inputs = [workspace.resolve(path) for path in (CONSENSUS, DECISIONS, *map(set_manifest, sets))]
    stage = begin_stage(workspace, STAGE, f"{RESULTS}/{config.name}", config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    summary, coverage = figures(mine, config, rubric, workspace.root_seed)
    facts = {
        "name": config.name,
        "rule": config.consensus,
        "shows_class": config.shows_class,
        "auto_accept": config.auto_accept,
        "wait_bypassed": not waiting.is_over,
        "is_unreviewed": waiting.unlooked > 0,
        "sets": sets,
        **{name: getattr(summary, name) for name in ("accepted", "rejected", "undecided", "faulty")},
        **asdict(waiting),
    }
    contents = {"facts": facts, "summary": to_plain(summary), "coverage": to_plain(coverage)}
    outputs = write_results(workspace, stage.folder, Results(mine.items, mine.decided, mine.record, contents, rubric))
    return stage.finish(outputs, facts)


def begin_review(config: ReviewConfig, workspace: Workspace, *, changes_all: bool = False) -> Store:
    """The store with every image and queue of this config, made or brought up to it; close it after use.

    Decisions that are there stay. Images that can be shown again are asked for again. changes_all: other reviews of the
    workspace get the settings that all share.

    Raises:
        DataError: there is nothing to review, the rubric has a fault, or another review has other settings.
    """
    rubric = load_rubric(config.rubric)
    seed = derive_seed(workspace.root_seed, "review")
    synthetic = synthetic_items(workspace, config.sets)
    candidates = _candidates(workspace, config)
    has_adjudication = config.consensus == "adjudicated"
    settings = QueueSettings(seed, config.overlap_fraction, config.repeat_fraction, has_adjudication)
    if not workspace.resolve(DATABASE).is_file():
        refuse_lost(workspace, None)
    keep_settings(config, workspace, changes_all=changes_all)
    store = Store.open_or_create(workspace.resolve(DATABASE))
    try:
        refuse_lost(workspace, store)
        queued = store.items()
        named = {name for one in rubric.classes.values() for name in one.guides}
        guides = keep_guides(workspace, candidates, [*queued, *synthetic], named, seed)
        free = [item for item in candidates if item.image_id not in guides.kept]
        known = {item.image_id: item.sha256 for item in queued}
        wanted = [*synthetic, *choose_real(free, synthetic, config.real_fraction, seed, guides.kin)]
        if any(item.image_id in guides.kin for item in wanted):  # there were no others: these guides go
            keep_guides(workspace, candidates, [*queued, *wanted], named, seed)
        if store.settings() != settings or any(known.get(item.image_id) != item.sha256 for item in wanted):
            store.fill(wanted, settings)
        end_past_faults(store, workspace)
    except BaseException:
        store.close()
        raise
    return store


def _candidates(workspace: Workspace, config: ReviewConfig) -> list[Item]:
    """Real images to queue and to show as guides. DataError when some are to be queued, and they are not split yet."""
    try:
        return real_items(workspace)
    except DataError:
        if config.real_fraction:
            raise
        return []


def gather(store: Store, config: ReviewConfig) -> Gathered:
    """What the store holds of all reviews, and the consensus by their rule."""
    items, judgements = tuple(store.items()), tuple(store.latest())
    faulty = {fault.image_id for fault in store.faults()}
    decided = decide(items, judgements, config.consensus, faulty, store.rejected_before())
    return Gathered(items, judgements, tuple(decided), tuple(store.shares()), tuple(store.decisions()))


def of_review(store: Store, config: ReviewConfig, workspace: Workspace) -> Gathered:
    """What the store holds of the images of the config's sets, and of the real ones that were mixed among them."""
    whole = gather(store, config)
    held = sets_with(workspace, [one.image_id for one in whole.decided], config.sets)
    if not config.sets:
        return replace(whole, sets=held)
    named = set(config.sets)
    set_of = {one.image_id: one.set for one in whole.items if one.set in named}
    for name, ids in held.items():
        set_of |= dict.fromkeys(ids - set_of.keys(), name)
    synthetic = [replace(one, set=set_of[one.image_id]) for one in whole.items if one.image_id in set_of]
    real = [one for one in whole.items if one.source == "real"]
    seed = derive_seed(workspace.root_seed, "review")
    last = kept_guides(workspace).kin
    items = [*synthetic, *(choose_real(real, synthetic, config.real_fraction, seed, last) if synthetic else ())]
    own = {one.image_id for one in items}
    return Gathered(
        items=tuple(sorted(items, key=lambda one: one.image_id)),
        judgements=tuple(one for one in whole.judgements if one.image_id in own),
        decided=tuple(replace(one, set=set_of[one.image_id]) for one in whole.decided if one.image_id in set_of),
        shares=tuple(store.shares(own)),
        record=tuple(one for one in whole.record if one.image_id in own),
        sets=held,
    )


def figures(gathered: Gathered, config: ReviewConfig, rubric: Rubric, seed: int) -> tuple[Summary, Coverage]:
    """All figures and the coverage, at any moment of the review; what cannot be shown is no image to count on."""
    targets = Targets(**config.targets.model_dump())
    shown = [one for one in gathered.decided if not one.is_faulty]
    seen = severities_seen(gathered.items, gathered.judgements)
    coverage = tally(gathered.items, shown, targets, seen, severity_levels(rubric), gathered.sets)
    places = [
        ReaderPlace(one.reviewer.name, one.reviewer.role, one.total, one.decided, one.faulty) for one in gathered.shares
    ]
    summary = summarize(
        gathered.items, gathered.decided, gathered.judgements, places,
        seed=seed, record=gathered.record, sets=gathered.sets,
    )  # fmt: skip
    return replace(summary, class_was_told=config.shows_class), coverage


def dashboard(store: Store, config: ReviewConfig, workspace: Workspace) -> dict[str, Any]:
    """`figures` as plain JSON, with `summary` and `coverage`; takes seconds on a hundred thousand images."""
    return figures_now(store, config, workspace)[1]


def figures_now(store: Store, config: ReviewConfig, workspace: Workspace) -> tuple[Gathered, dict[str, Any]]:
    """What the config's review holds at the moment, and its `dashboard`."""
    gathered = of_review(store, config, workspace)
    summary, coverage = figures(gathered, config, rubric_of(config, workspace), workspace.root_seed)
    return gathered, {"summary": to_plain(summary), "coverage": to_plain(coverage)}


def refresh(workspace: Workspace) -> bool:
    """Write the decisions of now where other stages read them; whether anything changed. Nothing without a review.

    Whatever trains classifiers or shows images does this first, so that an image rejected a minute ago stays out.
    """
    config = review_settings(workspace)
    if config is None or not workspace.resolve(DATABASE).is_file():
        return False
    with Store.open(workspace.resolve(DATABASE)) as store:
        refuse_lost(workspace, store)
        end_past_faults(store, workspace)
        return _write_current(workspace, gather(store, config))


def result_summaries(workspace: Workspace, sets: Collection[str] | None = None) -> list[str]:
    """Paths in the workspace of the summaries of finished reviews that judged any of these sets, None: all; first those
    that judged most of them, then those that judged fewest others. DataError when one is damaged."""
    found = []
    for path in sorted(workspace.resolve(RESULTS).glob("*/summary.json")):
        try:
            own = set(read_json(path)["facts"]["sets"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"the review's summary is damaged or of another version: {type(error).__name__} {error}",
                where=str(path),
                todo=f"Remove the folder {path.parent} and run the recipe again; the decisions are kept elsewhere.",
            ) from error
        judged = len(own & set(sets)) if sets is not None else 1
        found.append((-judged, len(own), workspace.relative(path)))
    return [place for judged, _, place in sorted(found) if judged]


def _write_current(workspace: Workspace, gathered: Gathered) -> bool:
    changed = [
        write_if_changed(decision_table(gathered.record), workspace.resolve(DECISIONS)),
        write_if_changed(consensus_table(gathered.decided), workspace.resolve(CONSENSUS)),
        write_set_verdicts(workspace, gathered.decided),
    ]
    return any(changed)


def _tell(progress: Progress, mine: Sequence[Consensus]) -> None:
    """What a reader of the log should know before a classifier is trained."""
    if faulty := sum(one.is_faulty for one in mine):
        progress.log(f"Review: {faulty:,} images cannot be shown and are kept out.")
    kept = {(one.set, one.label) for one in mine if not one.is_kept_out}
    for name, label in sorted({(one.set, one.label) for one in mine} - kept):
        progress.log(f"Review: every image of {label} in {name} is kept out; arms that need it cannot be trained.")


def _tell_real(progress: Progress, config: ReviewConfig, items: Sequence[Item]) -> None:
    real = sum(one.source == "real" for one in items)
    wished = wished_real(len(items) - real, config.real_fraction)
    if real < wished:
        progress.log(
            f"Review: {real:,} real images are mixed in, not {wished:,} (real_fraction {config.real_fraction:g}): "
            "there are no more of these classes in train and val that no synthetic image was made of."
        )
