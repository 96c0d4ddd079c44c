"""LoRA adapters by PEFT: added to a frozen checkpoint, saved so that diffusers' `load_lora_weights` reads them.

LoRA (Hu et al. 2021): W x + alpha / rank * B A x, where W stays as it is and only A and B are trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.files import write_bytes_atomic
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.models.adapter_ref import ADAPTER_WEIGHTS, adapter_file
from tenfold.models.pipelines import Components, quiet_loading

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The UNet's attention projections."""
LORA_TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")
"""The text encoders' attention projections."""

_METADATA_KEY = "lora_adapter_metadata"
_DOWN_ENDS = (".lora_A.weight", ".lora.down.weight", ".lora_linear_layer.down.weight")
"""How the names of A end, in the spellings that diffusers reads."""


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of an adapter. ``alpha`` is the rank when it is None, so that A and B act as they are."""

    rank: int = 8
    alpha: float | None = None
    targets: tuple[str, ...] = LORA_TARGETS
    """Ends of the names of the UNet's adapted modules."""
    text_encoder: bool = False
    """Adapt the text encoder too (SDXL: both of them)."""
    text_targets: tuple[str, ...] = LORA_TEXT_TARGETS
    seed: int = 0
    """Decides the first weights: A uniform as `torch.nn.Linear`'s, B zero, so that training starts at the base."""

    @property
    def told_alpha(self) -> float:
        """``alpha``, or the rank where it is None."""
        return float(self.rank if self.alpha is None else self.alpha)


@dataclass(frozen=True)
class LoraWeights:
    """The adapter of one part: by module name A (rank, in) and B (out, rank)."""

    matrices: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    rank: int
    alpha: float
    targets: tuple[str, ...]


def add_lora(components: Components, settings: LoraSettings) -> None:
    """Add adapters in float32 to the UNet, and to the text encoder if asked; only they ask for gradients.

    Raises:
        InputError: the rank is below one, a module ends in none of the targets, or an adapter is there already.
    """
    from peft import LoraConfig

    if settings.rank < 1:
        raise InputError(f"a LoRA of rank {settings.rank}", expected="a rank of at least 1")
    for name, (model, targets) in _adapted_parts(components, settings).items():
        if any(True for _ in lora_layers(model)):
            raise InputError(
                f"the {name} has an adapter already", todo="Load the checkpoint anew, or merge_lora first."
            )
        config = LoraConfig(r=settings.rank, lora_alpha=settings.told_alpha, target_modules=list(targets))
        model.requires_grad_(False)
        try:
            # PEFT draws first weights of its own, which are replaced below: the caller's stream must not notice.
            with quiet_loading(), torch.random.fork_rng(devices=[]):
                model.add_adapter(config)
        except ValueError as error:
            raise InputError(
                f"no LoRA fits the {name}: {str(error).splitlines()[0]}", expected="targets that name its modules"
            ) from error
        for module_name, layer in lora_layers(model):
            down, up = _parameters(layer)
            down.data = first_down_weight(settings, name, module_name, down.shape).to(down.device)
            up.data = torch.zeros_like(up, dtype=torch.float32)


def first_down_weight(settings: LoraSettings, part: str, module_name: str, shape: torch.Size) -> torch.Tensor:
    """A (rank, in) before training, float32 on the CPU, keyed by the settings' seed and the module's name alone."""
    generator = torch_generator(derive_seed(settings.seed, "lora", part, module_name))
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


def save_lora(components: Components, folder: Path) -> Path:
    """Write ``folder/pytorch_lora_weights.safetensors``, which diffusers' `load_lora_weights(folder)` reads.

    Equal weights give equal files. Raises InputError when nothing has an adapter; a full disk is a StorageError.
    """
    adapters = {}
    for name, model in {"unet": components.unet, **components.text_encoders}.items():
        matrices = {module_name: _parameters(layer) for module_name, layer in lora_layers(model)}
        if matrices:
            config = model.peft_config[_adapter_name(model)]
            targets = tuple(sorted(config.target_modules))
            adapters[name] = LoraWeights(matrices, int(config.r), float(config.lora_alpha), targets)
    return write_lora(adapters, folder)


def write_lora(adapters: Mapping[str, LoraWeights], folder: Path) -> Path:
    """`save_lora` for matrices that are at hand, by part: unet, text_encoder, text_encoder_2."""
    if not adapters:
        raise InputError("there is no adapter to save", todo="Call add_lora before training.")
    tensors: dict[str, torch.Tensor] = {}
    facts: dict[str, Any] = {}
    for part, adapter in adapters.items():
        for module_name, (down, up) in adapter.matrices.items():
            key = f"{part}.{_portable(part, module_name)}"
            tensors[f"{key}.lora_A.weight"] = down.detach().cpu().contiguous()
            tensors[f"{key}.lora_B.weight"] = up.detach().cpu().contiguous()
        facts |= {f"{part}.r": adapter.rank, f"{part}.lora_alpha": adapter.alpha}
        facts[f"{part}.target_modules"] = list(adapter.targets)
    metadata = {"format": "pt", _METADATA_KEY: json.dumps(facts, sort_keys=True)}
    path = folder / ADAPTER_WEIGHTS
    write_bytes_atomic(path, _in_fixed_order(save(tensors, metadata)))
    return path


