"""Optimizing a classifier: the optimizer with its parameter groups, the learning rate of each step, one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from tenfold.models.classifiers import layers_in_order

OptimizerName = Literal["adamw", "adam", "rmsprop", "sgd"]
Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["no", "bf16", "fp16"]
_DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Optimization:
    """An optimizer's settings. layer_decay: each layer learns so much slower than the next one; None: all alike.

    weight_decay: decoupled for adamw, an L2 term in the gradient for the others. gradient_clip: the largest norm.
    """

    name: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    layer_decay: float | None = None
    gradient_clip: float | None = None
    mixed_precision: Precision = "no"


class Stepper:
    """Forward, backward and step in the precision asked for."""

    def __init__(self, model: nn.Module, settings: Optimization) -> None:
        self.model = model
        self.settings = settings
        self.device_type = next(model.parameters()).device.type
        self.optimizer = _optimizer(_groups(model, settings.layer_decay), settings)
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=settings.mixed_precision == "fp16")

    def step(
        self, batch: torch.Tensor, targets: torch.Tensor, criterion: nn.Module, learning_rate: float
    ) -> torch.Tensor:
        """One step on images (B, 3, H, W) and class numbers (B,) or probabilities (B, C); the loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        precision = self.settings.mixed_precision
        with torch.autocast(self.device_type, _DTYPES[precision], enabled=precision != "no"):
            logits = self.model(batch.contiguous(memory_format=torch.channels_last))
        loss: torch.Tensor = criterion(logits.float(), targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.settings.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.settings.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def state(self) -> dict[str, torch.Tensor]:
        """The optimizer's and the scaler's memory as named tensors."""
        tensors = {
            f"{number}.{name}": torch.as_tensor(value)
            for number, memory in self.optimizer.state_dict()["state"].items()
            for name, value in memory.items()
            if value is not None
        }
        scale = {f"scaler.{name}": torch.tensor(float(value)) for name, value in self.scaler.state_dict().items()}
        return tensors | scale

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put a `state()` back, in the memory layout of the parameters."""
        own = self.optimizer.state_dict()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        memory: dict[int, dict[str, torch.Tensor]] = {}
        scale = {}
        for key, tensor in tensors.items():
            owner, _, name = key.partition(".")
            if owner == "scaler":
                scale[name] = float(tensor) if name != "_growth_tracker" and "interval" not in name else int(tensor)
                continue
            like = parameters[int(owner)]
            placed = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape and tensor.dim() else tensor
            memory.setdefault(int(owner), {})[name] = placed
        self.optimizer.load_state_dict({"state": memory, "param_groups": own["param_groups"]})
        if scale:
            self.scaler.load_state_dict(scale)


def learning_rate_at(step: int, steps: int, warmup_steps: int, peak: float, schedule: Schedule) -> float:
    """Linear warm-up, then down to zero after the last step by a cosine or a line, or constant."""
    warmup = min(warmup_steps, steps - 1)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    done = (step - warmup) / (steps - warmup)
    if schedule == "linear":
        return peak * (1 - done)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def _groups(model: nn.Module, layer_decay: float | None) -> list[dict[str, object]]:
    """The trained parameters with the scale of their learning rate; the last layer's is 1."""
    if layer_decay is None:
        return [{"params": [p for p in model.parameters() if p.requires_grad], "scale": 1.0}]
    layers = layers_in_order(model, is_coarse=False)
    groups: list[dict[str, object]] = [
        {"params": [p for p in layer if p.requires_grad], "scale": layer_decay ** (len(layers) - 1 - number)}
        for number, layer in enumerate(layers)
    ]
    return [group for group in groups if group["params"]]


def _optimizer(groups: list[dict[str, object]], settings: Optimization) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    match settings.name:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, weight_decay=decay, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=rate, weight_decay=decay, momentum=settings.momentum)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, weight_decay=decay, momentum=settings.momentum)
