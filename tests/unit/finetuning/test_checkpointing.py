"""A training's state on disk: the same tensors come back, whatever their order in memory, and none is copied before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tenfold.finetuning import checkpointing
from tenfold.finetuning.checkpointing import TrainingState, newest_checkpoint, save_checkpoint


def _state() -> TrainingState:
    tensors = {
        "channels last": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "one pixel": torch.arange(6.0).reshape(2, 3, 1, 1).to(memory_format=torch.channels_last),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "plain": torch.arange(24.0).reshape(2, 3, 4),
        "scalar": torch.tensor(3.0),
        "repeated": torch.tensor([1.0, 2.0]).expand(3, 2),
    }
    return TrainingState(2, tensors, [0.5, 0.25])


def test_tensors_come_back_equal_in_whatever_order_they_lay(tmp_path: Path) -> None:
    state = _state()
    save_checkpoint(tmp_path, state)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.losses) == (2, [0.5, 0.25])
    assert set(found.tensors) == set(state.tensors)
    for name, tensor in state.tensors.items():
        assert found.tensors[name].shape == tensor.shape, name
        assert torch.equal(found.tensors[name], tensor), name


def test_weights_with_their_channels_last_are_not_copied_to_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, written = _state(), {}

    def look(tensors: dict[str, torch.Tensor], *rest: Any, **others: Any) -> None:
        written.update({name: tensor.data_ptr() for name, tensor in tensors.items()})
        save_file(tensors, *rest, **others)

    monkeypatch.setattr(checkpointing, "save_file", look)
    save_checkpoint(tmp_path, state)
    for name in ("channels last", "one pixel", "turned", "plain"):
        assert written[name] == state.tensors[name].data_ptr(), name
