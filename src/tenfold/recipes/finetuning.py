"""Fine-tuning from the command line: images of the sealed split, memory told first, prior images, the stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tenfold.core.errors import InputError
from tenfold.core.executor import make_executor
from tenfold.core.processes import is_first_process, process_count
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.captions import class_noun, class_prompt
from tenfold.data.subsets import nested_subset
from tenfold.recipes.earlier_runs import refuse_other_run
from tenfold.recipes.finetuning_images import at_most, choose_labels, label_of_each, recorded_nouns, split_tables
from tenfold.recipes.loader import load_settings

if TYPE_CHECKING:
    from tenfold.finetuning.config import FinetuneConfig
    from tenfold.generation.config import GenerateConfig
    from tenfold.models.memory import MemoryPlan, MemoryShortage

Kind = Literal["dreambooth", "inpainting", "super-resolution"]
PRIOR_SECTION = "prior."
"""What settings of the prior images' drawing begin with: ``prior.num_inference_steps=50``."""


@dataclass(frozen=True)
class Chosen:
    """What a person chose; None of `classes` is all of them, 0 of a count is none of these images."""

    name: str
    classes: tuple[str, ...] | None = None
    images_per_class: int = 10
    validation_per_class: int = 10
    prior_images: int = 0
    per_class: bool = False
    together: bool = False
    """All adapters of the classes at once."""


@dataclass(frozen=True)
class FinetuneOrder:
    """What is to be done, checked: one config for each model, and the drawing of prior images before them."""

    kind: Kind
    workspace: Workspace
    configs: tuple[FinetuneConfig, ...]
    is_together: bool
    """Whether they are adapters that are trained at once."""
    prior: GenerateConfig | None
    training_images: Mapping[str, int]
    """Training images of each class."""
    validation_images: Mapping[str, int]


@dataclass(frozen=True)
class FinetunePlan:
    """An order with the memory that it takes; `shortage` is the refusal when that is more than is at hand."""

    order: FinetuneOrder
    memory: MemoryPlan
    available_bytes: int
    device: str
    shortage: MemoryShortage | None

    @property
    def prior_images(self) -> int:
        """Images that the base draws first."""
        prior = self.order.prior
        return 0 if prior is None else (prior.images_per_class or 0) * len(prior.prompts)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        order, first = self.order, self.order.configs[0]
        return {
            "kind": order.kind, "models": [f"models/{config.name}" for config in order.configs],
            "base_checkpoint": first.base_checkpoint, "method": first.method, "steps": first.max_train_steps,
            "together": order.is_together,
            "training_images": dict(order.training_images), "validation_images": dict(order.validation_images),
            "training_ids": [image_id for config in order.configs for image_id in config.training_ids],
            "prior_images": self.prior_images, "device": self.device,
            "memory": {"parts": dict(self.memory.parts), "total_bytes": self.memory.total_bytes,
                       "available_bytes": self.available_bytes, "fits": self.shortage is None},
        }  # fmt: skip


