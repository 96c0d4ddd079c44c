"""`tenfold models`: base checkpoints, known by name, pulled, verified, imported and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Quiet, WorkspaceDir

app = typer.Typer(
    no_args_is_help=True,
    help="Base checkpoints: list the known ones, pull, verify, import your own; export a generator or classifier.",
)

ModelsDir = Annotated[
    Path | None,
    typer.Option("--into", metavar="DIR", help="Models folder; TENFOLD_MODELS, or the user's cache, when not given."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never reach for the network; HF_HUB_OFFLINE does the same.")]

_PULL_EXAMPLES = """[bold]Examples[/bold]

tenfold models pull sd15

tenfold models pull sdxl-base --into /data/models
"""
_VERIFY_EXAMPLES = """[bold]Examples[/bold]

tenfold models verify sd15

tenfold models verify study/models/vasc
"""
_IMPORT_EXAMPLES = """[bold]Examples[/bold]

tenfold models import /data/sd15-diffusers --name sd15

tenfold models import derm.safetensors --name derm --like registry:sd15
"""


@app.command("list", epilog="Example: tenfold models list --json")
def list_models(into: ModelsDir = None, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """List the checkpoints that Tenfold knows by name, their mirrors and licenses, and what is on this machine."""
    from dataclasses import asdict

    from tenfold.models.registry import models_folder, read_lock, registry

    console = session.open_console(quiet, as_json, debug)
    folder = into or models_folder()
    here = {name: entry for name, entry in read_lock(folder).items() if (folder / name).is_dir()}
    rows: list[tuple[str, ...]] = [
        (name, entry.kind, entry.description, entry.license, f"{entry.download_gb:.1f} GB", _state(name in here))
        for name, entry in registry().items()
    ]
    own = {name: entry for name, entry in here.items() if name not in registry()}
    rows += [
        (name, entry.kind, entry.origin, entry.license or "yours", "", _state(True)) for name, entry in own.items()
    ]
    console.table("Checkpoints", ("Name", "Kind", "What", "License", "Download", "Here"), rows)
    known = {name: {**asdict(entry), "is_here": name in here} for name, entry in registry().items()}
    imported = {name: {"kind": lock.kind, "origin": lock.origin} for name, lock in own.items()}
    names = [f"{name}{' (here)' if name in here else ''}" for name in (*registry(), *own)]
    console.result(
        {"folder": str(folder), "registry": known, "imported": imported},
        names if quiet else [f"Models folder: {folder}. In recipes: registry:NAME, or a folder."],
    )


@app.command("pull", epilog=_PULL_EXAMPLES)
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `tenfold models list`.")],
    into: ModelsDir = None,
    offline: Offline = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fetch a checkpoint at its pinned revision, safetensors only, from the first mirror that gives it; verify it."""
    from tenfold.models import registry_pull
    from tenfold.models.registry import models_folder, read_lock

    console = session.open_console(quiet, as_json, debug)
    place = (into or models_folder()).absolute()
    with console.progress() as progress:
        folder = registry_pull.pull(name, place, progress, offline=offline)
    lock = read_lock(place)[folder.name]
    console.result(
        {"name": folder.name, "folder": str(folder), "origin": lock.origin, "license": lock.license},
        [f"{folder.name} is at {folder}, from {lock.origin}. License: {lock.license}."],
    )


