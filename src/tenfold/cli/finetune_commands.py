"""`tenfold finetune`: a base learns a few images (dreambooth), to paint a part anew (inpainting), or to enlarge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli import session
from tenfold.cli.console import Console
from tenfold.cli.option_texts import pairs, words
from tenfold.cli.options import Debug, DryRun, Json, OneSetting, Place, Quiet
from tenfold.core.errors import InputError
from tenfold.core.processes import is_first_process

if TYPE_CHECKING:
    from tenfold.core.run_record import Result
    from tenfold.recipes.finetuning import Chosen, FinetunePlan, Kind

app = typer.Typer(help="Fine-tune a diffusion model on images of a workspace.", no_args_is_help=True)

_DREAMBOOTH_EXAMPLES = """[bold]Examples[/bold]

tenfold finetune dreambooth --workspace study --name lesions --classes df,vasc --dry-run

tenfold finetune dreambooth -w study --name df50 --classes df --images-per-class 50 --nouns df=dermatofibroma

tenfold finetune dreambooth -w study --name own --per-class --set checkpoint_choice=validation

tenfold finetune dreambooth -w study --name sd --base sd15 --method lora --set mixed_precision=bf16

tenfold finetune dreambooth -w study --name each --base sd15 --method lora --per-class --together

SynthVision: tenfold finetune dreambooth -w study --name sv --base sd15 --caption-files captions --steps 2000 \
--set learning_rate=2e-6 --set train_text_encoder=true --set text_encoder_lr=4e-7 --set text_encoder_max_steps=350
"""
_INPAINTING_EXAMPLES = """[bold]Examples[/bold]

tenfold finetune inpainting --workspace study --name painter --masks lesion

tenfold finetune inpainting -w study --name painter --base sd15-inpainting --method lora --set device=cuda
"""
_SUPER_RESOLUTION_EXAMPLES = """[bold]Examples[/bold]

tenfold finetune super-resolution --workspace study --name sharper --images-per-class 50

tenfold finetune super-resolution -w study --name sharper --base x4-upscaler --set plain_degradation=true
"""

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The model's name: models/NAME in the workspace.")]
Base = Annotated[
    str | None, typer.Option("--base", metavar="REF", help="embedded:base, sd15, models/NAME or a folder.")
]
UpscalerBase = Annotated[
    str | None, typer.Option("--base", metavar="REF", help="embedded:upscaler, x4-upscaler, models/NAME or a folder.")
]
Classes = Annotated[str | None, typer.Option(metavar="A,B", help="The classes to learn; else all of them.")]
PerClassImages = Annotated[
    int, typer.Option("--images-per-class", metavar="N", min=1, help="Training images of each class; nested.")
]
ValidationImages = Annotated[
    int, typer.Option("--validation-per-class", metavar="N", min=0, help="At most so many for the validation loss.")
]
Method = Annotated[str | None, typer.Option(metavar="full|lora", help="All weights of the UNet, or an adapter.")]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="Training steps.")]
Nouns = Annotated[
    str | None, typer.Option(metavar="A=B,...", help="What classes are called in prompts: df=dermatofibroma.")
]


@app.command("dreambooth", epilog=_DREAMBOOTH_EXAMPLES)
def dreambooth(
    workspace: Place,
    name: Name,
    base: Base = None,
    classes: Classes = None,
    images_per_class: PerClassImages = 10,
    validation_per_class: ValidationImages = 10,
    method: Method = None,
    steps: Steps = None,
    nouns: Nouns = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="One model a class: models/NAME-CLASS.")] = False,
    together: Annotated[
        bool, typer.Option("--together", help="With --per-class --method lora: all classes' adapters at once.")
    ] = False,
    prior_images: Annotated[
        int, typer.Option("--prior-images", metavar="N", min=0, help="Drawn by the base first, to be kept; 0: none.")
    ] = 48,
    caption_files: Annotated[
        str | None, typer.Option("--caption-files", metavar="DIR", help="Folder of NAME.txt, one for each image.")
    ] = None,
    focus: Annotated[str | None, typer.Option(metavar="image|mask", help="Whole images, or cut to the lesion.")] = None,
    settings: OneSetting = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Teach a base the classes of a few training images; prior images keep what it knew (prior preservation).

    Memory is estimated first; what does not fit is refused with the plans that would. Interrupted, it resumes.
    Settings of the prior images' drawing begin with prior.: --set prior.num_inference_steps=50.
    """
    from tenfold.recipes.finetuning import Chosen

    console = session.open_console(quiet, as_json, debug, workspace)
    if together and not per_class:
        raise InputError("--together trains one adapter a class", where="--together", todo="Add --per-class.")
    chosen = Chosen(name, words(classes), images_per_class, validation_per_class, prior_images, per_class, together)
    options = _shared_options(_base_reference(base, workspace), method, steps) | {
        "class_nouns": ("--nouns", pairs(nouns, "--nouns")),
        "captions": ("--caption-files", None if caption_files is None else "files"),
        "caption_files": ("--caption-files", None if caption_files is None else str(Path(caption_files).absolute())),
        "focus": ("--focus", focus),
    }
    _finetune("dreambooth", workspace, (chosen, settings or (), options), dry_run, console)


