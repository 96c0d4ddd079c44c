"""The report stage: from a study's folders to `report/report.html`, `report.json` and `timings.json`."""

from __future__ import annotations

from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.reports.assemble import assemble_contents
from tenfold.reports.config import ReportConfig
from tenfold.reports.reading import report_inputs
from tenfold.reports.render import render_page
from tenfold.reports.timings import read_timings

FOLDER = "report"


def run(config: ReportConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write the report of `config.study`; the same study gives the same `report.json`, byte for byte.

    Raises DataError when the study has no evaluation.
    """
    stage = begin_stage(
        workspace, "report", FOLDER, config, report_inputs(workspace, config.study), seed=workspace.root_seed
    )
    if stage.is_finished:
        return stage.result()
    with progress.task("Writing the report", total=3) as task:
        contents = assemble_contents(
            workspace,
            config.study,
            title=config.title,
            question=config.question,
            command=config.command,
            trimmed=config.trimmed,
            pictures_per_class=config.pictures_per_class,
        )
        task.advance()
        timings = read_timings(workspace)
        page = render_page(contents, timings, workspace.path)
        task.advance()
        outputs = [stage.folder / name for name in ("report.html", "report.json", "timings.json")]
        write_text_atomic(outputs[0], page)
        write_json_atomic(outputs[1], contents.to_json())
        write_json_atomic(outputs[2], timings.to_json())
        task.advance()
    verdict = contents.evaluation.verdict
    summary = {
        "verdict": verdict.word,
        "title": contents.headline.verdict_title,
        "sentences": list(contents.headline.sentences),
        "page": workspace.relative(outputs[0]),
        "page_bytes": len(page.encode("utf-8")),
    }
    return stage.finish(outputs, summary)
