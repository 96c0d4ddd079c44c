"""What a workspace's reviews were begun with: the config of each, which share one queue and page, and the rubric."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.workspace import Workspace
from tenfold.review.config import ReviewConfig
from tenfold.review.rubric import Rubric, load_rubric

SETTINGS = "review/settings.json"
"""Of the review that was begun last: what the page is served with."""
BEGUN, RUBRIC = "review/begun", "review/rubric.json"
_SHARED = ("consensus", "shows_class", "rubric", "real_fraction", "repeat_fraction", "overlap_fraction")
"""Reviews of one workspace share reviewers, queues and the page: these settings are the same for all."""


def review_settings(workspace: Workspace) -> ReviewConfig | None:
    """The config of the workspace's review, of several the one begun last; None when none was."""
    path = workspace.resolve(SETTINGS)
    return ReviewConfig.model_validate(read_json(path)) if path.is_file() else None


def keep_settings(config: ReviewConfig, workspace: Workspace, *, changes_all: bool = False) -> None:
    """For the page and for `refresh`, which know no recipe; the rubric as it is now beside it.

    Raises:
        DataError: another review of the workspace has other shared settings; changes_all: it then gets these.
    """
    config = _placed(config)
    for path in sorted(workspace.resolve(BEGUN).glob("*.json")):
        other = ReviewConfig.model_validate(read_json(path))
        differing = [name for name in _SHARED if getattr(other, name) != getattr(config, name)]
        if other.name == config.name or not differing:
            continue
        if not changes_all:
            raise DataError(
                f"the review {other.name!r} of this workspace has other settings than {config.name!r}: "
                + ", ".join(f"{name} {getattr(other, name)}, not {getattr(config, name)}" for name in differing),
                where=str(path),
                expected="the same in every review of a workspace: they share reviewers, queue and page",
                todo="Set them alike in the recipe, or change the reviews that were begun: `tenfold review serve "
                f"{workspace.path} --set {differing[0]}={getattr(config, differing[0])}`.",
            )
        changed = other.model_copy(update={name: getattr(config, name) for name in _SHARED})
        write_json_atomic(path, changed.model_dump(mode="json"))
    rubric = load_rubric(config.rubric).model_dump(mode="json")
    plain = config.model_dump(mode="json")
    for name, value in ((RUBRIC, rubric), (f"{BEGUN}/{config.name}.json", plain), (SETTINGS, plain)):
        place = workspace.resolve(name)
        if not place.is_file() or read_json(place) != value:
            write_json_atomic(place, value)


def rubric_of(config: ReviewConfig, workspace: Workspace) -> Rubric:
    """The rubric as it was when the review was begun or served last: what reviewers were asked, whatever its file says
    by now. The config's, when none was kept."""
    kept = workspace.resolve(RUBRIC)
    return Rubric.model_validate(read_json(kept)) if kept.is_file() else load_rubric(config.rubric)


def _placed(config: ReviewConfig) -> ReviewConfig:
    """With the rubric's whole path: the page may be served from another folder."""
    if config.rubric is None:
        return config
    return config.model_copy(update={"rubric": str(Path(config.rubric).absolute())})
