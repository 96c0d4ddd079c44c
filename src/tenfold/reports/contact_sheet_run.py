"""The stage of the contact sheet: from a synthetic set's manifest to `synthetic/<name>/gallery/gallery.html`."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from jinja2 import Environment

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.verdicts import read_reviewed, verdict_files
from tenfold.reports.config import GalleryConfig
from tenfold.reports.contact_sheet import STRATEGY_NAMES, ContactSheet, choose_sheet
from tenfold.reports.data_summary import MANIFEST
from tenfold.reports.pictures import workspace_picture
from tenfold.reports.templating import page_environment
from tenfold.review.run import refresh

STAGE = "gallery"


def run_gallery(config: GalleryConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write the contact sheet; the same images give the same bytes.

    Raises:
        DataError: there is no such set, or it is not finished.
    """
    refresh(workspace)
    folder = workspace.resolve(f"synthetic/{config.name}")
    manifest = folder / "manifest.parquet"
    if not manifest.is_file():
        sets = sorted(path.parent.name for path in workspace.resolve("synthetic").glob("*/manifest.parquet"))
        raise DataError(
            f"there is no finished synthetic set {config.name!r}", where=str(folder),
            expected="one of " + ", ".join(sets) if sets else "a set that `tenfold generate` has finished",
            todo="Name one of these, or finish it: the same `tenfold generate` command resumes.",
        )  # fmt: skip
    real = workspace.path / MANIFEST
    inputs = [*(path for path in (manifest, real) if path.is_file()), *verdict_files(workspace, [manifest])]
    stage = begin_stage(workspace, STAGE, f"synthetic/{config.name}/gallery", config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    rows = read_reviewed(workspace, manifest)
    real_rows = read_manifest(real) if real.is_file() else None
    sheet = choose_sheet(config.name, rows, real_rows, config.pictures_per_group, workspace.data_license)
    outputs = [stage.folder / "gallery.html", stage.folder / "gallery.json"]
    with progress.task(f"Writing the gallery of {config.name}", total=1) as task:
        page = render_sheet(sheet, workspace.path)
        write_text_atomic(outputs[0], page)
        write_json_atomic(outputs[1], sheet.to_json())
        task.advance()
    summary = {
        "page": workspace.relative(outputs[0]), "page_bytes": len(page.encode()), "images": sheet.n_images,
        "shown": sheet.n_shown, "set_aside": sheet.n_set_aside,
    }  # fmt: skip
    return stage.finish(outputs, summary)


def render_sheet(sheet: ContactSheet, folder: Path) -> str:
    """The page. Picture paths are relative to `folder`, the workspace; one that cannot be read is named instead."""
    page = (
        _environment()
        .get_template("contact_sheet.html.j2")
        .render(sheet=sheet, picture=partial(workspace_picture, folder.resolve()))
    )
    return page if page.endswith("\n") else page + "\n"


@cache
def _environment() -> Environment:
    environment = page_environment()
    environment.filters["strategy_name"] = lambda name: STRATEGY_NAMES.get(name, name.replace("_", " "))
    return environment