def order_finetuning(
    kind: Kind,
    folder: Path,
    chosen: Chosen,
    settings: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
) -> FinetuneOrder:
    """Checked configs on images of the sealed split. Nothing is written.

    Training images are a nested subset: more images per class contain fewer, whatever the model's name and seed.
    Classes are called what they were called when their images were imported, unless a noun is given here.

    Args:
        settings: ``a=b`` texts as typed after --set; those of the prior images begin with ``prior.``.
        options: field -> (the option as a person types it, its value); null values are not given.

    Raises:
        WorkspaceError: there is no workspace.
        DataError: no sealed split, or fewer images than asked for.
        InputError: an unknown class, or a model of that name with other settings.
        RecipeError, FaultsError: a setting is unknown or of a wrong type.
    """
    workspace = Workspace.open(folder)
    training, validation = split_tables(workspace)
    labels = choose_labels(chosen.classes, training)
    training, validation = (table[table["label"].isin(labels)] for table in (training, validation))
    seed = derive_seed(workspace.root_seed, "finetune", "subset")
    given = {name: pair for name, pair in (options or {}).items() if pair[1] is not None}
    given |= {
        "name": ("--name", chosen.name),
        "seed": ("seed", derive_seed(workspace.root_seed, "finetune")),
        "training_ids": ("--images-per-class", nested_subset(training, per_class=chosen.images_per_class, seed=seed)),
        "validation_ids": ("--validation-per-class", at_most(validation, chosen.validation_per_class, seed)),
    }
    if kind != "super-resolution":
        where, nouns = given.get("class_nouns", ("class_nouns of the import", {}))
        given["class_nouns"] = (where, recorded_nouns(workspace, labels) | nouns)
    prior_texts = [text.removeprefix(PRIOR_SECTION) for text in settings if text.startswith(PRIOR_SECTION)]
    own_texts = [text for text in settings if not text.startswith(PRIOR_SECTION)]
    config = load_settings(_config_class(kind), own_texts, given)
    label_of = label_of_each(training, validation)
    prior = _prior(config, chosen, prior_texts, label_of) if kind == "dreambooth" else None
    if prior is None and prior_texts:
        raise InputError(
            "settings of prior images are given, but none are drawn", where=f"--set {PRIOR_SECTION}{prior_texts[0]}"
        )
    if prior is not None:
        config = config.model_copy(update={"prior_manifest": f"synthetic/{prior.name}/manifest.parquet"})
    configs = _per_class(config, label_of, chosen, prior is not None) if chosen.per_class else (config,)
    for one in configs:
        refuse_other_run(workspace.resolve(f"models/{one.name}"), one, kind, "model")
    counts = [
        Counter(label_of.get(image_id, "?") for image_id in ids) for ids in (config.training_ids, config.validation_ids)
    ]
    told = [dict(sorted(count.items())) for count in counts]
    return FinetuneOrder(kind, workspace, configs, chosen.together, prior, *told)


def plan_finetuning(order: FinetuneOrder, available_bytes: int | None = None) -> FinetunePlan:
    """The memory that the training takes against what is at hand (or `available_bytes`); some seconds.

    Raises:
        CheckpointError: the base is missing or damaged.
        InputError: there is no such device, or a tracker is asked for that is not installed.
    """
    from tenfold.core.device import resolve_device
    from tenfold.finetuning.accelerating import refuse_absent_trackers
    from tenfold.models.checkpoint_ref import resolve_checkpoint
    from tenfold.models.memory import (
        MemoryShortage,
        estimate_training_memory,
        memory_at_hand,
        read_model_shape,
        require_memory,
    )

    config = order.configs[0]
    refuse_absent_trackers(config.trackers)
    device = resolve_device(config.device)
    shape = read_model_shape(resolve_checkpoint(config.base_checkpoint, order.workspace))
    plan = _training_plan(config, shape.image_size_px, adapters=len(order.configs) if order.is_together else 1)
    available = memory_at_hand(device) if available_bytes is None else available_bytes
    shortage = None
    try:
        memory = require_memory(shape, plan, device, available)
    except MemoryShortage as error:
        shortage, memory = error, estimate_training_memory(shape, plan, device)
    return FinetunePlan(order, memory, available, device, shortage)


def run_finetuning(plan: FinetunePlan, progress: Progress) -> list[Result]:
    """Draw the prior images, then train each model; what was finished before is recognized, half-done work resumed.

    Processes that `accelerate launch` started share the steps of a training; the first draws and writes.

    Raises:
        MemoryShortage: the plan needs more memory than is at hand.
        TenfoldError: of the stage that could not go on; what was finished is kept.
    """
    if plan.shortage is not None:
        raise plan.shortage
    order = plan.order
    with _held(order.workspace), make_executor("serial") as executor:
        if order.prior is not None:
            if is_first_process():
                from tenfold.generation.run import run as generate

                generate(order.prior, order.workspace, executor, progress)
            _wait_for_others(plan.device)
        if order.is_together:
            from tenfold.finetuning.together import run_together

            return run_together(order.configs, order.workspace, progress)  # type: ignore[arg-type]
        run = _stage(order.kind)
        return [run(config, order.workspace, executor, progress) for config in order.configs]


