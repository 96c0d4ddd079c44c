"""The program `tenfold`: its commands, its exit codes and the one place where errors end."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tenfold.cli import (
    bench_command,
    data_commands,
    doctor_command,
    evaluate_command,
    finetune_commands,
    generate_commands,
    models_commands,
    predict_commands,
    pretrain_command,
    recipe_commands,
    review_commands,
    run_commands,
    session,
    study_command,
    train_commands,
    tune_command,
)
from tenfold.core.errors import InputError, TenfoldError

EXIT_INTERRUPTED = 130
_CRASH_TODO = "Please report it with the saved traceback. Finished parts are kept: the same command again resumes."

PANELS = {
    "The whole job": ("demo", "run", "report", "recipe"),
    "Step by step": (
        "data", "finetune", "generate", "regenerate", "gallery", "review", "train", "tune", "study", "evaluate",
        "predict",
    ),
    "Models and machine": ("models", "pretrain", "doctor", "bench"),
}  # fmt: skip
"""The commands in the order of the work, as the help shows them."""


class _InOrderOfWork(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        names = [name for panel in PANELS.values() for name in panel if name in self.commands]
        return names + [name for name in super().list_commands(ctx) if name not in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        for panel, names in PANELS.items():
            if command is not None and cmd_name in names:
                command.rich_help_panel = panel  # type: ignore[attr-defined]
        return command


app = typer.Typer(
    name="tenfold",
    cls=_InOrderOfWork,
    help="Do synthetic images from a diffusion model make a classifier of few medical images better, can they be "
    "trusted, and for whom? Ten guide images in; a fine-tuned generator, synthetic images, classifiers with "
    "controls and an honest verdict out.",
    epilog="Start with `tenfold demo --mini`, then `tenfold data import PATH --out DIR` with your own images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        from tenfold import __version__

        typer.echo(f"tenfold {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options before the command."""


for commands in (
    run_commands, generate_commands, train_commands, tune_command, study_command, evaluate_command, predict_commands,
    pretrain_command, doctor_command, bench_command,
):  # fmt: skip
    commands.register(app)
app.add_typer(recipe_commands.app, name="recipe")
app.add_typer(data_commands.app, name="data")
app.add_typer(finetune_commands.app, name="finetune")
app.add_typer(review_commands.app, name="review")
app.add_typer(models_commands.app, name="models")


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code: 0 done, 1 failed, 2 bad input, 3 waits for people, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    here = session.begin(given)
    try:
        code = int(app(given, standalone_mode=False, prog_name="tenfold") or 0)
        return _interrupted() if code == EXIT_INTERRUPTED else code  # typer turns Ctrl-C into this code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except TenfoldError as error:
        if here.console.is_debug:
            here.console.plain(traceback.format_exc())
        session.current().console.error(error)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        # Typer carries its own copy of click in newer releases: usage errors are known by what they can do.
        if hasattr(error, "format_message"):
            session.current().console.error(_usage_error(error))
            return InputError.exit_code
        return _crashed(error)


def _interrupted() -> int:
    session.current().console.notice(
        "Interrupted", "Nothing is lost: run the same command again to resume where it stopped."
    )
    return EXIT_INTERRUPTED


def _usage_error(error: Any) -> InputError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tenfold"
    return InputError(str(error.format_message()), where=command, todo=f"See `{command} --help` for its options.")


def _crashed(error: Exception) -> int:
    """Save the traceback, then tell what happened in one panel."""
    here = session.current()
    text = traceback.format_exc()
    if here.console.is_debug:
        here.console.plain(text)
    place = _save_traceback(text, here.workspace)
    if isinstance(error, MemoryError):
        what = "the memory ran out"
    else:
        what = f"an unexpected error: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    here.console.error(TenfoldError(what, where=f"traceback saved in {place}", todo=_CRASH_TODO))
    return TenfoldError.exit_code


def _save_traceback(text: str, workspace: Path | None) -> str:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    # Only into a workspace: the folder named may be one of the user's own that was refused as such.
    folders = [] if workspace is None else [workspace / "logs"]
    for folder in [*folders, Path(tempfile.gettempdir())]:
        place = folder / f"tenfold-error-{stamp}.txt"
        try:
            if folder.name == "logs" and not (folder.parent / "workspace.json").is_file():
                continue
            folder.mkdir(exist_ok=True)
            place.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(place)
    sys.stderr.write(text)
    return "the lines above (no folder could be written)"
