"""A linear start of the autoencoder: its first latents are the principal components of picture patches.

From random weights a small autoencoder first spends thousands of steps on finding colors, because group
normalization hides absolute values from it. Here the stream between the residual blocks carries picture values
unchanged: a pair of large constant channels in each group fixes what the normalization divides by, and the residual
branches begin at zero. Encoding then equals a projection on principal components, decoding gives each patch its
mean color, and training goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from numpy.typing import NDArray
from torch import nn

from tenfold.core.errors import InputError

_ANCHOR = 16.0
_ENCODER_BIAS, _DECODER_BIAS = 6.0, 4.0
_FIRST_LOGVAR = -6.0
_STREAM_COMPONENTS = 24


@dataclass(frozen=True)
class _Components:
    """Principal components of patches: means (P,), vectors (P, K) and the spread of each projection (K,)."""

    means: torch.Tensor
    vectors: torch.Tensor
    spreads: torch.Tensor


@torch.no_grad()
def start_linear(vae: AutoencoderKL, images: NDArray[np.uint8]) -> None:
    """Set a freshly built autoencoder's weights so that it projects on the components of (N, H, W, 3) uint8 images.

    Raises:
        InputError: the autoencoder is too narrow to carry all values of a patch.
    """
    depth = len(vae.config["block_out_channels"])
    slots = {width: _Slots(width, vae.config["norm_num_groups"]) for width in vae.config["block_out_channels"]}
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
            module.norm1.weight.copy_(slots[module.norm1.num_channels].scale())
    latent_channels = vae.config["latent_channels"]
    stream = min(_STREAM_COMPONENTS, len(slots[vae.config["block_out_channels"][-1]].pairs))
    components = _components(_patches(images, depth - 1), max(stream, latent_channels))
    _start_encoder(vae, slots, components, latent_channels)
    _start_decoder(vae, slots, components, latent_channels)


def hold_anchors(vae: AutoencoderKL) -> None:
    """Keep the anchors constant in training: no gradient reaches what writes them or reads them from the stream."""
    group_count = vae.config["norm_num_groups"]
    slots = {width: _Slots(width, group_count) for width in vae.config["block_out_channels"]}
    for name, module in vae.named_modules():
        is_stream_norm = name.endswith(("norm1", "conv_norm_out"))
        if is_stream_norm:
            anchors = slots[module.num_channels].anchors
            _hold(module.weight, anchors)
            _hold(module.bias, anchors)
        elif name.endswith(("conv2", "conv_in", "conv_shortcut", "samplers.0.conv")):
            _hold(module.weight, slots[module.out_channels].anchors)
            _hold(module.bias, slots[module.out_channels].anchors)
            if name.endswith(("conv_shortcut", "samplers.0.conv")):
                _hold(module.weight, slots[module.in_channels].anchors, dim=1)


class _Slots:
    """Which channels of a stream are the anchors of their normalization group, and which carry values."""

    def __init__(self, width: int, group_count: int) -> None:
        size = width // group_count
        self.width, self.size = width, size
        self.plus = [group * size for group in range(group_count)]
        self.minus = [group * size + 1 for group in range(group_count)]
        self.anchors = self.plus + self.minus
        # Round the groups, two neighbors at a time: a value and its negative share a group, so its mean stays zero.
        self.pairs = [
            (group * size + place, group * size + place + 1)
            for place in range(2, size - 1, 2)
            for group in range(group_count)
        ]
        self.values = [channel for pair in self.pairs for channel in pair]

    def scale(self) -> torch.Tensor:
        """Normalization weights that undo the division by the anchors' spread, and hide the anchors."""
        weights = torch.full((self.width,), _ANCHOR * (2 / self.size) ** 0.5)
        weights[self.anchors] = 0.0
        return weights


def _hold(parameter: nn.Parameter, places: list[int], dim: int = 0) -> None:
    if not parameter.requires_grad:
        return
    moves = torch.ones_like(parameter).index_fill_(dim, torch.tensor(places, device=parameter.device), 0.0)
    parameter.register_hook(lambda gradient: gradient * moves)


def _start_encoder(vae: AutoencoderKL, slots: dict[int, _Slots], components: _Components, latent_channels: int) -> None:
    widths = vae.config["block_out_channels"]
    _carry(vae.encoder.conv_in, slots[widths[0]], torch.eye(3), slots[widths[0]].values, range(3))
    for channel, sign in [(c, 1.0) for c in slots[widths[0]].plus] + [(c, -1.0) for c in slots[widths[0]].minus]:
        vae.encoder.conv_in.bias[channel] = sign * _ANCHOR
    count = 3
    for level, block in enumerate(vae.encoder.down_blocks):
        here = slots[widths[level]]
        if level > 0:
            before = slots[widths[level - 1]]
            rows, bias = torch.eye(count), None
            targets: Sequence[int] = here.values
            if level == len(widths) - 1:
                plain = (components.vectors / components.spreads).T
                rows = torch.stack([plain, -plain], dim=1).flatten(0, 1)
                bias = -(rows @ components.means)
            _carry(_shortcut(block), here, rows, targets, before.values[:count], source=before, bias=bias)
        if block.downsamplers is not None:
            _space_to_depth(block.downsamplers[0].conv, here, count)
            count *= 4
    last = slots[widths[-1]]
    norm, out = vae.encoder.conv_norm_out, vae.encoder.conv_out
    norm.weight.copy_(last.scale())
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    out.bias[latent_channels:] = _FIRST_LOGVAR
    for number, (plus, minus) in enumerate(last.pairs[: len(components.spreads)]):
        norm.bias[[plus, minus]] = _ENCODER_BIAS
        if number < latent_channels:
            out.weight[number, plus, 1, 1], out.weight[number, minus, 1, 1] = 0.5, -0.5
    _identity(vae.quant_conv)


