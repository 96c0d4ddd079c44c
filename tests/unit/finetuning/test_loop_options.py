"""What the loop offers beside plain steps: accumulation, module ends, watchers, kept weights, identity, precision."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tenfold.core.errors import InputError, StageError, StorageError
from tenfold.core.progress import NullProgress
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.finetuning.checkpointing import (
    TrainingState,
    load_weights,
    newest_checkpoint,
    save_checkpoint,
    saved_weights,
)
from tenfold.finetuning.loop import LoopSettings, LossTrace, train
from tenfold.finetuning.optimizing import optimizer_tensors, restore_optimizer, trained_parameters


class TwoParts:
    """A body and a head fitted together; ``memory_ends_at`` and ``stop_at`` break the batch of that number."""

    def __init__(self, *, memory_ends_at: int = -1, stop_at: int = -1) -> None:
        generator = torch_generator(5)
        self.body, self.head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)
        with torch.no_grad():
            for parameter in (*self.body.parameters(), *self.head.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        self.memory_ends_at, self.stop_at = memory_ends_at, stop_at
        self.batches: list[int] = []

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"body": self.body, "head": self.head}

    def loss(self, step: int) -> torch.Tensor:
        if step == self.stop_at:
            raise KeyboardInterrupt
        if step == self.memory_ends_at:
            raise torch.OutOfMemoryError("no room")
        self.batches.append(step)
        x = torch.randn(16, 4, generator=torch_generator(derive_seed(1, "batch", step)))
        return (self.head(torch.tanh(self.body(x))) - x.sum(1, keepdim=True)).square().mean()

    def weights(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in (*self.body.parameters(), *self.head.parameters())])


class Recorder:
    """Notes when it is asked, and the weights it then sees."""

    def __init__(self, objective: TwoParts, every_steps: int) -> None:
        self.objective, self.every_steps, self.seen = objective, every_steps, dict[int, torch.Tensor]()

    def look(self, step: int) -> Mapping[str, float]:
        assert not self.objective.body.training and not torch.is_grad_enabled()
        self.seen[step] = self.objective.weights()
        return {"seen": float(step)}


def _settings(**changes: object) -> LoopSettings:
    return LoopSettings(**{"max_train_steps": 8, "learning_rate": 0.02, "checkpointing_steps": 3, **changes})  # type: ignore[arg-type]


def _train(objective: TwoParts, settings: LoopSettings, folder: Path, **options: object) -> LossTrace:
    with NullProgress().task("train", settings.max_train_steps) as task:
        return train(objective, settings, folder, task, **options)  # type: ignore[arg-type]


def test_accumulated_batches_are_averaged(tmp_path: Path) -> None:
    objective, by_hand = TwoParts(), TwoParts()
    trace = _train(objective, _settings(max_train_steps=2, gradient_accumulation_steps=2, max_grad_norm=0), tmp_path)
    assert objective.batches == [0, 1, 2, 3]
    optimizer = torch.optim.AdamW([*by_hand.body.parameters(), *by_hand.head.parameters()], lr=0.02, weight_decay=0.01)
    for step in range(2):
        loss = (by_hand.loss(2 * step) + by_hand.loss(2 * step + 1)) / 2
        assert trace.losses[step] == pytest.approx(loss.item(), rel=1e-6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.allclose(objective.weights(), by_hand.weights(), atol=1e-6)


def test_a_module_can_end_before_the_others_and_a_resumed_run_agrees(tmp_path: Path) -> None:
    settings = _settings(module_max_steps={"head": 4}, module_learning_rates={"head": 0.01}, lr_scheduler="cosine")
    whole = TwoParts()
    after: dict[int, torch.Tensor] = {}

    class Head(Recorder):
        def look(self, step: int) -> Mapping[str, float]:
            after[step] = whole.head.weight.detach().clone()
            return {}

    _train(whole, settings, tmp_path / "whole", watchers=[Head(whole, 1)])
    assert torch.equal(after[4], after[8]) and not torch.equal(after[3], after[4])
    with pytest.raises(KeyboardInterrupt):
        _train(TwoParts(stop_at=7), settings, tmp_path / "cut")
    again = TwoParts()
    assert _train(again, settings, tmp_path / "cut").resumed_at_step == 6
    assert torch.equal(again.weights(), whole.weights())


def test_settings_for_a_module_that_is_not_trained_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="text_encoder"):
        _train(TwoParts(), _settings(module_max_steps={"text_encoder": 4}), tmp_path)


def test_watchers_look_at_the_average_and_leave_no_trace(tmp_path: Path) -> None:
    settings = _settings(ema_decay=0.5)
    plain, watched = TwoParts(), TwoParts()
    _train(plain, settings, tmp_path / "plain")
    recorder = Recorder(watched, every_steps=3)
    _train(watched, settings, tmp_path / "watched", watchers=[recorder])
    assert sorted(recorder.seen) == [0, 3, 6, 8]
    assert torch.equal(watched.weights(), plain.weights())
    assert torch.equal(recorder.seen[8], watched.weights())


def test_kept_weights_can_be_chosen_afterwards(tmp_path: Path) -> None:
    objective = TwoParts()
    recorder = Recorder(objective, every_steps=4)
    _train(objective, _settings(ema_decay=0.5, weights_every_steps=4), tmp_path, watchers=[recorder])
    kept = saved_weights(tmp_path / "weights")
    assert list(kept) == [4, 8]
    load_weights(kept[4], trained_parameters(objective.modules()))
    assert torch.equal(objective.weights(), recorder.seen[4])


def test_a_checkpoint_of_another_run_is_refused_with_the_differences(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _train(TwoParts(stop_at=5), _settings(identity={"learning_rate": 0.02, "images": ["a"]}), tmp_path)
    with pytest.raises(InputError) as caught:
        _train(TwoParts(), _settings(identity={"learning_rate": 0.5, "images": ["a"]}), tmp_path)
    assert "learning_rate: 0.02 in the checkpoint, 0.5 now" in str(caught.value)
    assert "images" not in str(caught.value)
    assert (
        _train(TwoParts(), _settings(identity={"learning_rate": 0.02, "images": ["a"]}), tmp_path).resumed_at_step == 3
    )


def test_out_of_memory_saves_the_last_finished_step_and_says_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="memory ran out at step 6") as caught:
        _train(TwoParts(memory_ends_at=5), _settings(), tmp_path)
    assert "train_batch_size" in str(caught.value) and "gradient_checkpointing" in str(caught.value)
    state = newest_checkpoint(tmp_path / "checkpoints")
    assert state is not None and state.step == 5
    whole, resumed = TwoParts(), TwoParts()
    _train(whole, _settings(), tmp_path / "whole")
    _train(resumed, _settings(), tmp_path)
    assert torch.equal(whole.weights(), resumed.weights())


def test_bfloat16_runs_beside_float32_in_one_process(tmp_path: Path) -> None:
    low = _train(TwoParts(), _settings(mixed_precision="bf16"), tmp_path / "low")
    full = _train(TwoParts(), _settings(), tmp_path / "full")
    assert low.losses != full.losses
    assert low.losses == pytest.approx(full.losses, rel=0.05)


class ByteAdam(torch.optim.Optimizer):
    """State as bitsandbytes keeps it: an int that is counted up, and bytes in the order of the weight."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        super().__init__(parameters, {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            if not state:
                moments = torch.arange(parameter.numel(), dtype=torch.uint8).view(parameter.shape)
                state.update(step=0, share=0.1, state1=torch.empty_like(parameter, dtype=torch.uint8).copy_(moments))
                state["absmax1"] = torch.ones(1)
            state["step"] += 1


