"""`tenfold predict`: a trained classifier's calibrated answers about new images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.options import Debug, Json, Quiet, WorkspaceDir

if TYPE_CHECKING:
    from tenfold.recipes.prediction import PredictionOutcome

_MOST_ROWS = 40
_MAPS_FOLDER = Path("predictions")
_EXAMPLES = """[bold]Examples[/bold]

tenfold predict lesion.jpg --classifier study/classifiers/main-hybrid-n8-s0

tenfold predict new-images/ --classifier main-hybrid-n8-s0 -w study --out answers --saliency

tenfold predict lesion.jpg --classifier exported-classifier --json
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("predict", epilog=_EXAMPLES)(predict)


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, DICOM too, or folders.")],
    classifier: Annotated[
        str,
        typer.Option(
            "--classifier", metavar="DIR", help="WORKSPACE/classifiers/NAME, an exported folder, or a name with -w."
        ),
    ],
    workspace: WorkspaceDir = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the table, the files set aside and the maps here."),
    ] = None,
    saliency: Annotated[
        bool, typer.Option("--saliency", help="Show which pixels spoke for the answer: a PNG for each image.")
    ] = False,
    saliency_method: Annotated[
        str | None,
        typer.Option("--saliency-method", metavar="NAME", help="integrated_gradients, the default, or gradcam."),
    ] = None,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="CLASS", help="Show what spoke for this class instead.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer new images: calibrated probabilities, a hint for unusual images, maps of what spoke for the answer.

    Files that cannot be read are set aside with the reason. Research only: no answer may decide about a patient.
    """
    from tenfold.recipes.prediction import Explanation, open_classifier, run_prediction

    console = session.open_console(quiet, as_json, debug, workspace)
    explanation = None
    if saliency or saliency_method is not None or explain is not None:
        method: Any = saliency_method or "integrated_gradients"
        explanation = Explanation(method, explain)
        out = out or _MAPS_FOLDER
    with console.progress() as progress:
        predictor = open_classifier(classifier, workspace, device, progress)
        outcome = run_prediction(predictor, images, progress, out=out, explanation=explanation)
    _show(outcome, console)


def _show(outcome: PredictionOutcome, console: Console) -> None:
    rows = outcome.table.head(_MOST_ROWS).to_dict("records")
    console.table(
        f"Answers of {outcome.record.name}",
        ("Image", "Answer", "Probability", "Remarks"),
        [(Path(row["path"]).name, row["predicted"], f"{row['probability']:.0%}", _remarks(row)) for row in rows],
    )
    found = outcome.record.calibration
    lines = []
    if len(outcome.table) > _MOST_ROWS:
        lines.append(f"... and {len(outcome.table) - _MOST_ROWS} more images{'' if outcome.out else ': see --out'}.")
    lines += [f"Set aside: {one.path}: {one.detail} ({one.reason})" for one in outcome.refused[:_MOST_ROWS]]
    if found.note:
        lines.append(f"Probabilities are not calibrated: {found.note}.")
    else:
        lines.append(
            f"Probabilities are calibrated on {found.n_images} validation images of {found.n_patients} "
            f"{found.counted_unit}s; one image's has no interval, and supposes that classes are as common "
            "as among these."
        )
    if found.is_no_better_than_chance:
        lines.append(
            "Caution: on its validation images this classifier tells no more than how common each class is there "
            f"(log loss {found.log_loss_after:.3f} against {found.log_loss_chance:.3f})."
        )
    lines.append(outcome.hint)
    if outcome.out is not None:
        lines.append(f"Written to {outcome.out}.")
    lines.append(outcome.caution)
    if console.is_quiet:
        lines = [f"{row['path']}: {row['predicted']} {row['probability']:.3f}" for row in rows]
    console.result(outcome.facts(), lines)


def _remarks(row: dict[Any, Any]) -> str:
    unusual = "unusual: unlike the training images" if row["is_unusual"] is True else ""
    return "; ".join(part for part in (unusual, row["note"]) if isinstance(part, str) and part)
