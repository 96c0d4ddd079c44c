"""Generation as a command: a config from options and files, the run, and its gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_settings

if TYPE_CHECKING:
    from tenfold.generation.config import GenerateConfig


@dataclass(frozen=True)
class GenerationOrder:
    """A checked config in its workspace."""

    workspace: Workspace
    config: GenerateConfig


@dataclass(frozen=True)
class GenerationOutcome:
    """What a run left: `gallery` is the page, None while other shards are still to be drawn."""

    result: Result
    gallery: Path | None


def order_generation(
    folder: Path,
    settings: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
    *,
    file: Path | None = None,
) -> GenerationOrder:
    """A checked config. Nothing is written.

    Args:
        settings: ``a=b`` texts as typed after --set.
        options: field -> (the option as a person types it, its value); null values are not given.
        file: a YAML file of GenerateConfig's fields; options and settings replace its values.

    Raises:
        WorkspaceError: there is no workspace.
        RecipeError, FaultsError: a field is unknown or of a wrong type, or fields do not fit together.
    """
    from tenfold.generation.config import GenerateConfig

    workspace = Workspace.open(folder)
    given = {name: pair for name, pair in (options or {}).items() if pair[1] is not None}
    defaults = {"seed": derive_seed(workspace.root_seed, "generate")}
    return GenerationOrder(workspace, load_settings(GenerateConfig, settings, given, file=file, defaults=defaults))


def workers_for(config: GenerateConfig, executor: str, workers: int | None) -> int | None:
    """As many workers as are told; else one for each CUDA device that processes draw on, or None: the default number.

    A worker more would load the checkpoint once more onto the same device. Raises InputError when there is no such one.
    """
    from tenfold.core.device import cuda_devices, resolve_device
    from tenfold.generation.config import WITHOUT_GENERATOR

    needs_model = config.strategy not in WITHOUT_GENERATOR or config.upscaler is not None
    if workers is not None or executor != "processes" or not needs_model:
        return workers
    device = resolve_device(config.device)
    if device == "cuda":
        return max(1, len(cuda_devices()))
    return None if device == "cpu" else 1


def run_generation(
    order: GenerationOrder,
    executor: Executor,
    progress: Progress,
    *,
    shard: str | None = None,
    limit: int | None = None,
) -> GenerationOutcome:
    """Draw the set, or the shard ``i/N`` of it, and write the gallery when it is whole. Resumes."""
    from tenfold.generation.locking import Shard
    from tenfold.generation.run import run

    part = None if shard is None else Shard.parse(shard)
    result = run(order.config, order.workspace, executor, progress, shard=part, limit=limit)
    if not result.outputs:
        return GenerationOutcome(result, None)
    return GenerationOutcome(result, write_gallery(order.workspace, order.config.name, executor, progress))


def write_gallery(
    workspace: Workspace, name: str, executor: Executor, progress: Progress, *, per_group: int | None = None
) -> Path:
    """The contact-sheet page of a finished set, ``synthetic/<name>/gallery/gallery.html``."""
    from tenfold.reports.config import GalleryConfig
    from tenfold.reports.contact_sheet_run import run_gallery

    options: dict[str, tuple[str, Any]] = {"name": ("NAME", name)}
    if per_group is not None:
        options["pictures_per_group"] = ("--per-group", per_group)
    result = run_gallery(load_settings(GalleryConfig, (), options), workspace, executor, progress)
    return result.folder / "gallery.html"