def test_the_state_of_8bit_adam_is_resumed_with_its_numbers(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3, 2, 2).to(memory_format=torch.channels_last))
    first, second = ByteAdam([weight]), ByteAdam([weight])
    first.step()
    first.step()
    save_checkpoint(tmp_path, TrainingState(2, optimizer_tensors(first, {"body.weight": weight}), [1, 1]))
    state = newest_checkpoint(tmp_path)
    assert state is not None
    restore_optimizer(second, {"body.weight": weight}, state.tensors)
    found, expected = second.state[weight], first.state[weight]
    assert [(kind, type(found[kind])) for kind in expected] == [(kind, type(value)) for kind, value in expected.items()]
    assert found["share"] == 0.1 and torch.equal(found["state1"], expected["state1"])
    assert found["state1"].dtype == torch.uint8 and found["state1"].stride() == weight.stride()
    second.step()
    assert found["step"] == 3


def test_8bit_adam_without_a_gpu_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="8-bit Adam needs a CUDA device"):
        _train(TwoParts(), _settings(use_8bit_adam=True), tmp_path)


def test_an_unknown_tracker_and_one_that_is_not_installed_are_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = TwoParts()
    with pytest.raises(InputError, match="there is no tracker 'chalkboard'"):
        _train(objective, _settings(trackers=("chalkboard",)), tmp_path)
    monkeypatch.setattr("tenfold.finetuning.accelerating.get_available_trackers", list)
    with pytest.raises(InputError, match="tensorboard is asked for, but its package is not installed") as caught:
        _train(objective, _settings(trackers=("tensorboard",)), tmp_path)
    assert "pip install 'tenfold[tensorboard]'" in str(caught.value)
    assert not objective.batches and not list(tmp_path.iterdir())


