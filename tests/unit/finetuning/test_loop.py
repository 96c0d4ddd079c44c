"""The training loop resumes exactly, keeps the average, and stops on a loss that is not a number."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tenfold.core.errors import StageError
from tenfold.core.progress import NullProgress
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.finetuning.checkpointing import averaged_weights, newest_checkpoint
from tenfold.finetuning.loop import LoopSettings, LossTrace, train
from tenfold.finetuning.optimizing import learning_rate_factor


class Regression:
    """A small network fitted to random targets; ``nan_at`` and ``stop_at`` break it at a step."""

    def __init__(self, *, nan_at: int = -1, stop_at: int = -1) -> None:
        generator = torch_generator(5)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.SiLU(), torch.nn.Linear(8, 1)
        )
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        self.nan_at, self.stop_at = nan_at, stop_at

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"net": self.net}

    def loss(self, step: int) -> torch.Tensor:
        if step == self.stop_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 4, generator=torch_generator(derive_seed(1, "step", step)))
        loss = (self.net(x) - x.sum(1, keepdim=True)).square().mean()
        return loss * math.nan if step == self.nan_at else loss


def _settings(**changes: object) -> LoopSettings:
    defaults: dict[str, object] = {
        "max_train_steps": 23, "learning_rate": 0.01, "lr_scheduler": "cosine", "lr_warmup_steps": 3, "ema_decay": 0.9,
        "checkpointing_steps": 5,
    }  # fmt: skip
    return LoopSettings(**{**defaults, **changes})  # type: ignore[arg-type]


def _train(objective: Regression, settings: LoopSettings, folder: Path) -> LossTrace:
    with NullProgress().task("train", settings.max_train_steps) as task:
        return train(objective, settings, folder, task)


def test_resumed_run_equals_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    whole = Regression()
    trace = _train(whole, _settings(), tmp_path / "whole")
    for stop_at in (12, 17):
        with pytest.raises(KeyboardInterrupt):
            _train(Regression(stop_at=stop_at), _settings(), tmp_path / "cut")
    again = Regression()
    resumed = _train(again, _settings(), tmp_path / "cut")
    assert resumed.resumed_at_step == 15
    assert resumed.losses == trace.losses
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(tensor, again.net.state_dict()[name]), name
    assert (tmp_path / "whole/losses.csv").read_bytes() == (tmp_path / "cut/losses.csv").read_bytes()


def test_finished_run_is_loaded_not_repeated(tmp_path: Path) -> None:
    first = Regression()
    _train(first, _settings(), tmp_path)
    second = Regression(stop_at=0)
    assert _train(second, _settings(), tmp_path).resumed_at_step == 23
    assert all(torch.equal(a, b) for a, b in zip(first.net.parameters(), second.net.parameters(), strict=True))


def test_damaged_newest_checkpoint_is_passed_over(tmp_path: Path) -> None:
    _train(Regression(), _settings(max_train_steps=10), tmp_path)
    newest = tmp_path / "checkpoints" / "step-00000010.safetensors"
    newest.write_bytes(newest.read_bytes()[:200])
    state = newest_checkpoint(tmp_path / "checkpoints")
    assert state is not None and state.step == 5


def test_loss_that_is_not_a_number_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="step 13"):
        _train(Regression(nan_at=12), _settings(), tmp_path)
    state = newest_checkpoint(tmp_path / "checkpoints")
    assert state is not None and state.step == 10


def test_moving_average_is_what_the_modules_hold_afterwards(tmp_path: Path) -> None:
    averaged, raw = Regression(), Regression()
    _train(averaged, _settings(), tmp_path / "averaged")
    _train(raw, _settings(ema_decay=0.0), tmp_path / "raw")
    _, weights = averaged_weights(tmp_path / "averaged")
    assert torch.equal(weights["net.0.weight"], averaged.net.state_dict()["0.weight"])
    assert not torch.equal(raw.net.state_dict()["0.weight"], averaged.net.state_dict()["0.weight"])


def test_module_learning_rates_are_followed_and_checked(tmp_path: Path) -> None:
    frozen = Regression()
    before = {name: tensor.clone() for name, tensor in frozen.net.named_parameters()}
    settings = _settings(module_learning_rates={"net": 0.0}, adam_weight_decay=0.0)
    _train(frozen, settings, tmp_path / "frozen")
    assert all(torch.allclose(before[name], tensor) for name, tensor in frozen.net.named_parameters())
    with pytest.raises(StageError, match="not trained"):
        _train(Regression(), _settings(module_learning_rates={"unet": 0.1}), tmp_path / "unknown")


def test_learning_rate_warms_up_and_decays() -> None:
    settings = _settings(max_train_steps=100, lr_warmup_steps=10)
    assert learning_rate_factor(0, settings) == pytest.approx(0.1)
    assert learning_rate_factor(10, settings) == pytest.approx(1.0)
    assert learning_rate_factor(55, settings) == pytest.approx(0.5)
    assert learning_rate_factor(99, settings) < 0.001