@app.command("inpainting", epilog=_INPAINTING_EXAMPLES)
def inpainting(
    workspace: Place,
    name: Name,
    base: Base = None,
    classes: Classes = None,
    images_per_class: PerClassImages = 10,
    validation_per_class: ValidationImages = 10,
    method: Method = None,
    steps: Steps = None,
    nouns: Nouns = None,
    masks: Annotated[
        str | None, typer.Option(metavar="random|lesion", help="Random shapes, or the images' lesion masks.")
    ] = None,
    settings: OneSetting = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Teach a base to paint a masked part of an image anew; inpainting UNets and plain ones."""
    from tenfold.recipes.finetuning import Chosen

    console = session.open_console(quiet, as_json, debug, workspace)
    chosen = Chosen(name, words(classes), images_per_class, validation_per_class)
    options = _shared_options(_base_reference(base, workspace), method, steps) | {
        "class_nouns": ("--nouns", pairs(nouns, "--nouns")),
        "masks": ("--masks", masks),
    }
    _finetune("inpainting", workspace, (chosen, settings or (), options), dry_run, console)


@app.command("super-resolution", epilog=_SUPER_RESOLUTION_EXAMPLES)
def super_resolution(
    workspace: Place,
    name: Name,
    base: UpscalerBase = None,
    classes: Classes = None,
    images_per_class: PerClassImages = 10,
    validation_per_class: ValidationImages = 10,
    method: Method = None,
    steps: Steps = None,
    settings: OneSetting = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Teach an upscaler pairs made from training images; held-out ones compare it with bicubic."""
    from tenfold.recipes.finetuning import Chosen

    console = session.open_console(quiet, as_json, debug, workspace)
    chosen = Chosen(name, words(classes), images_per_class, validation_per_class)
    options = _shared_options(_base_reference(base, workspace), method, steps)
    _finetune("super-resolution", workspace, (chosen, settings or (), options), dry_run, console)


def _finetune(
    kind: Kind, workspace: Path, asked: tuple[Chosen, Sequence[str], Mapping[str, tuple[str, Any]]], dry_run: bool,
    console: Console,
) -> None:  # fmt: skip
    from tenfold.recipes.finetuning import order_finetuning, plan_finetuning, run_finetuning

    if not is_first_process():
        console = Console(quiet=True)  # of processes launched together the first tells
    plan = plan_finetuning(order_finetuning(kind, workspace, *asked))
    _show_plan(plan, console)
    if plan.shortage is not None:
        raise plan.shortage
    if dry_run:
        console.result({"dry_run": plan.as_dict()}, ["Nothing was written (--dry-run)."])
        return
    with console.progress() as progress:
        results = run_finetuning(plan, progress)
    if not is_first_process():
        return
    lines = [line for result in results for line in _result_lines(result)]
    models = [{"folder": str(one.folder), "summary": dict(one.summary)} for one in results]
    console.result({"models": models, "prior_images": plan.prior_images}, lines)


def _show_plan(plan: FinetunePlan, console: Console) -> None:
    from tenfold.models.memory import readable_bytes

    order, config = plan.order, plan.order.configs[0]
    console.event("plan", plan.as_dict())
    for title, counts in (("Training", order.training_images), ("Validation", order.validation_images)):
        told = ", ".join(f"{count} of {label}" for label, count in counts.items())
        console.line(f"{title} images: {told or 'none'}")
    if order.prior is not None:
        console.line(
            f"Prior images: {plan.prior_images}, drawn by {config.base_checkpoint} in synthetic/{order.prior.name}"
        )
    console.line(
        f"Models: {', '.join(f'models/{one.name}' for one in order.configs)} from {config.base_checkpoint}, "
        f"{config.method}, {config.max_train_steps} steps each{', all at once' if order.is_together else ''}"
    )
    rows = [(part, readable_bytes(size)) for part, size in plan.memory.parts.items() if size]
    rows += [("together", readable_bytes(plan.memory.total_bytes))]
    rows += [(f"at hand ({plan.device})", readable_bytes(plan.available_bytes))]
    console.table("Memory of the training, estimated", ("Part", "Size"), rows)


def _result_lines(result: Result) -> list[str]:
    lines = [f"{'Finished before' if result.was_finished else 'Trained'}: {result.folder}"]
    for title, names in (("Curves", ("curves.png", "losses.csv")), ("Samples", ("samples.png",))):
        found = [name for name in names if (result.folder / name).is_file()]
        lines += [f"{title}: {result.folder / name}" for name in found[:1]]
    similarity = result.folder / "similarity.csv"
    return [*lines, f"Against bicubic: {similarity}"] if similarity.is_file() else lines


def _shared_options(base: str | None, method: str | None, steps: int | None) -> dict[str, tuple[str, Any]]:
    return {
        "base_checkpoint": ("--base", base),
        "method": ("--method", method),
        "max_train_steps": ("--steps", steps),
    }


def _base_reference(base: str | None, workspace: Path) -> str | None:
    """A checkpoint's folder where the command is given, told by its whole path; the workspace's own, and names that
    the registry knows, as they are typed."""
    from tenfold.models.registry import registry

    is_here = base is not None and (Path(base) / "model_index.json").is_file()
    if base is None or not is_here or base in registry() or (workspace / base).exists():
        return base
    return str(Path(base).absolute())
