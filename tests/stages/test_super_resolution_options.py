"""What super-resolution shares with the other fine-tunings: choice, kept weights, trackers, refused resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tenfold.core.errors import DataError, InputError
from tenfold.core.files import write_json_atomic
from tenfold.core.workspace import Workspace
from tenfold.finetuning.super_resolution_objective import SuperResolutionObjective
from tests.stages.test_super_resolution import run_tiny
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_upscaler import make_tiny_upscaler

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_upscaler(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace", image_size_px=32)


def _stop_at(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    original = SuperResolutionObjective.loss

    def loss(self: SuperResolutionObjective, step: int) -> torch.Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(SuperResolutionObjective, "loss", loss)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_best_weights_by_validation_are_chosen_also_after_a_kill(
    method: str, tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "name": f"choice-{method}", "method": method, "lora_rank": 2, "checkpoint_choice": "validation",
        "weights_every_steps": 2, "max_train_steps": 5, "learning_rate": 0.05, "ema_decay": 0.5, "samples_count": 0,
    }  # fmt: skip
    result = run_tiny(tiny, base, **options)
    choice = json.loads((result.folder / "choice.json").read_text())
    assert choice == result.summary["choice"] and "copies are not looked for" in choice["reason"]
    losses = {int(step): loss for step, loss in result.summary["validation_loss"].items()}
    assert [one["step"] for one in choice["candidates"]] == sorted((2, 4, 5), key=lambda step: losses[step])
    assert result.summary["weights_of_step"] == choice["step"] == choice["candidates"][0]["step"]
    assert all(one["copies"] is None for one in choice["candidates"])
    kept = load_file(result.folder / f"weights/step-{choice['step']:08d}.safetensors")
    if method == "full":
        chosen = load_file(result.folder / UNET)
        assert all(torch.equal(tensor, chosen[name.removeprefix("unet.")]) for name, tensor in kept.items())

    other = make_tiny_workspace(tmp_path / "other", image_size_px=32)
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, base, **options)
    resumed = run_tiny(other, base, **options)
    assert dict(resumed.outputs) == dict(result.outputs) and resumed.summary == result.summary


def test_a_half_done_training_with_other_settings_is_refused_and_kept(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_tiny_workspace(tmp_path / "w", image_size_px=32)
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(workspace, base)
    folder = workspace.path / "models/mine"
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError, match=r"jpeg_share: 0\.5 in the checkpoint, 0\.9 now"):
        run_tiny(workspace, base, jpeg_share=0.9)
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert run_tiny(workspace, base).summary["weights_of_step"] == 6


def test_a_tracker_that_is_not_there_is_told_before_anything_is_written(
    tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.finetuning.accelerating.get_available_trackers", list)
    with pytest.raises(InputError, match="tensorboard is asked for, but its package is not installed"):
        run_tiny(tiny, base, name="tracked", trackers=("tensorboard",))
    assert not (tiny.path / "models/tracked").exists()


def test_what_the_base_was_pretrained_on_cannot_validate_it(tmp_path: Path, tiny: Workspace) -> None:
    base = make_tiny_upscaler(tmp_path / "own")
    seen = ids_of(tiny, "val")[0]
    record = {"image_ids": [], "archive_image_ids": [seen, "0123456789abcdef"], "rows": []}
    write_json_atomic(base / "training_rows.json", record)
    with pytest.raises(DataError, match="both a training and a validation image"):
        run_tiny(tiny, base, name="seen")


@pytest.mark.parametrize("option", [{"train_text_encoder": True}, {"jitter_hue": 0.1}, {"focus": "mask"}])
def test_options_of_other_fine_tunings_are_refused(option: dict[str, Any], tiny: Workspace, base: Path) -> None:
    with pytest.raises(ValidationError, match=next(iter(option))):
        run_tiny(tiny, base, name="odd", **option)
