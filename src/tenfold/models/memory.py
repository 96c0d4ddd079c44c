"""Preflight: what a training will need in memory, what is at hand, and which plans would fit; nothing is allocated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tenfold.core.errors import InputError
from tenfold.core.files import read_json
from tenfold.core.hashing import canonical_json
from tenfold.models.checkpoint_ref import checkpoint_parts

if TYPE_CHECKING:
    from tenfold.models.memory_trace import StepMemory

TrainingDtype = Literal["float32", "bfloat16", "float16"]

_GIB = 2**30
_BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}
RUNTIME_BYTES = int(0.95 * _GIB)
"""Python, torch and diffusers themselves: a CPU command after its prior images, no model held (docs/checkpoints.md). On
a GPU its context and the libraries' workspaces are assumed to take no more."""
_ALLOCATOR_SHARES = {("cpu", False): 0.5, ("cpu", True): 2.8, ("cuda", False): 0.1, ("cuda", True): 0.1}
"""Of activations, without and with gradient checkpointing: memory that the allocator holds but no tensor uses. Those of
the CPU are measured with the system's malloc (docs/checkpoints.md), those of a GPU assumed."""
_EIGHT_BIT_STATE_BYTES = 2 * (1 + 4 / 256)
"""Two moments of one byte each, with one scale of four bytes for every 256 values (bitsandbytes' blocks)."""
_PROPOSED_LORA_RANK = 8


@dataclass(frozen=True)
class ModelShape:
    """A checkpoint's architecture, from its configs alone: the weights need not be there, or not fit."""

    unet: str
    text_encoders: tuple[tuple[str, str], ...]
    """Class name and config (JSON) of each text encoder."""
    parameters: Mapping[str, int]
    """Number of parameters of each part."""
    vae_scale: int
    image_size_px: int
    tokens: int


@dataclass(frozen=True)
class TrainingPlan:
    """The choices that decide how much memory a training takes; weights that are trained are always float32."""

    image_size_px: int
    batch_size: int
    """Images in one forward pass, prior images included."""
    dtype: TrainingDtype = "float32"
    """Of activations, under autocast."""
    frozen_dtype: TrainingDtype = "float32"
    """Of the weights that are not trained."""
    lora_rank: int | None = None
    gradient_checkpointing: bool = False
    optimizer_bits: Literal[32, 8] = 32
    trains_text_encoder: bool = False
    keeps_average: bool = False


@dataclass(frozen=True)
class MemoryPlan:
    """A training plan with its estimated bytes, part by part."""

    plan: TrainingPlan
    parts: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """All parts together: the most that the training will hold at one moment."""
        return sum(self.parts.values())

    def lines(self) -> list[str]:
        """One line for each part and one for the total, in GiB."""
        told = [f"{name}: {readable_bytes(size)}" for name, size in self.parts.items() if size]
        return [*told, f"together: {readable_bytes(self.total_bytes)}"]


@dataclass(frozen=True)
class Proposal:
    """A plan that fits, what it changes, and what that costs."""

    memory: MemoryPlan
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' + '.join(self.changes)}: {readable_bytes(self.memory.total_bytes)}"


class MemoryShortage(InputError):
    """The plan does not fit; `proposals` are plans that would, none of which is taken by itself."""

    def __init__(self, what: str, proposals: tuple[Proposal, ...] = (), **parts: str) -> None:
        super().__init__(what, **parts)
        self.proposals = proposals

    def as_dict(self) -> dict[str, Any]:
        told = [{"changes": list(one.changes), "total_bytes": one.memory.total_bytes} for one in self.proposals]
        return {**super().as_dict(), "proposals": told}


