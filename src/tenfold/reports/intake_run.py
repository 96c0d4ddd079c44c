"""The stage of the intake page: from the facts of the checks to `data/report/intake.html` and `intake.json`."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.intake.contents import IntakeFacts
from tenfold.reports.config import IntakePageConfig
from tenfold.reports.data_summary import MANIFEST
from tenfold.reports.intake_contents import choose_contents
from tenfold.reports.intake_render import render_intake_page

STAGE = "intake_page"
FOLDER = "data/report"
FACTS = "data/checks/summary.json"


def run_intake_page(config: IntakePageConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write the intake page; the same facts and images give the same bytes.

    Raises DataError when the checks have not been run, or when their facts cannot be read.
    """
    facts_path, manifest = workspace.path / FACTS, workspace.path / MANIFEST
    if not facts_path.is_file():
        raise DataError(
            "there are no facts to show", where=str(facts_path), expected="the finished checks of the data",
            todo="Run them first: tenfold data check --workspace DIR.",
        )  # fmt: skip
    # The manifest holds the hash of every picture, so it stands for them.
    inputs = [path for path in (facts_path, manifest) if path.is_file()]
    stage = begin_stage(workspace, STAGE, FOLDER, config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    with progress.task("Writing the intake page", total=2) as task:
        contents = choose_contents(_read_facts(facts_path), workspace.name, config)
        page = render_intake_page(contents, workspace.path)
        task.advance()
        outputs = [stage.folder / "intake.html", stage.folder / "intake.json"]
        write_text_atomic(outputs[0], page)
        write_json_atomic(outputs[1], contents.to_json())
        task.advance()
    summary = {
        "state": contents.facts.state,
        "answer": contents.facts.answer,
        "page": workspace.relative(outputs[0]),
        "page_bytes": len(page.encode("utf-8")),
    }
    return stage.finish(outputs, summary)


def _read_facts(path: Path) -> IntakeFacts:
    try:
        return IntakeFacts.from_json(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the facts of the checks are damaged or of another version: {type(error).__name__} {error}",
            where=str(path), todo="Run the checks again: tenfold data check --workspace DIR.",
        ) from error  # fmt: skip