def _start_decoder(vae: AutoencoderKL, slots: dict[int, _Slots], components: _Components, latent_channels: int) -> None:
    widths = vae.config["block_out_channels"]
    _identity(vae.post_quant_conv)
    top = slots[widths[-1]]
    vectors = components.vectors[:, :latent_channels] * components.spreads[:latent_channels]
    colors = vectors.reshape(-1, 3, latent_channels).mean(dim=0)
    plain = torch.cat([colors, torch.eye(latent_channels)])
    means = torch.cat([components.means.reshape(-1, 3).mean(dim=0), torch.zeros(latent_channels)])
    rows = torch.stack([plain, -plain], dim=1).flatten(0, 1)
    bias = torch.stack([means, -means], dim=1).flatten()
    _carry(vae.decoder.conv_in, top, rows, top.values, range(latent_channels), bias=bias)
    for channel, sign in [(c, 1.0) for c in top.plus] + [(c, -1.0) for c in top.minus]:
        vae.decoder.conv_in.bias[channel] = sign * _ANCHOR
    count = len(rows)
    before = top
    for block, width in zip(vae.decoder.up_blocks, reversed(widths), strict=True):
        here = slots[width]
        if here is not before:
            count = min(count, len(here.values))
            _carry(_shortcut(block), here, torch.eye(count), here.values, before.values[:count], source=before)
        if block.upsamplers is not None:
            conv = block.upsamplers[0].conv
            _carry(conv, here, torch.eye(count), here.values, here.values[:count], source=here)
        before = here
    norm, out = vae.decoder.conv_norm_out, vae.decoder.conv_out
    norm.weight.copy_(before.scale())
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    slope = 2 * float(torch.autograd.functional.jacobian(nn.functional.silu, torch.tensor(_DECODER_BIAS)))
    for color, (plus, minus) in enumerate(before.pairs[:3]):
        norm.bias[[plus, minus]] = _DECODER_BIAS
        out.weight[color, plus, 1, 1], out.weight[color, minus, 1, 1] = 1 / slope, -1 / slope


def _carry(
    conv: nn.Conv2d, here: _Slots, rows: torch.Tensor, targets: Sequence[int], sources: Sequence[int], *,
    source: _Slots | None = None, bias: torch.Tensor | None = None,
) -> None:  # fmt: skip
    """Let ``targets`` be ``rows @ sources`` at the kernel's middle and pass the anchors on; the rest stays random."""
    if len(rows) > len(targets):
        raise InputError(
            f"the autoencoder has {len(targets)} free channels where {len(rows)} values must pass",
            where="autoencoder.block_out_channels and norm_num_groups",
            expected="3, 12, 48 ... values per level beside two anchors in each normalization group",
            todo="widen the level or use fewer groups",
        )
    middle = conv.kernel_size[0] // 2
    anchors = here.anchors
    chosen = list(targets[: len(rows)])
    if source is not None:
        conv.weight[:, source.anchors] = 0.0
    conv.weight[chosen + anchors] = 0.0
    biases: torch.Tensor = conv.bias  # type: ignore[assignment]
    biases[chosen + anchors] = 0.0
    for target, row in zip(chosen, rows, strict=True):
        conv.weight[target, list(sources), middle, middle] = row
    if bias is not None:
        biases[chosen] = bias
    if source is not None:
        for target, origin in zip(anchors, source.anchors, strict=True):
            conv.weight[target, origin, middle, middle] = 1.0


def _space_to_depth(conv: nn.Conv2d, slots: _Slots, count: int) -> None:
    """Each 2 x 2 block of ``count`` values becomes 4 x ``count`` values, in the order (row, column, value)."""
    targets = slots.values[: 4 * count]
    _carry(conv, slots, torch.zeros(4 * count, count), slots.values, slots.values[:count], source=slots)
    for place in range(4):
        for value in range(count):
            conv.weight[targets[place * count + value], slots.values[value], place // 2, place % 2] = 1.0


def _shortcut(block: nn.Module) -> nn.Conv2d:
    shortcut = block.resnets[0].conv_shortcut  # type: ignore[index, union-attr]
    if not isinstance(shortcut, nn.Conv2d):
        raise InputError(
            "two neighboring levels of the autoencoder have the same width",
            where="autoencoder.block_out_channels",
            expected="widths that differ from level to level",
        )
    return shortcut


def _identity(conv: nn.Conv2d) -> None:
    conv.weight.copy_(torch.eye(conv.out_channels)[:, :, None, None])
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _patches(images: NDArray[np.uint8], halvings: int) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (patches, values) float64 in [-1, 1], in the order of repeated ``_space_to_depth``."""
    values = torch.from_numpy(np.array(images)).double() / 127.5 - 1
    for _ in range(halvings):
        blocks = values.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
        values = blocks.permute(0, 1, 3, 2, 4, 5).flatten(3)
    return values.flatten(0, 2)


def _components(patches: torch.Tensor, count: int) -> _Components:
    means = patches.mean(dim=0)
    variances, vectors = torch.linalg.eigh(torch.cov((patches - means).T))
    order = torch.argsort(variances, descending=True)[:count]
    return _Components(means.float(), vectors[:, order].float(), variances[order].clamp_min(1e-12).sqrt().float())
