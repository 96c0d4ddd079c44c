"""The stage of the tuning page: from tuning.json to `tuning/<name>/page/tuning.html` and its figures as PNG."""

from __future__ import annotations

from collections.abc import Mapping

from tenfold.classification.tuning_contents import TuningContents
from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_bytes_atomic, write_text_atomic
from tenfold.core.plain import from_plain
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.reports import tuning_figures
from tenfold.reports.config import TuningPageConfig
from tenfold.reports.pictures import data_address
from tenfold.reports.templating import page_environment
from tenfold.reports.tuning_figures import Drawing

STAGE = "tuning_page"
PAGE = "tuning.html"


def run_tuning_page(config: TuningPageConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write the page and its figures; the same trials give the same bytes.

    Raises:
        DataError: there is no such tuning, or it is not finished.
    """
    result = workspace.resolve(f"tuning/{config.name}/result")
    inputs = [result / "tuning.json", result / "best.yaml"]
    if not all(path.is_file() for path in inputs):
        raise DataError(
            f"there is no finished tuning {config.name!r}",
            where=str(result),
            todo="Finish it: the same `tenfold tune` command resumes.",
        )
    stage = begin_stage(workspace, STAGE, f"tuning/{config.name}/page", config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    contents = from_plain(TuningContents, read_json(inputs[0]))
    drawings = draw(contents)
    outputs = [stage.folder / PAGE]
    with progress.task(f"Writing the page of {config.name}", total=1) as task:
        write_text_atomic(outputs[0], render(contents, drawings, inputs[1].read_text(encoding="utf-8")))
        for name, drawing in drawings.items():
            outputs.append(stage.folder / f"{name}.png")
            write_bytes_atomic(outputs[-1], drawing.png)
        task.advance()
    return stage.finish(outputs, {"page": workspace.relative(outputs[0]), "figures": sorted(drawings)})


def draw(contents: TuningContents) -> dict[str, Drawing]:
    """All figures by name; `looks` and `importance` only where there are any."""
    drawings = {"history": tuning_figures.history(contents)}
    if any(trial.looks for trial in contents.trials):
        drawings["looks"] = tuning_figures.looks(contents)
    if contents.importances is not None:
        drawings["importance"] = tuning_figures.importance(contents.importances)
    slices = {f"slice-{name}": tuning_figures.slice_of(contents, name) for name in contents.space}
    return drawings | slices


def render(contents: TuningContents, drawings: Mapping[str, Drawing], best_yaml: str) -> str:
    """The page: one file, nothing loaded from anywhere."""
    addresses = {name: data_address(one.svg.encode("utf-8"), "image/svg+xml") for name, one in drawings.items()}
    page = (
        page_environment()
        .get_template("tuning.html.j2")
        .render(contents=contents, best=contents.best, figures=addresses, best_yaml=best_yaml, shown=_shown)
    )
    return page if page.endswith("\n") else page + "\n"


def _shown(value: object) -> str:
    """A setting's value in words.

    >>> _shown(0.000123456), _shown("adam"), _shown(32), _shown(True)
    ('0.0001235', 'adam', '32', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