def read_model_shape(folder: Path) -> ModelShape:
    """The architecture of a checkpoint in diffusers format.

    Raises:
        CheckpointError: a part of it is missing.
    """
    from tenfold.models.memory_trace import parameter_count

    checkpoint_parts(folder)
    index = read_json(folder / "model_index.json")
    configs = {name: read_json(folder / name / "config.json") for name in ("unet", "vae")}
    unet, vae = configs["unet"], configs["vae"]
    names = [name for name in ("text_encoder", "text_encoder_2") if (folder / name / "config.json").is_file()]
    texts = {name: (str(index[name][1]), canonical_json(read_json(folder / name / "config.json"))) for name in names}
    parameters = {name: parameter_count("transformers", *text) for name, text in texts.items()}
    parameters["unet"] = parameter_count("diffusers", "UNet2DConditionModel", canonical_json(unet))
    parameters["vae"] = parameter_count("diffusers", str(index["vae"][1]), canonical_json(vae))
    vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
    tokens = int(read_json(folder / "text_encoder" / "config.json").get("max_position_embeddings", 77))
    return ModelShape(
        unet=canonical_json(unet),
        text_encoders=tuple(texts.values()),
        parameters=parameters,
        vae_scale=vae_scale,
        image_size_px=int(unet["sample_size"]) * vae_scale,
        tokens=tokens,
    )


def estimate_training_memory(model: ModelShape, plan: TrainingPlan, device: str = "cpu") -> MemoryPlan:
    """Bytes of a training by `plan`, part by part; the step itself is traced on tensors without storage.

    Raises:
        InputError: the image size is not a multiple of the autoencoder's scale, or the dtypes do not go together.
    """
    if plan.image_size_px % model.vae_scale or plan.batch_size < 1:
        raise InputError(
            f"a batch of {plan.batch_size} images of {plan.image_size_px} px cannot be trained on",
            expected=f"one image or more, of a multiple of {model.vae_scale} px",
        )
    if plan.frozen_dtype not in ("float32", plan.dtype):
        raise InputError(
            f"frozen weights in {plan.frozen_dtype} cannot be computed with in {plan.dtype}",
            expected=f"frozen_dtype float32 or {plan.dtype}",
        )
    step = _trace(model, plan)
    trained_modules = ["unet"]
    if plan.trains_text_encoder:
        trained_modules += [name for name in model.parameters if name.startswith("text_encoder")]
    weights = {
        name: count * (4 if name in trained_modules and plan.lora_rank is None else _BYTES_OF[plan.frozen_dtype])
        for name, count in model.parameters.items()
    }
    trained_count = step.trained // 4
    state_bytes = 8.0 if plan.optimizer_bits == 32 else _EIGHT_BIT_STATE_BYTES
    kind = "cuda" if device.startswith("cuda") else "cpu"
    parts = {
        "UNet": weights.pop("unet"),
        "autoencoder": weights.pop("vae"),
        "text encoder": sum(weights.values()),
        "LoRA": step.adapters,
        "optimizer state": int(trained_count * state_bytes),
        "moving average": step.trained if plan.keeps_average else 0,
        "gradients": step.gradients,
        "activations": step.activations,
        "allocator": int(step.activations * _ALLOCATOR_SHARES[kind, plan.gradient_checkpointing]),
        "runtime": RUNTIME_BYTES,
    }
    # After the first step gradients and optimizer state live together, however small the activations are by then.
    parts["gradients"] = max(step.gradients, step.trained - step.activations)
    return MemoryPlan(plan, parts)


