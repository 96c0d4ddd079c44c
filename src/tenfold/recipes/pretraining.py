"""Pretraining from the command line: settings checked, costs told, the archive imported, the stage run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import InputError
from tenfold.core.executor import make_executor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_settings

if TYPE_CHECKING:
    from tenfold.finetuning.pretrain_config import PretrainConfig
    from tenfold.finetuning.pretrain_estimate import PretrainingEstimate
    from tenfold.intake.archive_config import ArchiveConfig

PHANTOM = "phantom"
OWN_MANIFEST = "data/manifest.parquet"
_SPLIT = "data/splits.json"
_PHANTOM_LICENSE = "CC0-1.0"


@dataclass(frozen=True)
class PretrainingOrder:
    """What a person asked for, checked. archive: the import to run first; None where nothing is to be imported."""

    folder: Path
    config: PretrainConfig
    archive: ArchiveConfig | None


@dataclass(frozen=True)
class ArchiveLook:
    """An archive as listed, before anything is decoded or written."""

    images: int
    captioned: int
    set_aside: int
    source_format: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PretrainingPlan:
    """What would be done: the archive's images, what each training costs, the memory at hand, and cautions."""

    look: ArchiveLook | None
    estimate: PretrainingEstimate
    available_bytes: int
    cautions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "archive_images": None if self.look is None else self.look.images,
            "captioned_images": None if self.look is None else self.look.captioned,
            "parameters": dict(self.estimate.parameters), "seconds": round(self.estimate.seconds),
            "memory_bytes": self.estimate.memory_bytes, "available_bytes": self.available_bytes,
            "cautions": list(self.cautions),
        }  # fmt: skip


def order_pretraining(
    folder: Path,
    settings: Sequence[str],
    *,
    archive: str | None = None,
    size: str = "small",
    image_size_px: int | None = None,
    archive_options: Mapping[str, Any] | None = None,
) -> PretrainingOrder:
    """Checked settings: those of the named size, the image size, then ``a.b=c`` texts.

    Args:
        archive: a folder, a table or a workspace of images; None is the phantom's archive.
        archive_options: further fields of `ArchiveConfig` (folder_names, column_map, data_license).

    Raises:
        InputError: there is no such size.
        RecipeError: a setting is unknown or of a wrong type.
    """
    from tenfold.finetuning.pretrain_config import PretrainConfig
    from tenfold.finetuning.pretrain_sizes import SIZES
    from tenfold.intake.archive import archive_manifest
    from tenfold.intake.archive_config import ArchiveConfig

    if size not in SIZES:
        raise InputError(f"there is no size {size!r}", where="--size", expected=" or ".join(SIZES))
    named = SIZES[size]
    options: dict[str, tuple[str, Any]] = {name: (f"--size {size}", value) for name, value in named.settings.items()}
    options["image_size_px"] = ("--image-size", image_size_px or named.image_size_px)
    is_own = archive is not None and Path(archive).expanduser().absolute() == folder.expanduser().absolute()
    is_import = archive is not None and archive != PHANTOM and not is_own
    config = load_settings(PretrainConfig, settings, options)
    if archive is not None and config.archive != PHANTOM:
        raise InputError("the archive is given twice", where="--archive and --set archive", expected="one of them")
    if is_own:
        config = config.model_copy(update={"archive": OWN_MANIFEST})
    if not is_import:
        return PretrainingOrder(folder, config, None)
    given = {name: value for name, value in (archive_options or {}).items() if value}
    source = str(Path(str(archive)).expanduser().absolute())
    texts: dict[str, tuple[str, Any]] = {name: (name, value) for name, value in given.items()}
    texts |= {"name": ("name", config.name), "source": ("--archive", source)}
    texts["image_size_px"] = ("--image-size", config.image_size_px)
    config = config.model_copy(update={"archive": archive_manifest(config.name)})
    return PretrainingOrder(folder, config, load_settings(ArchiveConfig, (), texts))


def plan_pretraining(order: PretrainingOrder) -> PretrainingPlan:
    """List the archive and probe the trainings for some seconds; nothing is written.

    Raises:
        DataError: the archive cannot be used.
    """
    from tenfold.core.device import resolve_device
    from tenfold.finetuning.pretrain_estimate import estimate_pretraining
    from tenfold.models.memory import memory_at_hand

    look = None if order.archive is None else _look(order.archive)
    estimate = estimate_pretraining(order.config)
    available = memory_at_hand(resolve_device(order.config.device))
    return PretrainingPlan(look, estimate, available, tuple(_cautions(order, look)))


def run_pretraining(order: PretrainingOrder, plan: PretrainingPlan | None, progress: Progress) -> Result:
    """Import the archive where there is one to import, then train a base in the workspace, made when there is none.

    An interrupted import or training is resumed.

    Raises:
        MemoryShortage: the plan needs more memory than is at hand.
        WorkspaceError: the folder is in use, or holds other things than a workspace.
    """
    from tenfold.finetuning import pretrain
    from tenfold.intake.archive import run_archive

    if plan is not None:
        _require_memory(plan)
    config = order.config
    workspace = _workspace(order)
    name = "processes" if config.data_parallel > 1 else "serial"
    with workspace.lock(), make_executor(name, config.data_parallel) as executor:
        if order.archive is not None:
            run_archive(order.archive, workspace, executor, progress)
        return pretrain.run(config, workspace, executor, progress)


def _workspace(order: PretrainingOrder) -> Workspace:
    if (order.folder / "workspace.json").exists():
        return Workspace.open(order.folder)
    told = _PHANTOM_LICENSE if order.archive is None else order.archive.data_license
    return Workspace.create(order.folder, name="pretrain", root_seed=order.config.seed, data_license=told)


def _look(config: ArchiveConfig) -> ArchiveLook:
    from tenfold.data.pseudonyms import temporary_pseudonyms
    from tenfold.intake.archive_listing import list_archive

    listing = list_archive(config, temporary_pseudonyms())
    captioned = sum(bool(item.fields.get("caption") or item.label) for item in listing.items)
    return ArchiveLook(len(listing.items), captioned, len(listing.quarantined), listing.format, listing.notes)


def _cautions(order: PretrainingOrder, look: ArchiveLook | None) -> list[str]:
    config, told = order.config, []
    if look is not None:
        times = config.denoiser.steps * config.denoiser.batch_size / look.images
        told.append(f"Each image would be seen about {times:,.0f} times.")
        if times > 500:
            told.append("That often, a model repeats images rather than learns from them: fewer steps, or more images.")
        if not (order.folder / _SPLIT).is_file():
            told.append(
                "The workspace has no sealed split: no image can be held out. If test images may lie in this archive, "
                "import and split those first (tenfold data import, tenfold data split)."
            )
    return told


def _require_memory(plan: PretrainingPlan) -> None:
    from tenfold.models.memory import MemoryShortage, readable_bytes

    if plan.estimate.memory_bytes > plan.available_bytes:
        worst = max(plan.estimate.trainings, key=lambda one: one.memory_bytes)
        raise MemoryShortage(
            f"the training needs about {readable_bytes(plan.estimate.memory_bytes)}, and "
            f"{readable_bytes(plan.available_bytes)} are at hand",
            where=worst.name, expected="a plan that fits into memory",
            todo="Choose a smaller --size or --image-size, or smaller batches (--set denoiser.batch_size=16, "
            "autoencoder.crop_batch_size, autoencoder.full_batch_size).",
        )  # fmt: skip