def load_lora(components: Components, path: Path, scale: float = 1.0) -> None:
    """Merge a saved adapter into the components' weights: W + scale * alpha / rank * B A, at no cost in drawing.

    Args:
        path: a folder that `save_lora` or diffusers wrote, or one .safetensors file (diffusers', PEFT's or kohya's).

    Raises:
        CheckpointError: the file is missing or damaged, or is the adapter of another architecture.
    """
    attach_lora(components, path)
    merge_lora(components, scale)


def attach_lora(components: Components, path: Path) -> None:
    """Add a saved adapter beside the components' weights, not merged; arguments and errors are `load_lora`'s."""
    file = adapter_file(path)
    kind = _loader(components)
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no iterator)
            facts = json.loads((opened.metadata() or {}).get(_METADATA_KEY, "null"))
        with quiet_loading(), torch.random.fork_rng(devices=[]):
            state, alphas = kind.lora_state_dict(tensors, unet_config=components.unet.config)[:2]
            found = _attach(components, kind, state, alphas, facts)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise _does_not_fit(file, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    wanted = sum(1 for name in state if name.endswith(_DOWN_ENDS))
    if not found or found < wanted:
        raise _does_not_fit(file, f"{found} of its {wanted} matrices found a place")


@torch.no_grad()
def merge_lora(components: Components, scale: float = 1.0) -> None:
    """Add every adapter to the weights beside it, in float32, and take it away; the weights are frozen again."""
    from diffusers.utils import recurse_remove_peft_layers

    for model in (components.unet, *components.text_encoders.values()):
        layers = list(lora_layers(model))
        if not layers:
            continue
        adapter = _adapter_name(model)
        for _, layer in layers:
            weight = layer.get_base_layer().weight
            weight.copy_(weight.float() + scale * layer.get_delta_weight(adapter).float())
        recurse_remove_peft_layers(model)
        del model.peft_config
        model._hf_peft_config_loaded = False
        model.requires_grad_(False)


def lora_layers(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """(module name, PEFT layer) of each adapted module."""
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


def _adapted_parts(components: Components, settings: LoraSettings) -> dict[str, tuple[Any, tuple[str, ...]]]:
    parts = {"unet": (components.unet, settings.targets)}
    if settings.text_encoder:
        parts |= {name: (model, settings.text_targets) for name, model in components.text_encoders.items()}
    return parts


def _adapter_name(model: Any) -> str:
    name: str = next(iter(model.peft_config))
    return name


def _parameters(layer: Any) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """A and B of a PEFT layer."""
    (adapter,) = layer.lora_A
    return layer.lora_A[adapter].weight, layer.lora_B[adapter].weight


def _portable(part: str, module_name: str) -> str:
    """CLIP's modules as every version of transformers and diffusers finds them: newer ones drop the prefix."""
    is_flat = part.startswith("text_encoder") and not module_name.startswith("text_model.")
    return f"text_model.{module_name}" if is_flat else module_name


def _in_fixed_order(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted: the library writes them in another order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header = {"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def _loader(components: Components) -> Any:
    from diffusers.loaders import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin

    return StableDiffusionLoraLoaderMixin if components.text_encoder_2 is None else StableDiffusionXLLoraLoaderMixin


def _attach(
    components: Components, kind: Any, state: Mapping[str, torch.Tensor], alphas: Any, facts: Mapping[str, Any] | None
) -> int:
    """Hand each part its share of the state dict; the number of adapted modules."""
    parts = {"unet": components.unet, **components.text_encoders}
    for name, model in parts.items():
        if not any(key.startswith(f"{name}.") for key in state):
            continue
        options = {"adapter_name": "default", "metadata": facts, "network_alphas": None if facts else alphas}
        if name == "unet":
            kind.load_lora_into_unet(dict(state), unet=model, **options)
        else:
            kind.load_lora_into_text_encoder(dict(state), text_encoder=model, prefix=name, **options)
        model.requires_grad_(False)
    return sum(1 for model in parts.values() for _ in lora_layers(model))


def _does_not_fit(file: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"the adapter cannot be used with this checkpoint: {what}",
        where=str(file),
        expected="a whole LoRA, in safetensors, of a checkpoint of the same architecture",
        todo="Use it with the checkpoint that it was trained on; adapter.json beside it names it.",
    )