def test_tensorboard_reads_the_figures_of_each_step_once_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tenfold[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = _settings(trackers=("tensorboard",))
    for stop_at in (2, 7, -1):
        objective = TwoParts(stop_at=stop_at)
        watchers = [Recorder(objective, every_steps=4)]
        if stop_at < 0:
            trace = _train(objective, settings, tmp_path, watchers=watchers)
        else:
            with pytest.raises(KeyboardInterrupt):
                _train(objective, settings, tmp_path, watchers=watchers)
    assert trace.resumed_at_step == 6
    (folder,) = (tmp_path / "trackers").iterdir()
    assert len(list(folder.iterdir())) == 3  # a file for each process
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "seen"}
    assert [one.step for one in events.Scalars("loss")] == list(range(1, 9))
    assert [one.value for one in events.Scalars("loss")] == pytest.approx(trace.losses, rel=1e-6)
    assert [(one.step, one.value) for one in events.Scalars("seen")] == [(0, 0.0), (4, 4.0), (8, 8.0)]


def test_weights_that_are_no_numbers_are_never_saved_over_good_ones(tmp_path: Path) -> None:
    class Overflows(TwoParts):
        def loss(self, step: int) -> torch.Tensor:
            # The root of nothing is nothing, its slope is not finite: the loss looks good and the step is not.
            return super().loss(step) + ((self.head.weight * 0).abs().sqrt().sum() if step == 5 else 0)

    with pytest.raises(StageError, match=r"the weights are no finite numbers after step 6") as caught:
        _train(Overflows(), _settings(weights_every_steps=2), tmp_path)
    assert "The state after step 3 is kept" in str(caught.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003.safetensors"]
    assert list(saved_weights(tmp_path / "weights")) == [2, 4]
    resumed, whole = TwoParts(), TwoParts()
    _train(resumed, _settings(), tmp_path)
    _train(whole, _settings(), tmp_path / "whole")
    assert torch.equal(resumed.weights(), whole.weights())


def test_a_full_disk_is_told_and_the_state_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_file(tensors: object, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"as much as there was room for")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(KeyboardInterrupt):
        _train(TwoParts(stop_at=4), _settings(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tenfold.finetuning.checkpointing.save_file", save_file)
        with pytest.raises(StorageError, match="the disk is full"):
            _train(TwoParts(), _settings(), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003.safetensors"]
    resumed, whole = TwoParts(), TwoParts()
    assert _train(resumed, _settings(), tmp_path).resumed_at_step == 3
    _train(whole, _settings(), tmp_path / "whole")
    assert torch.equal(resumed.weights(), whole.weights())


_LAUNCHED = """
import json, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
from tests.unit.finetuning.test_loop_options import TwoParts, _settings, _train
objective = TwoParts()
trace = _train(objective, _settings(max_train_steps=3), Path({folder!r}))
if 0 in objective.batches:
    Path({answer!r}).write_text(json.dumps([list(trace.losses), objective.weights().tolist()]))
"""


@pytest.mark.slow
def test_two_launched_processes_equal_one_that_accumulates_two(tmp_path: Path) -> None:
    script, answer = tmp_path / "launched.py", tmp_path / "answer.json"
    root = str(Path(__file__).parents[3])
    script.write_text(_LAUNCHED.format(root=root, folder=str(tmp_path / "run"), answer=str(answer)))
    # `accelerate launch` hands its GPU processes to torchrun; on CPUs torchrun itself starts them.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = TwoParts()
    trace = _train(alone, _settings(max_train_steps=3, gradient_accumulation_steps=2), tmp_path / "alone")
    losses, weights = json.loads(answer.read_text())
    assert losses == pytest.approx(trace.losses, rel=1e-5)
    assert torch.allclose(torch.tensor(weights), alone.weights(), atol=1e-6)
