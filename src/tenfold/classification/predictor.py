"""A predictor: a trained network with all that an answer about a new image needs, kept as a folder.

The folder holds model.safetensors, predictor.json and reference.safetensors, and needs no workspace. A cell of a
workspace keeps the last two in classifiers/<cell>/predictor/ (`preparing`); an export holds all three (`export`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import nn

from tenfold.classification.counting import CountedUnit
from tenfold.classification.novelty import Reference
from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_file
from tenfold.core.plain import from_plain
from tenfold.data.images import ResizeMode
from tenfold.models.classifier_presets import NetworkOptions
from tenfold.models.classifiers import Classifier, build_classifier
from tenfold.models.features import to_batch

FORMAT_VERSION = 1
WEIGHTS, RECORD, REFERENCE = "model.safetensors", "predictor.json", "reference.safetensors"
SUBFOLDER = "predictor"
CELL_FIELDS = (
    "arm", "model", "training_size", "synthetic_ratio", "synthetic_share", "transforms", "strategy",
    "generator_budget", "subset_seed", "generator_seed", "classifier_seed",
)  # fmt: skip
"""The columns of a predictions table that are the cell's, in their order."""

_BATCH_SIZE = 128
_NO_GAIN = 0.005
_LAYOUT = f"a folder with {WEIGHTS}, {RECORD} and {REFERENCE}, as `tenfold models export` writes it"


@dataclass(frozen=True)
class Preparation:
    """How images were made square for the training, and so must be here; dicom_window as the intake takes it."""

    image_size_px: int
    resize_mode: ResizeMode
    dicom_window: str


@dataclass(frozen=True)
class Calibration:
    """The temperature that divides the logits, fitted on the validation images; log losses before and after on these.

    log_loss_chance: of an answer that only says how common each class is among them. note: why there is no temperature
    (it is 1 then), or empty. n_patients: patients, or groups where an image names none (counted_unit).
    """

    temperature: float
    n_images: int
    n_patients: int
    log_loss_before: float | None
    log_loss_after: float | None
    log_loss_chance: float | None
    note: str
    counted_unit: CountedUnit = "patient"

    @property
    def is_no_better_than_chance(self) -> bool:
        """Whether the calibrated answers tell nothing about the validation images that their counts do not."""
        if self.log_loss_after is None or self.log_loss_chance is None:
            return False
        return self.log_loss_after >= self.log_loss_chance - _NO_GAIN


@dataclass(frozen=True)
class Network:
    """What decides the network's shape."""

    model: str
    options: NetworkOptions


@dataclass(frozen=True)
class PredictorRecord:
    """predictor.json. cell: the columns of its predictions that are the same in every row; training: facts."""

    format_version: int
    name: str
    labels: tuple[str, ...]
    network: Network
    weights_sha256: str
    preparation: Preparation
    calibration: Calibration
    n_reference: int
    n_held_out: int
    cell: Mapping[str, Any]
    training: Mapping[str, Any]
    data_license: str
    tenfold_version: str

    def columns(self) -> dict[str, Any]:
        """What stands alike in every row of its predictions; they are on no sealed test set."""
        return {**{name: self.cell[name] for name in CELL_FIELDS}, "test_sha256": pd.NA}


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation mode on its device, with its record and its reference of training images."""

    record: PredictorRecord
    model: nn.Module
    reference: Reference


def load_predictor(folder: Path, device: str, *, weights: Path | None = None) -> Predictor:
    """The predictor of a folder; `weights`: the model's file where it lies elsewhere.

    Raises:
        CheckpointError: files are missing, damaged, of another format, or do not belong together.
    """
    weights = weights or folder / WEIGHTS
    record = read_record(folder)
    absent = [path.name for path in (weights, folder / REFERENCE) if not path.is_file()]
    if absent:
        raise CheckpointError(f"{' and '.join(absent)} are missing", where=str(folder), expected=_LAYOUT)
    if sha256_file(weights) != record.weights_sha256:
        raise CheckpointError(
            "the model's weights are not those that the predictor was made with",
            where=str(weights),
            expected=f"the SHA-256 {record.weights_sha256[:16]}...",
            todo="Export the classifier again, or copy the folder whole.",
        )
    model = rebuild(record.network, len(record.labels), weights)
    try:
        arrays = load_arrays(folder / REFERENCE)
        reference = Reference(arrays["features"], arrays["null"])
    except Exception as error:
        raise CheckpointError(f"the reference is damaged: {error}", where=str(folder / REFERENCE)) from error
    return Predictor(record, model.to(device).to(memory_format=torch.channels_last), reference)


def read_record(folder: Path) -> PredictorRecord:
    """predictor.json of a folder. Raises CheckpointError when there is none or it cannot be read."""
    path = folder / RECORD
    if not path.is_file():
        raise CheckpointError("there is no predictor here", where=str(folder), expected=_LAYOUT)
    content = read_json(path)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"the predictor has format version {version!r}",
            where=str(path),
            expected=f"format version {FORMAT_VERSION}",
        )
    try:
        return from_plain(PredictorRecord, content)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the predictor's record is damaged: {error}", where=str(path)) from error


def rebuild(network: Network, class_count: int, weights: Path) -> nn.Module:
    """The network with its trained weights, in evaluation mode on the CPU; nothing may be missing or left over.

    Weights of a timm model may be named as here or as by timm itself.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
    """
    model = build_classifier(network.model, class_count, pretrained=False, options=network.options)
    try:
        state = load_file(weights)
        is_plain = isinstance(model, Classifier) and not any(name.startswith("backbone.") for name in state)
        target: Any = model.backbone if is_plain else model
        target.load_state_dict(state)
    except Exception as error:
        raise CheckpointError(
            f"the weights do not fit the network {network.model}: {str(error).splitlines()[0]}",
            where=str(weights),
            expected="the file that the training wrote",
        ) from error
    return model.eval()


def logits_and_features(model: nn.Module, images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits (N, C), and what the last layer is given, (N, D), of images (N, H, W, 3) uint8, at least one."""
    device = next(model.parameters()).device
    kept: list[torch.Tensor] = []
    logits, features = [], []
    hook = last_layer(model).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH_SIZE):
                batch = to_batch(images[start : start + _BATCH_SIZE]).to(device)
                logits.append(model(batch).float().cpu().numpy())
                features.append(kept.pop().flatten(start_dim=1).float().cpu().numpy())
    finally:
        hook.remove()
    return np.concatenate(logits).astype(np.float64), np.concatenate(features)


def last_layer(model: nn.Module) -> nn.Module:
    """The layer that turns features into logits, by timm's `get_classifier`."""
    head: Any = getattr(model, "backbone", model)
    layer = head.get_classifier()
    if not isinstance(layer, nn.Module):
        raise CheckpointError("the network has several last layers", expected="a network with one")
    return layer