@app.command("verify", epilog=_VERIFY_EXAMPLES)
def verify(
    model: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A pulled or imported name, or a folder.")],
    into: ModelsDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold a checkpoint's files against the recorded SHA-256; exit 2 when one differs."""
    from tenfold.models.checkpoint_ref import checkpoint_kind, checkpoint_sha256, resolve_checkpoint
    from tenfold.models.checkpoint_verification import verify_checkpoint
    from tenfold.models.registry import REGISTRY_PREFIX, models_folder, read_lock

    console = session.open_console(quiet, as_json, debug)
    place = into or models_folder()
    name = model.removeprefix(REGISTRY_PREFIX)
    is_stored = name in read_lock(place)
    path = Path(model).expanduser()
    folder = place / name if is_stored else path.absolute() if path.is_dir() else resolve_checkpoint(model)
    found = verify_checkpoint(folder)
    digest, kind = checkpoint_sha256(folder), checkpoint_kind(folder)
    if found.basis == "nothing":
        told = f"{folder} is whole; there is no record to hold its files against."
    else:
        told = f"{folder} is whole: {found.checked} files or parts have the SHA-256 of the {found.basis}."
    console.result(
        {"folder": str(folder), "kind": kind, "basis": found.basis, "checked": found.checked, "sha256": digest},
        [told, f"Kind {kind}, digest of all parts {digest}."],
    )


@app.command("import", epilog=_IMPORT_EXAMPLES)
def import_model(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A diffusers folder, or one .safetensors file.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The name to call it by: registry:NAME.")],
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="FOLDER|NAME", help="For one file: a checkpoint of the same architecture."),
    ] = None,
    into: ModelsDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy a checkpoint from this machine into the models folder, checked and recorded; no network is used."""
    from tenfold.models.checkpoint_ref import checkpoint_kind, resolve_checkpoint
    from tenfold.models.registry import models_folder
    from tenfold.models.registry_pull import import_folder
    from tenfold.models.single_file import import_single_file

    console = session.open_console(quiet, as_json, debug)
    place = (into or models_folder()).absolute()
    path = path.expanduser()
    if path.is_dir():
        folder = import_folder(path, name, place)
    else:
        model = None
        if like is not None:
            given = Path(like).expanduser()
            model = given.absolute() if given.is_dir() else resolve_checkpoint(like)
        folder = import_single_file(path, name, place, model)
    kind = checkpoint_kind(folder)
    console.result(
        {"name": name, "folder": str(folder), "kind": kind},
        [f"Imported {name} ({kind}) to {folder}. In recipes: registry:{name}."],
    )


_EXPORT_EXAMPLES = """[bold]Examples[/bold]

tenfold models export models/vasc --to vasc-generator --workspace study

tenfold models export classifiers/main-hybrid-n8-s0 --to vasc-classifier --workspace study
"""


@app.command("export", epilog=_EXPORT_EXAMPLES)
def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="models/NAME or classifiers/NAME of the workspace, a name, or a folder."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder for the copy.")],
    workspace: WorkspaceDir = None,
    with_onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="Of a classifier: write ONNX too, held against the network.")
    ] = True,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy a trained model, without records and checkpoints, as a folder that others load without the workspace.

    A generator becomes a folder that plain diffusers loads; a classifier gets a model card, ONNX and what
    `tenfold predict` needs.
    """
    from tenfold.core.workspace import Workspace
    from tenfold.models.checkpoint_ref import resolve_checkpoint
    from tenfold.models.registry_pull import export_folder
    from tenfold.recipes.prediction import export_classifier, is_classifier, open_classifier

    console = session.open_console(quiet, as_json, debug, workspace)
    path = Path(model).expanduser()
    inside = Workspace.open(workspace).resolve(path) if workspace is not None and not path.is_absolute() else path
    if is_classifier(inside):
        with console.progress() as progress:
            predictor = open_classifier(str(inside), workspace, "cpu", progress)
            files = export_classifier(predictor, to.expanduser().absolute(), with_onnx=with_onnx)
        told = f"Exported {', '.join(files)} to {to}. Use it: tenfold predict IMAGE --classifier {to}"
        console.result({"folder": str(to), "files": files}, [told])
        return
    source = inside if inside.is_dir() else resolve_checkpoint(model, Workspace.open(workspace) if workspace else None)
    files = export_folder(source.absolute(), to.expanduser().absolute())
    console.result({"folder": str(to), "files": files}, [f"Exported {len(files)} files to {to}."])


def _state(is_here: bool) -> str:
    return "yes" if is_here else "-"
