"""Several LoRA adapters trained at once on one frozen UNet, each as if it were trained alone.

One forward pass of the UNet serves all: adapter k sees the k-th part of the batch. Weights, optimizer moments, clipping
and losses of the adapters never meet, so each one's losses equal those of its solo run but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from tenfold.core.errors import InputError
from tenfold.core.progress import TaskProgress
from tenfold.finetuning.loop import LoopSettings, LossTrace, Watcher, train
from tenfold.models.lora import LoraSettings, LoraWeights, first_down_weight, write_lora


class Stackable(Protocol):
    """An objective whose steps are drawn and scored apart from the UNet's work (DreamBooth's is one)."""

    def draw(self, step: int) -> Any:
        """The batch of this step."""
        ...

    def unet_inputs(self, batch: Any) -> Mapping[str, Any]:
        """The UNet's keyword arguments: tensors, or mappings of tensors, that begin with the batch's axis."""
        ...

    def batch_loss(self, output: torch.Tensor, batch: Any) -> torch.Tensor:
        """The scalar loss of a batch for which the UNet gave `output` (B, C, h, w)."""
        ...


class StackedLinear(torch.nn.Module):
    """A frozen linear layer with K adapters beside it, each for its K-th of the batch: W x + scale_k B_k A_k x."""

    def __init__(self, base: torch.nn.Linear, downs: torch.Tensor, scales: Sequence[float]) -> None:
        """`downs` are the first A (K, rank, in) in float32; each B starts at zero."""
        super().__init__()
        count, rank, _ = downs.shape
        self.base = base
        self.down = torch.nn.Parameter(downs.to(base.weight.device))
        self.up = torch.nn.Parameter(self.down.new_zeros((count, base.out_features, rank)))
        self._scales = self.down.new_tensor(list(scales))[:, None, None]
        self.only: int | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ..., in) to (B, ..., out); B is a multiple of K, ordered by adapter, unless `only` one is asked for."""
        output: torch.Tensor = self.base(x)
        seen = x.to(self.down.dtype)
        if self.only is not None:
            added = F.linear(F.linear(seen, self.down[self.only]), self.up[self.only]) * self._scales[self.only]
        else:
            parts = seen.reshape(len(self.down), -1, seen.shape[-1])
            added = torch.bmm(torch.bmm(parts, self.down.mT), self.up.mT) * self._scales
        return output + added.reshape(output.shape).to(output.dtype)


class LoraStack:
    """The K adapters of one UNet."""

    def __init__(self, unet: torch.nn.Module, settings: Sequence[LoraSettings]) -> None:
        """Put a StackedLinear in the place of each target; all else of the UNet is frozen.

        Raises:
            InputError: the settings differ in rank or targets, ask for the text encoder, or fit no linear layer.
        """
        self.unet = unet
        self.settings = tuple(settings)
        _check(self.settings)
        unet.requires_grad_(False)
        self.layers: dict[str, StackedLinear] = {}
        for name, module in [(name, module) for name, module in unet.named_modules() if _is_target(name, settings[0])]:
            if not isinstance(module, torch.nn.Linear):
                raise InputError(
                    f"the module {name} is a {type(module).__name__}",
                    expected="linear layers, for adapters that are trained together",
                    todo="Train these adapters one by one, or name other targets.",
                )
            shape = torch.Size((settings[0].rank, module.in_features))
            downs = torch.stack([first_down_weight(own, "unet", name, shape) for own in settings])
            self.layers[name] = StackedLinear(module, downs, [own.told_alpha / own.rank for own in settings])
            _replace(unet, name, self.layers[name])
        if not self.layers:
            raise InputError(f"no module of the UNet ends in {' or '.join(settings[0].targets)}")

    def __len__(self) -> int:
        return len(self.settings)

    @contextmanager
    def only(self, number: int) -> Iterator[None]:
        """The UNet with one adapter for whole batches of any size: for validation and samples."""
        for layer in self.layers.values():
            layer.only = number
        try:
            yield
        finally:
            for layer in self.layers.values():
                layer.only = None

    def save(self, number: int, folder: Path) -> Path:
        """Write one adapter as `save_lora` does after its solo run."""
        own = self.settings[number]
        matrices = {name: (layer.down[number], layer.up[number]) for name, layer in self.layers.items()}
        return write_lora({"unet": LoraWeights(matrices, own.rank, own.told_alpha, tuple(sorted(own.targets)))}, folder)

    def remove(self) -> None:
        """Give the UNet its own layers back, as they were."""
        for name, layer in self.layers.items():
            _replace(self.unet, name, layer.base)