def _config_class(kind: Kind) -> Any:
    from tenfold.finetuning.config import DreamBoothConfig
    from tenfold.finetuning.inpainting_config import InpaintingConfig
    from tenfold.finetuning.super_resolution_config import SuperResolutionConfig

    return {"dreambooth": DreamBoothConfig, "inpainting": InpaintingConfig}.get(kind, SuperResolutionConfig)


def _prior(config: Any, chosen: Chosen, texts: Sequence[str], label_of: Mapping[str, str]) -> GenerateConfig | None:
    """The base's own pictures of each class noun, as many of each class; None where none are asked for."""
    from tenfold.generation.config import GenerateConfig

    if not chosen.prior_images or config.prior_manifest is not None:
        return None
    labels = sorted({label_of[image_id] for image_id in config.training_ids if image_id in label_of})
    prompts = {label: [class_prompt(config.class_noun or class_noun(label, config.class_nouns))] for label in labels}
    options = {
        "name": ("--name", f"{config.name}-prior"),
        "seed": ("seed", derive_seed(config.seed, "prior")),
        "checkpoint": ("--base", config.base_checkpoint),
        "prompts": ("class nouns", prompts),
        "images_per_class": ("--prior-images", -(-chosen.prior_images // max(1, len(labels)))),
        "device": ("device", config.device),
    }
    return load_settings(GenerateConfig, texts, options)


def _per_class(
    config: Any, label_of: Mapping[str, str], chosen: Chosen, has_class_priors: bool
) -> tuple[FinetuneConfig, ...]:
    from tenfold.finetuning.dreambooth_material import per_class_configs

    configs = per_class_configs(config, label_of, has_class_priors=has_class_priors)
    if not chosen.together:
        return tuple(configs)
    from tenfold.finetuning.together import join_configs

    return tuple(join_configs(configs))


def _training_plan(config: FinetuneConfig, image_size_px: int, adapters: int) -> Any:
    """The step; of `adapters` that are trained at once all images and all matrices count."""
    from tenfold.models.memory import TrainingPlan

    has_prior = getattr(config, "prior_manifest", None) is not None
    return TrainingPlan(
        image_size_px=image_size_px,
        batch_size=adapters * (config.train_batch_size + (getattr(config, "prior_batch_size", 0) if has_prior else 0)),
        dtype={"no": "float32", "fp16": "float16", "bf16": "bfloat16"}[config.mixed_precision],  # type: ignore[arg-type]
        lora_rank=adapters * config.lora_rank if config.method == "lora" else None,
        gradient_checkpointing=config.gradient_checkpointing,
        optimizer_bits=8 if config.use_8bit_adam else 32,
        trains_text_encoder=bool(getattr(config, "trains_text", False)),
        keeps_average=config.ema_decay > 0,
    )


def _stage(kind: Kind) -> Callable[..., Result]:
    from tenfold.finetuning import dreambooth, inpainting, super_resolution

    stages: dict[str, Callable[..., Result]] = {
        "dreambooth": dreambooth.run,
        "inpainting": inpainting.run_inpainting,
        "super-resolution": super_resolution.run,
    }
    return stages[kind]


@contextmanager
def _held(workspace: Workspace) -> Iterator[None]:
    """The workspace's lock; of launched processes the first holds it for all."""
    if is_first_process():
        with workspace.lock():
            yield
    else:
        yield


def _wait_for_others(device: str) -> None:
    if process_count() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu").wait_for_everyone()
