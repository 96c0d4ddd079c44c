"""Export: a predictor as a folder of its own, with safetensors, ONNX held against the network, and a model card."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from tenfold.classification.model_card import classifier_card
from tenfold.classification.predictor import WEIGHTS, Predictor
from tenfold.classification.preparing import write_record
from tenfold.core.errors import InputError, StageError
from tenfold.core.files import write_atomic, write_text_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.seeds import numpy_generator

ONNX = "model.onnx"
INPUT, OUTPUTS = "images", ("logits", "probabilities")
TOLERANCE = 1e-4
_CHECKED_BATCHES = (1, 3)
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def export_predictor(predictor: Predictor, folder: Path, *, with_onnx: bool) -> list[str]:
    """Write the predictor to `folder`; the names of its files. A timm model's weights get timm's own names.

    Raises:
        InputError: the packages for ONNX are missing.
        StageError: ONNX Runtime answers otherwise than the network.
    """
    if with_onnx:
        require_onnx()
    model = predictor.model.cpu().float()
    inner: Any = getattr(model, "backbone", model)
    state = {name: tensor.detach().contiguous().clone() for name, tensor in inner.state_dict().items()}
    with write_atomic(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)
    record = replace(predictor.record, weights_sha256=sha256_file(folder / WEIGHTS))
    write_record(folder, record, predictor.reference)
    difference = None
    if with_onnx:
        with write_atomic(folder / ONNX) as temporary:
            served = _Served(model.eval(), record.calibration.temperature)
            difference = _write_onnx(served, record.preparation.image_size_px, temporary)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    card = classifier_card(record, parameters, input_px=getattr(model, "size_px", None), onnx_difference=difference)
    write_text_atomic(folder / "README.md", card)
    return sorted(path.name for path in folder.iterdir())


def require_onnx() -> None:
    """Raises InputError when the packages that write and check ONNX are not installed."""
    try:
        for name in _PACKAGES:
            import_module(name)
    except ImportError as error:
        raise InputError(
            f"ONNX cannot be written: {name} is not installed",
            expected=f"the packages {', '.join(_PACKAGES)}",
            todo="Install tenfold[onnx], or export with --no-onnx.",
        ) from error


class _Served(nn.Module):
    """Images (N, 3, H, W) float32 in [0, 1] to logits and calibrated probabilities, both (N, C)."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(images)
        return logits, torch.softmax(logits / self.temperature, dim=1)


def _write_onnx(served: nn.Module, image_size_px: int, path: Path) -> float:
    """Write the network for any batch size; the largest difference that ONNX Runtime's answers show, after a check."""
    import onnxruntime

    shape = (3, image_size_px, image_size_px)
    example = torch.zeros((2, *shape))
    with _quiet():
        program = torch.onnx.export(
            served.eval(), (example,), dynamo=True, external_data=False, input_names=[INPUT],
            output_names=list(OUTPUTS), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        )  # fmt: skip
        if program is None:
            raise StageError("torch wrote no ONNX program")
        program.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator, largest = numpy_generator(0), 0.0
    for count in _CHECKED_BATCHES:
        images = generator.random((count, *shape), dtype=np.float32)
        with torch.inference_mode():
            wanted = [answer.numpy() for answer in served(torch.from_numpy(images))]
        found = session.run(list(OUTPUTS), {INPUT: images})
        largest = max(largest, *(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True)))
    if not largest <= TOLERANCE:
        raise StageError(
            f"ONNX Runtime's answers differ by {largest:.2g} from the network's",
            expected=f"at most {TOLERANCE}",
            todo="Export with --no-onnx, and tell us the model's name.",
        )
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter tells of its passes; what matters is checked afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
