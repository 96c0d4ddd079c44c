"""Features of a frozen backbone, made once and kept by content: pixels, backbone, size and view."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import nn

from tenfold.core.errors import InputError
from tenfold.core.files import write_atomic
from tenfold.core.hashing import canonical_json, sha256_bytes
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.data.transforms import PAPER, Augmentation, augment
from tenfold.models.features import to_batch

FOLDER = "cache/features"
"""Where a workspace keeps them; it may be deleted at any time."""

BATCH_SIZE = 16
GPU_BATCH_SIZE = 256
_KEY_BYTES = 32


@dataclass(frozen=True)
class Views:
    """Which changed views of each image have features: `count` of them, drawn by `seed`, the pixels and the number."""

    count: int
    seed: int
    augmentation: Augmentation = PAPER


def last_layer(model: nn.Module) -> nn.Linear:
    """The classifier's last linear layer; its input is what is called features.

    Raises:
        InputError: the model ends otherwise.
    """
    layer = getattr(model, "get_classifier", nn.Identity)()
    if not isinstance(layer, nn.Linear):
        raise InputError(
            f"this classifier ends in {type(layer).__name__}, so its features have no known place",
            where="classify.model",
            expected="a model of timm's whose last layer is linear, such as resnet18, or embedded:small",
            todo="choose another model, or train all of it (train=full)",
        )
    return layer


def features_of(
    model: nn.Module, images: NDArray[np.uint8], cache_folder: Path | None = None, views: Views | None = None
) -> NDArray[np.float32]:
    """Features (N, D) of images (N, H, W, 3) uint8, at least one; with views (N, count, D).

    Features are what enters the last layer of the model in evaluation mode, whatever that layer's weights are. What is
    in the cache is read; the rest is made in batches of one shape, so that no neighbor changes a feature, and added.

    Args:
        cache_folder: the workspace's `cache/features`; None keeps nothing.
    """
    keys = [_key(pixels, views, number) for pixels in map(_pixel_key, images) for number in _numbers(views)]
    folder = None if cache_folder is None else cache_folder / backbone_digest(model)
    known = {} if folder is None else _read(folder, keys)
    missing = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
    if missing:
        places = sorted(missing.values())
        made = _make(model, images, views, places)
        new_keys = [keys[place] for place in places]
        if folder is not None:
            _write(folder, new_keys, made)
        known |= dict(zip(new_keys, made, strict=True))
    features = np.stack([known[key] for key in keys])
    return features if views is None else features.reshape(len(images), views.count, -1)


def backbone_digest(model: nn.Module) -> str:
    """SHA-256 of all that decides the features: structure, weights and buffers of all but the last layer, device."""
    head = last_layer(model)
    digest = hashlib.sha256(next(model.parameters()).device.type.encode())
    for name, module in model.named_modules():
        if module is head:
            continue
        plain = {
            key: value
            for key, value in vars(module).items()
            if key != "training" and isinstance(value, str | int | float | bool | tuple | None) and key[0] != "_"
        }
        digest.update(f"{name} {type(module).__name__} {module.extra_repr()} {sorted(plain.items())}\n".encode())
        for own, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            digest.update(f"{own} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _numbers(views: Views | None) -> Sequence[int]:
    return range(1 if views is None else views.count)


def _pixel_key(image: NDArray[np.uint8]) -> str:
    return sha256_bytes(canonical_json(list(image.shape)).encode() + np.ascontiguousarray(image).tobytes())


def _key(pixels: str, views: Views | None, number: int) -> bytes:
    view = None if views is None else [views.seed, number, repr(views.augmentation)]
    return hashlib.sha256(canonical_json([pixels, view]).encode()).digest()


def _make(
    model: nn.Module, images: NDArray[np.uint8], views: Views | None, places: Sequence[int]
) -> NDArray[np.float32]:
    """Features (len(places), D); places count views within images."""
    layer, entered = last_layer(model), list[torch.Tensor]()
    hook = layer.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    was_training = {module: module.training for module in model.modules()}
    device = layer.weight.device
    size = BATCH_SIZE if device.type == "cpu" else GPU_BATCH_SIZE
    batch = torch.zeros((size, 3, *images.shape[1:3]), device=device).contiguous(memory_format=torch.channels_last)
    model.eval()
    try:
        parts = []
        for start in range(0, len(places), size):
            chosen = places[start : start + size]
            for slots, pixels in _pictures(images, views, chosen, device):
                batch[slots] = pixels
            entered.clear()
            with torch.inference_mode():
                model(batch)
            parts.append(entered[-1].float()[: len(chosen)].cpu().numpy())
    finally:
        hook.remove()
        for module, mode in was_training.items():
            module.training = mode
    return np.concatenate(parts)


def _pictures(
    images: NDArray[np.uint8], views: Views | None, places: Sequence[int], device: torch.device
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Slots of a batch and their pictures (B, 3, H, W) in [0, 1]; slots without one keep what they held."""
    if views is None:
        pixels = torch.from_numpy(images[list(places)]).to(device)
        yield slice(0, len(places)), pixels.permute(0, 3, 1, 2).float().div_(255.0)
        return
    for slot, place in enumerate(places):
        image, number = images[place // views.count], place % views.count
        seed = derive_seed(views.seed, "view", _pixel_key(image), number)
        yield slice(slot, slot + 1), augment(to_batch(image[None]), views.augmentation, torch_generator(seed))


_packs_of: dict[Path, dict[bytes, tuple[str, int]]] = {}
"""By folder: the pack and the row of each key, as far as this process has looked."""
_seen: dict[Path, set[str]] = {}


def _read(folder: Path, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
    """The features that the folder's packs hold."""
    index, seen = _packs_of.setdefault(folder, {}), _seen.setdefault(folder, set())
    if any(key not in index for key in keys):
        for path in sorted(folder.glob("[!.]*.safetensors")):
            if path.name not in seen:
                pack = _load(path)
                if pack is not None:
                    index |= {key.tobytes(): (path.name, row) for row, key in enumerate(pack["keys"])}
                    seen.add(path.name)
    wanted: dict[str, list[bytes]] = {}
    for key in dict.fromkeys(keys):
        if key in index:
            wanted.setdefault(index[key][0], []).append(key)
    found: dict[bytes, NDArray[np.float32]] = {}
    for name, held in wanted.items():
        pack = _load(folder / name)
        rows = [index[key][1] for key in held]
        if pack is None or pack["keys"][rows].tobytes() != b"".join(held):  # gone since, or another file by now
            for key in held:
                del index[key]
            seen.discard(name)
            continue
        found |= dict(zip(held, pack["features"][rows], strict=True))
    return found


def _write(folder: Path, keys: Sequence[bytes], features: NDArray[np.float32]) -> None:
    joined = b"".join(keys)
    path = folder / f"{sha256_bytes(joined)}.safetensors"
    table: dict[str, NDArray[Any]] = {
        "keys": np.frombuffer(joined, dtype=np.uint8).reshape(-1, _KEY_BYTES).copy(),
        "features": features,
    }
    with write_atomic(path) as temporary:
        save_file(table, temporary)
    _packs_of[folder] |= {key: (path.name, row) for row, key in enumerate(keys)}
    _seen[folder].add(path.name)


def _load(path: Path) -> dict[str, NDArray[Any]] | None:
    """A pack's keys (n, 32) and features (n, D); None when it is gone or damaged: then they are made anew."""
    try:
        pack = load_file(path)
    except (OSError, SafetensorError):
        return None
    return pack if pack.keys() == {"keys", "features"} and len(pack["keys"]) == len(pack["features"]) else None