class LoraStackObjective:
    """The sum of K objectives, one for each adapter, by one call of the UNet; an objective of the training loop."""

    def __init__(self, stack: LoraStack, objectives: Sequence[Stackable], batch_count: int) -> None:
        """`batch_count` is the number of batches that the training will draw: losses of each are kept."""
        if len(objectives) != len(stack):
            raise InputError(f"{len(objectives)} objectives and {len(stack)} adapters", expected="as many of each")
        self._stack, self._objectives = stack, tuple(objectives)
        self._losses = _Losses(len(stack), batch_count).to(next(iter(stack.layers.values())).down.device)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet, in which only the adapters ask for gradients, and the losses so far, which a resumed run needs."""
        return {"unet": self._stack.unet, "losses": self._losses}

    def loss(self, step: int) -> torch.Tensor:
        """The sum of the adapters' losses, so that each one's gradient is that of its own loss."""
        batches = [objective.draw(step) for objective in self._objectives]
        told = [objective.unet_inputs(batch) for objective, batch in zip(self._objectives, batches, strict=True)]
        if len({len(one["sample"]) for one in told}) > 1:
            sizes = ", ".join(str(len(one["sample"])) for one in told)
            raise InputError(f"the adapters' batches hold {sizes} images", expected="batches of one size")
        output = self._stack.unet(**_joined(told), return_dict=False)[0]
        parts = output.chunk(len(batches))
        losses = torch.stack(
            [
                objective.batch_loss(part, batch)
                for objective, part, batch in zip(self._objectives, parts, batches, strict=True)
            ]
        )
        self._losses.values[:, step] = losses.detach()
        return losses.sum()

    def clip_gradients(self, max_norm: float) -> None:
        """Clip each adapter's gradients by their own norm, as torch's `clip_grad_norm_` does for a solo run."""
        gradients = [weight.grad for layer in self._stack.layers.values() for weight in (layer.down, layer.up)]
        present = [gradient for gradient in gradients if gradient is not None]
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in present]).norm(dim=0)
        factors = (max_norm / (norms + 1e-6)).clamp_max(1.0)[:, None, None]
        for gradient in present:
            gradient.mul_(factors)

    def traces(self) -> list[tuple[float, ...]]:
        """Each adapter's loss of every batch drawn, in order."""
        return [tuple(float(loss) for loss in own if not loss.isnan()) for own in self._losses.values.cpu()]


class AdapterWatcher:
    """A watcher of one adapter: it looks at the UNet with that adapter alone, and its figures bear its name."""

    def __init__(self, stack: LoraStack, number: int, name: str, watcher: Watcher) -> None:
        self._stack, self._number, self._name, self._watcher = stack, number, name, watcher

    @property
    def every_steps(self) -> int:
        """As the watcher's own."""
        return self._watcher.every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """Look after `step` steps."""
        with self._stack.only(self._number):
            figures = self._watcher.look(step)
        return {f"{self._name}.{key}": value for key, value in figures.items()}


def train_lora_stack(
    stack: LoraStack,
    objectives: Sequence[Stackable],
    settings: LoopSettings,
    folder: Path,
    progress: TaskProgress,
    *,
    watchers: Sequence[Watcher] = (),
) -> list[LossTrace]:
    """Train all adapters in one loop, resumable in `folder`; each adapter's losses, a step's batches averaged.

    Raises:
        InputError, StageError: as `train`; the loss of one adapter that is not a number stops all.
    """
    accumulated = settings.gradient_accumulation_steps
    objective = LoraStackObjective(stack, objectives, settings.max_train_steps * accumulated)
    trace = train(objective, settings, folder, progress, watchers=watchers)
    return [
        LossTrace(
            tuple(sum(losses[k : k + accumulated]) / accumulated for k in range(0, len(losses), accumulated)),
            trace.resumed_at_step,
        )
        for losses in objective.traces()
    ]


class _Losses(torch.nn.Module):
    """The losses so far as a buffer (adapters, batches), NaN where none was drawn, for the loop to save."""

    values: torch.Tensor

    def __init__(self, adapters: int, batches: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.full((adapters, batches), torch.nan))


def _check(settings: Sequence[LoraSettings]) -> None:
    if not settings:
        raise InputError("there is no adapter to train", expected="one or more")
    if len({(own.rank, own.targets) for own in settings}) > 1 or any(own.text_encoder for own in settings):
        raise InputError(
            "these adapters cannot be trained together",
            expected="one rank and the same targets for all, and a frozen text encoder",
            todo="Train those that differ one by one.",
        )
    if settings[0].rank < 1:
        raise InputError(f"a LoRA of rank {settings[0].rank}", expected="a rank of at least 1")


def _is_target(name: str, settings: LoraSettings) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in settings.targets)


def _replace(model: torch.nn.Module, name: str, module: torch.nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _joined(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same keyword arguments for all batches, one behind the other."""
    joined: dict[str, Any] = {}
    for key, value in told[0].items():
        values = [one[key] for one in told]
        joined[key] = _joined(values) if isinstance(value, Mapping) else torch.cat(values)
    return joined