def memory_at_hand(device: str) -> int:
    """Bytes that this process can still take on the device: free memory of the GPU, or what the machine and the
    container leave."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    import psutil

    return min(int(psutil.virtual_memory().available), *_container_limits())


def propose(model: ModelShape, plan: TrainingPlan, available_bytes: int, device: str = "cpu") -> tuple[Proposal, ...]:
    """Plans near `plan` that fit, those with the fewest changes first; none that holds a smaller one which fits.

    In the order of what they cost: gradient checkpointing (the same result, about a third slower), a smaller batch
    (the same result with as many more accumulation steps), an 8-bit optimizer (only on a GPU), LoRA (an adapter
    instead of a whole model).
    """
    changes = dict(_changes(plan, device))
    found: list[tuple[frozenset[str], Proposal]] = []
    for count in range(1, len(changes) + 1):
        for names in itertools.combinations(changes, count):
            if any(smaller <= set(names) for smaller, _ in found):
                continue
            proposal = _fitting(model, plan, [changes[name] for name in names], available_bytes, device)
            if proposal is not None:
                found.append((frozenset(names), proposal))
    return tuple(proposal for _, proposal in found)


def require_memory(
    model: ModelShape, plan: TrainingPlan, device: str, available_bytes: int | None = None
) -> MemoryPlan:
    """The estimate of a plan that fits.

    Raises:
        MemoryShortage: it does not; the plans that would are named and carried along, none is taken.
    """
    memory = estimate_training_memory(model, plan, device)
    available = memory_at_hand(device) if available_bytes is None else available_bytes
    if memory.total_bytes <= available:
        return memory
    proposals = propose(model, plan, available, device)
    if proposals:
        todo = "Choose one of these, or give the training more memory: " + "; ".join(map(str, proposals)) + "."
    else:
        todo = "No smaller plan fits either: train smaller images, or use a machine with more memory."
    raise MemoryShortage(
        f"the training needs about {readable_bytes(memory.total_bytes)}, and {readable_bytes(available)} are at hand",
        proposals,
        where=f"{device}; {', '.join(memory.lines()[:-1])}",
        expected="a plan that fits into memory",
        todo=todo,
    )


def readable_bytes(size: int) -> str:
    """Bytes as ``3.1 GiB`` or ``12 MiB``."""
    return f"{size / _GIB:.1f} GiB" if size >= 0.1 * _GIB else f"{size / 2**20:.0f} MiB"


def _trace(model: ModelShape, plan: TrainingPlan) -> StepMemory:
    from tenfold.models.memory_trace import StepShape, trace_step

    return trace_step(
        StepShape(
            unet=model.unet,
            text_encoders=model.text_encoders if plan.trains_text_encoder else (),
            batch_size=plan.batch_size,
            latent_px=plan.image_size_px // model.vae_scale,
            tokens=model.tokens,
            dtype=plan.dtype,
            frozen_dtype=plan.frozen_dtype,
            lora_rank=plan.lora_rank,
            gradient_checkpointing=plan.gradient_checkpointing,
            trains_text_encoder=plan.trains_text_encoder,
        )
    )


@dataclass(frozen=True)
class _Change:
    """One way to need less: fields of the plan to replace; an empty one stands for the largest batch that fits."""

    told: str
    fields: Mapping[str, Any]


def _changes(plan: TrainingPlan, device: str) -> Iterator[tuple[str, _Change]]:
    if not plan.gradient_checkpointing:
        yield "checkpointing", _Change("gradient checkpointing", {"gradient_checkpointing": True})
    if plan.batch_size > 1:
        yield "batch", _Change("batch size", {})
    if plan.optimizer_bits != 8 and device.startswith("cuda"):
        yield "optimizer", _Change("8-bit optimizer", {"optimizer_bits": 8})
    if plan.lora_rank is None:
        yield "lora", _Change(f"LoRA of rank {_PROPOSED_LORA_RANK}", {"lora_rank": _PROPOSED_LORA_RANK})


def _fitting(
    model: ModelShape, plan: TrainingPlan, changes: list[_Change], available_bytes: int, device: str
) -> Proposal | None:
    fields: dict[str, Any] = {name: value for change in changes for name, value in change.fields.items()}
    told = tuple(change.told for change in changes if change.fields)
    if all(change.fields for change in changes):
        memory = estimate_training_memory(model, replace(plan, **fields), device)
        return Proposal(memory, told) if memory.total_bytes <= available_bytes else None
    one, whole = (
        estimate_training_memory(model, replace(plan, **fields, batch_size=size), device).total_bytes
        for size in (1, plan.batch_size)
    )
    size = plan.batch_size
    while size > 1:
        size //= 2
        # The peak is the largest of many affine functions of the batch, so it lies below the line between two of them.
        bound = one + (whole - one) * (size - 1) / (plan.batch_size - 1)
        if bound <= available_bytes:
            memory = estimate_training_memory(model, replace(plan, **fields, batch_size=size), device)
            steps = -(-plan.batch_size // size)
            return Proposal(memory, (*told, f"batch size {size} with {steps} accumulation steps"))
    return None


def _container_limits() -> list[int]:
    """Bytes that a container's limit leaves; a huge number when there is none."""
    limits = [2**62]
    for maximum, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            limit, taken = int(Path(maximum).read_text()), int(Path(used).read_text())
        except (OSError, ValueError):
            continue
        limits.append(max(0, limit - taken))
    return limits
