"""The memory of one training step, counted tensor by tensor on tensors without storage: nothing is allocated.

The step is really taken (forward, loss, backward) by the real modules, under torch's fake tensors, while every
storage is counted from its birth to its death. So attention, checkpointing, autocast and adapters are counted as
they are, for any architecture, and no table of constants has to follow the libraries.
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tenfold.models.lora import LORA_TARGETS, LORA_TEXT_TARGETS


@dataclass(frozen=True)
class StepShape:
    """All that decides the memory of a step; configs as JSON text, so that equal shapes are traced once."""

    unet: str
    text_encoders: tuple[tuple[str, str], ...]
    """Class name and config of each; traced only when `trains_text_encoder`."""
    batch_size: int
    latent_px: int
    """The edge of the latents."""
    tokens: int
    dtype: str
    frozen_dtype: str
    lora_rank: int | None
    gradient_checkpointing: bool
    trains_text_encoder: bool


@dataclass(frozen=True)
class StepMemory:
    """Bytes at the moment of the step at which most memory is held, apart from weights and optimizer."""

    activations: int
    gradients: int
    trained: int
    """Bytes of the trained weights, adapters included."""
    adapters: int
    """Bytes of LoRA weights; 0 without LoRA."""


@lru_cache(maxsize=64)
def trace_step(shape: StepShape) -> StepMemory:
    """Take the step of `shape` on fake tensors; about a second, some five for Stable Diffusion."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"):
        unet = _unet(shape)
        texts = [_text_encoder(name, config, shape) for name, config in shape.text_encoders]
    with FakeTensorMode(), torch.device("cpu"):
        for model in (unet, *texts):
            _give_fake_tensors(model)
        models = [unet, *texts] if shape.trains_text_encoder else [unet]
        weights = [parameter for model in models for parameter in model.parameters()]
        trained = [parameter for parameter in weights if parameter.requires_grad]
        batch = _batch(unet, shape)
        ids = torch.zeros(shape.batch_size, shape.tokens, dtype=torch.long)
        counter = _LiveBytes(weights)
        with counter, counter.gradients(trained):
            with _autocast(shape.dtype):
                if shape.trains_text_encoder:
                    batch["encoder_hidden_states"] = _embed(texts, ids)
                output = unet(**batch, return_dict=False)[0]
            (output.float() ** 2).mean().backward()
        adapters = [parameter for model in models for name, parameter in model.named_parameters() if "lora_" in name]
    return StepMemory(
        activations=counter.peak_bytes - counter.gradients_at_peak_bytes,
        gradients=counter.gradients_at_peak_bytes,
        trained=_bytes(trained),
        adapters=_bytes(adapters),
    )


def parameter_count(library: str, class_name: str, config: str) -> int:
    """Number of parameters of a diffusers or transformers model of this config, built without storage."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in _build(library, class_name, config).parameters())


def _build(library: str, class_name: str, config: str) -> torch.nn.Module:
    values = json.loads(config)
    if library == "transformers":
        import transformers

        kind: Any = getattr(transformers, class_name)
        return kind(kind.config_class.from_dict(values))  # type: ignore[no-any-return]
    import diffusers

    return getattr(diffusers, class_name).from_config(values)  # type: ignore[no-any-return]


def _unet(shape: StepShape) -> Any:
    unet: Any = _build("diffusers", "UNet2DConditionModel", shape.unet).train()
    if shape.lora_rank is not None:
        _freeze(unet, shape.frozen_dtype)
        _add_lora(unet, shape.lora_rank, LORA_TARGETS)
    if shape.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return unet


def _text_encoder(class_name: str, config: str, shape: StepShape) -> Any:
    model: Any = _build("transformers", class_name, config).train()
    if shape.lora_rank is not None:
        _freeze(model, shape.frozen_dtype)
        _add_lora(model, shape.lora_rank, LORA_TEXT_TARGETS)
    if shape.gradient_checkpointing:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    return model


def _freeze(model: Any, dtype: str) -> None:
    for parameter in model.requires_grad_(False).parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype))


def _give_fake_tensors(model: torch.nn.Module) -> None:
    """Replace tensors of the meta device, on which no kernel is chosen, by those of the mode around the call."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, torch.nn.Parameter(fake, requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))


def _add_lora(model: Any, rank: int, targets: Sequence[str]) -> None:
    from peft import LoraConfig

    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets)))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _batch(unet: Any, shape: StepShape) -> dict[str, Any]:
    """Inputs of the UNet: of Stable Diffusion, of SDXL (text and size embeddings) or of the upscaler (noise level)."""
    config, size = unet.config, shape.batch_size
    inputs: dict[str, Any] = {
        "sample": torch.zeros(size, config.in_channels, shape.latent_px, shape.latent_px),
        "timestep": torch.zeros(size, dtype=torch.long),
        "encoder_hidden_states": torch.zeros(size, shape.tokens, config.cross_attention_dim),
    }
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs["added_cond_kwargs"] = {"text_embeds": torch.zeros(size, width), "time_ids": torch.zeros(size, 6)}
    if config.num_class_embeds is not None or config.class_embed_type is not None:
        inputs["class_labels"] = torch.zeros(size, dtype=torch.long)
    return inputs


def _embed(texts: Sequence[Any], ids: torch.Tensor) -> torch.Tensor:
    """(B, tokens, features) of one encoder, or of several side by side as SDXL has them."""
    if len(texts) == 1:
        embedded: torch.Tensor = texts[0](ids)[0]
        return embedded
    return torch.cat([text(ids, output_hidden_states=True).hidden_states[-2] for text in texts], dim=-1)


def _autocast(dtype: str) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if dtype == "float32" else torch.autocast("cpu", dtype=getattr(torch, dtype))


def _bytes(tensors: Sequence[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations bring into being, until they die; weights do not count."""

    def __init__(self, weights: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self.gradients_at_peak_bytes = 0
        self._live_bytes = 0
        self._gradient_bytes = 0
        self._known: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()
        self._weights = [weight.untyped_storage() for weight in weights]  # held, so that their keys stay
        for storage in self._weights:
            self._known[storage] = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf.untyped_storage())
        return result

    @contextlib.contextmanager
    def gradients(self, parameters: Sequence[torch.Tensor]) -> Iterator[None]:
        """Tell gradients of these parameters from activations."""
        handles = [parameter.register_post_accumulate_grad_hook(self._grown) for parameter in parameters]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, storage: Any) -> None:
        if storage in self._known:
            return
        self._known[storage] = None
        size = storage.nbytes()
        self._live_bytes += size
        weakref.finalize(storage, self._drop, size)
        if self._live_bytes > self.peak_bytes:
            self.peak_bytes, self.gradients_at_peak_bytes = self._live_bytes, self._gradient_bytes

    def _drop(self, size: int) -> None:
        self._live_bytes -= size

    def _grown(self, parameter: torch.Tensor) -> None:
        self._gradient_bytes += parameter.numel() * parameter.element_size()
