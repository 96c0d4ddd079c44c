"""A study as a command: a recipe on a workspace whose images are imported and split, its forecast, and its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_recipe, load_settings
from tenfold.recipes.runner import RECIPE_FILE, RunSummary, run_study_stages
from tenfold.recipes.schema import Recipe
from tenfold.studies.assembly import assemble
from tenfold.studies.design import plan_study
from tenfold.studies.estimates import DEFAULT_RATES, Rates
from tenfold.studies.filling import Filling
from tenfold.studies.forecast import Forecast, forecast
from tenfold.studies.plan import StudyPlan


@dataclass(frozen=True)
class StudyOrder:
    """A checked recipe with the plan that it makes of a workspace's images; `table` has their split."""

    workspace: Workspace
    recipe: Recipe
    plan: StudyPlan
    table: pd.DataFrame

    def without_people(self) -> StudyOrder:
        """The order that waits for no reviewer and marks what nobody judged."""
        return replace(self, recipe=self.recipe.without_people())


def order_study(
    folder: Path,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    *,
    variants: Sequence[str] = (),
    mini: bool = False,
) -> StudyOrder:
    """The recipe, and its plan on the workspace's images. Nothing is written.

    Args:
        recipe: a built-in recipe's name or a .yaml file; its sections intake and split have no use here. None takes
            the workspace's own recipe, or the defaults where it has none.
        settings: ``a.b=c`` texts.

    Raises:
        WorkspaceError, DataError: there is no workspace, or its images are not imported and split yet.
        RecipeError, FaultsError: the recipe or a setting is wrong.
        DesignError: the images cannot carry the design.
    """
    from tenfold.studies.run import design_of, read_split_table

    workspace = Workspace.open(folder)
    for path, command in (("data/manifest.parquet", "import"), ("data/splits.json", "split")):
        if not workspace.resolve(path).is_file():
            raise DataError(
                f"the workspace has no {path} yet",
                where=str(workspace.path),
                expected="images that are imported and split",
                todo=f"Run `tenfold data {command}` first.",
            )
    own = workspace.path / RECIPE_FILE
    name = recipe or (str(own) if own.is_file() else None)
    if name is None:
        defaults = {"name": "study", "seed": workspace.root_seed}
        loaded = load_settings(Recipe, settings, defaults=defaults)
    else:
        loaded = load_recipe(name, settings, variants=variants, mini=mini, needs_required=False)
        if own.is_file() and recipe is not None:
            loaded = _with_images_of(load_recipe(str(own), needs_required=False), loaded)
    loaded = loaded.model_copy(update={"seed": workspace.root_seed})
    table = read_split_table(workspace)
    plan = plan_study(design_of(loaded.study_run()), table, workspace.root_seed)
    return StudyOrder(workspace, loaded, plan, table)


def _with_images_of(own: Recipe, recipe: Recipe) -> Recipe:
    """The recipe with the import and split that the images really had, so that it replays; nouns can be its own."""
    nouns = {**own.intake.class_nouns, **recipe.intake.class_nouns}
    intake = own.intake.model_copy(update={"class_nouns": nouns})
    return recipe.model_copy(update={"intake": intake, "split": own.split, "checks": own.checks})


def forecast_study(order: StudyOrder, workers: int, progress: Progress, *, with_probe: bool) -> tuple[Forecast, Rates]:
    """What the study will take, timed by a probe of this machine or by the reference's figures.

    Raises:
        TenfoldError: a stage cannot begin, for the reason that the study would meet as well.
    """
    from tenfold.studies.probe import probe

    config = order.recipe.study_run()
    rates = probe(config, order.plan, order.workspace, order.table, progress) if with_probe else DEFAULT_RATES
    filling = Filling(config, order.plan, order.workspace.root_seed, rates)
    waves = assemble(filling, order.workspace.path, order.workspace.path)
    return forecast(order.plan, waves, order.table, workers, rates), rates


def run_study(order: StudyOrder, executor: Executor, progress: Progress, rates: Rates = DEFAULT_RATES) -> RunSummary:
    """The study, its evaluation and its report. Interrupted, it resumes; only what failed or is missing is done.

    Raises:
        StageError: parts of the study failed; evaluation and report of the others are written before.
    """
    with order.workspace.lock():
        return run_study_stages(order.recipe, order.workspace, executor, progress, rates)
