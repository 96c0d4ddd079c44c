"""Features of images by the embedded feature net, for classifiers to start from and audits to measure with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.models import embedded
from tenfold.models.small_net import SmallNet

NATIVE_SIZE_PX = 64
_BATCH_SIZE = 64


def extract_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features (N, D) of images (N, H, W, 3) uint8, by the embedded feature net on images of 64 px.

    Larger or smaller images are resized first. The batches are fixed, so the same images give the same features.
    """
    net = load_feature_net().eval().to(memory_format=torch.channels_last)
    parts = [np.empty((0, net.num_features), dtype=np.float32)]
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH_SIZE):
            batch = resized(to_batch(images[start : start + _BATCH_SIZE]), NATIVE_SIZE_PX)
            parts.append(net.forward_features(batch).numpy())
    return np.concatenate(parts)


def load_feature_net(class_count: int = 0) -> SmallNet:
    """The embedded feature net in float32, with a last layer of zeros for `class_count` classes (0: none).

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    folder = embedded.features_path()
    net = SmallNet(0, _channels(folder))
    try:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    except (RuntimeError, OSError) as error:
        raise CheckpointError(
            f"the embedded feature net does not fit its code: {error}",
            where=str(folder),
            todo="install the package again",
        ) from error
    net.reset_classifier(class_count)
    return net


def fresh_feature_net(class_count: int) -> SmallNet:
    """The same network with weights drawn from torch's global stream instead: the net without its archive."""
    net = SmallNet(0, _channels(embedded.features_path()))
    net.reset_classifier(class_count)
    return net


def to_batch(images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(255.0)


def resized(images: torch.Tensor, size_px: int) -> torch.Tensor:
    """(B, 3, H, W) -> (B, 3, size_px, size_px), bilinear with antialiasing; as they are when they have that size."""
    if images.shape[2:] == (size_px, size_px):
        return images
    return torch.nn.functional.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)


def _channels(folder: Path) -> tuple[int, ...]:
    return tuple(int(width) for width in read_json(folder / "config.json")["channels"])
