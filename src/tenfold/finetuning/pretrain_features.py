"""Pretraining of the feature net on what the archive knows: condition, kind, attributes and skin type of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tenfold.core.seeds import derive_seed, numpy_generator, torch_generator
from tenfold.data.transforms import Augmentation, augment
from tenfold.finetuning.pretrain_archive import Archive
from tenfold.models.small_net import SmallNet

# Colors tell skin types and conditions apart, so they are moved less than places are.
_AUGMENTATION = Augmentation(
    crop_scale=(0.5, 1.0),
    crop_ratio=(0.85, 1.18),
    rotation_degrees=180.0,
    brightness=0.15,
    contrast=0.15,
    saturation=0.15,
)
_UNKNOWN = -1


def build_feature_net(channels: Sequence[int], *, seed: int) -> SmallNet:
    """A SmallNet without classes, with freshly drawn weights."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(derive_seed(seed, "features")).get_state())
        net = SmallNet(0, channels)
    return net.to(memory_format=torch.channels_last)


def teaches_features(archive: Archive) -> bool:
    """Whether the archive answers any question that a feature net could learn from: images alone teach it nothing."""
    told = (len(set(archive.labels)) > 1, len(set(archive.kinds)) > 1, any(archive.attributes))
    return any(told) or bool((archive.skin_types > 0).any())


class FeatureObjective:
    """Four questions asked of each augmented image; one that the archive has no answer to costs nothing."""

    def __init__(self, net: SmallNet, archive: Archive, *, batch_size: int, seed: int) -> None:
        """The heads that answer are trained beside the net and left behind."""
        self._net, self._archive, self._batch_size, self._seed = net, archive, batch_size, seed
        self._targets = _Targets(archive)
        self._heads = nn.ModuleDict(
            {name: nn.Linear(net.num_features, size) for name, size in self._targets.sizes.items() if size}
        )
        self._device = next(net.parameters()).device
        self._heads.to(self._device)
        for parameter in self._heads.parameters():
            nn.init.zeros_(parameter)

    def modules(self) -> Mapping[str, nn.Module]:
        """The net and its heads."""
        return {"net": self._net, "heads": self._heads}

    def loss(self, step: int) -> torch.Tensor:
        """Scalar loss of the images of this step."""
        seed = derive_seed(self._seed, "features", step)
        rows = np.sort(numpy_generator(seed).integers(len(self._archive), size=self._batch_size))
        images = torch.from_numpy(self._archive.images[rows]).permute(0, 3, 1, 2).float().div_(255)
        images = augment(images, _AUGMENTATION, torch_generator(seed))
        images = images.to(self._device).contiguous(memory_format=torch.channels_last)
        features = self._net.forward_features(images)
        cost = features.new_zeros(())
        for name in ("label", "kind", "skin_type"):
            if self._targets.sizes[name] > 1:
                answer = torch.from_numpy(self._targets.classes[name][rows]).to(self._device)
                losses = F.cross_entropy(self._heads[name](features), answer, ignore_index=_UNKNOWN, reduction="sum")
                cost = cost + losses / max(1, int((answer != _UNKNOWN).sum()))
        if self._targets.sizes["attributes"]:
            wanted = torch.from_numpy(self._targets.attributes[rows]).to(self._device)
            cost = cost + 5 * F.binary_cross_entropy_with_logits(self._heads["attributes"](features), wanted)
        return cost


class _Targets:
    """The archive's answers as numbers: a class per question (-1 unknown) and (N, A) float32 attributes."""

    def __init__(self, archive: Archive) -> None:
        labels = sorted(set(archive.labels) - {""})
        kinds = sorted(set(archive.kinds) - {""})
        names = sorted({name for named in archive.attributes for name in named})
        self.sizes = {"label": len(labels), "kind": len(kinds), "skin_type": 6, "attributes": len(names)}
        self.classes = {
            "label": _numbered(archive.labels, labels),
            "kind": _numbered(archive.kinds, kinds),
            "skin_type": archive.skin_types - 1,
        }
        place = {name: index for index, name in enumerate(names)}
        self.attributes = np.zeros((len(archive), len(names)), dtype=np.float32)
        for row, named in enumerate(archive.attributes):
            self.attributes[row, [place[name] for name in named]] = 1


def _numbered(values: Sequence[str], known: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    place = {value: index for index, value in enumerate(known)}
    return np.array([place.get(value, _UNKNOWN) for value in values], dtype=np.int64)
