"""LoRAs of several classes trained at once: each as its solo run makes it, resumed; what cannot is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tenfold.core.errors import FaultsError, InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, unpack_ancestors
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth import run
from tenfold.finetuning.dreambooth_material import per_class_configs
from tenfold.finetuning.lora_stack import LoraStackObjective
from tenfold.finetuning.together import join_configs, run_together
from tenfold.generation.config import GenerateConfig
from tenfold.generation.run import run as generate
from tenfold.models.adapter_ref import ADAPTER_WEIGHTS, read_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_sha256
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

STEPS = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _configs(workspace: Workspace, base: Path, name: str = "each", **changes: Any) -> list[DreamBoothConfig]:
    options: dict[str, Any] = {
        "name": name,
        "seed": 5,
        "method": "lora",
        "lora_rank": 2,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "validation_ids": ids_of(workspace, "val"),
        "validation_steps": 2,
        "max_train_steps": STEPS,
        "train_batch_size": 2,
        "learning_rate": 3e-2,
        "crops_per_image": 2,
        "checkpointing_steps": 1,
        "samples_per_class": 1,
    }
    table = read_manifest(workspace.path / "data/manifest.parquet")
    labels = dict(zip(table["image_id"].astype(str), table["label"].astype(str), strict=True))
    return per_class_configs(DreamBoothConfig(**(options | changes)), labels)


def _alone(workspace: Workspace, config: DreamBoothConfig) -> Result:
    changed = config.model_copy(update={"name": f"solo-{config.name}"})
    return run(changed, workspace, SerialExecutor(), NullProgress())


def _losses(folder: Path, column: int) -> list[float]:
    cells = [line.split(",")[column] for line in (folder / "losses.csv").read_text().splitlines()[1:]]
    return [float(cell) for cell in cells if cell]


def _kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    original = LoraStackObjective.loss

    def loss(self: LoraStackObjective, number: int) -> torch.Tensor:
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    monkeypatch.setattr(LoraStackObjective, "loss", loss)
    return lambda: monkeypatch.setattr(LoraStackObjective, "loss", original)


@pytest.mark.parametrize("choice", ["last", "validation"])
def test_each_model_is_that_of_its_solo_run(tiny: Workspace, base: Path, choice: str) -> None:
    configs = _configs(tiny, base, f"each-{choice}", checkpoint_choice=choice, samples_steps=2)
    results = run_together(configs, tiny, NullProgress())
    assert [result.folder.name for result in results] == [f"each-{choice}-mole", f"each-{choice}-rash"]
    for config, result in zip(configs, results, strict=True):
        solo = _alone(tiny, config)
        for column in (1, 2):
            assert _losses(result.folder, column) == pytest.approx(_losses(solo.folder, column), rel=1e-3)
        ours, theirs = (load_file(folder / ADAPTER_WEIGHTS) for folder in (result.folder, solo.folder))
        assert set(ours) == set(theirs)
        assert all(torch.allclose(ours[key], theirs[key], atol=1e-4) for key in ours)
        assert result.summary["weights_of_step"] == solo.summary["weights_of_step"]
        names = {path.name for path in solo.folder.iterdir()}
        assert {path.name for path in result.folder.iterdir()} == names
        assert ("choice.json" in names) == (choice == "validation")
        assert {"samples", "samples.png", "curves.png", "training_rows.json"} <= names
        assert not names & {"checkpoints", "weights", "validation.json"}
        seen = json.loads((result.folder / "training_rows.json").read_text())["image_ids"]
        assert seen == sorted(config.training_ids)
        record = read_adapter_record(result.folder)
        assert record is not None
        assert (record.base_sha256, record.rank, record.parts) == (checkpoint_sha256(base), 2, ("unet",))
    first, second = (read_run_record(result.folder) for result in results)
    assert (first.stage, list(first.config["together_with"])) == ("dreambooth", [f"each-{choice}-rash"])
    assert list(second.config["together_with"]) == [f"each-{choice}-mole"]

    again = run_together(configs, tiny, NullProgress())
    assert [one.was_finished for one in again] == [True, True]
    assert [dict(one.outputs) for one in again] == [dict(one.outputs) for one in results]


def test_generation_draws_with_one_of_them(tiny: Workspace, base: Path) -> None:
    run_together(_configs(tiny, base, "drawn"), tiny, NullProgress())
    drawing = GenerateConfig(name="few", seed=1, checkpoint=str(base), adapter="models/drawn-rash", images_per_class=2,
                             num_inference_steps=2)  # fmt: skip
    drawn = generate(drawing, tiny, SerialExecutor(), NullProgress())
    table = read_manifest(drawn.folder / "manifest.parquet")
    assert set(table["label"]) == {"rash"}
    assert {unpack_ancestors(cell) for cell in table["ancestors"]} == {tuple(sorted(ids_of(tiny, "train", "rash")))}


@pytest.mark.parametrize("kill_at", [1, 3])
def test_killed_and_run_again_it_ends_with_the_same_files(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    whole = run_together(_configs(tiny, base, "whole"), tiny, NullProgress())
    other = make_tiny_workspace(tmp_path / "other")
    restore = _kill_at(monkeypatch, kill_at)
    with pytest.raises(KeyboardInterrupt):
        run_together(_configs(other, base, "whole"), other, NullProgress())
    restore()

    for changes in ({"learning_rate": 1e-3}, {"training_ids": ids_of(other, "train")[1:]}):
        with pytest.raises(InputError, match="unfinished training"):
            run_together(_configs(other, base, "whole", **changes), other, NullProgress())
    with pytest.raises(InputError, match="together_with"):
        run(_configs(other, base, "whole")[0], other, SerialExecutor(), NullProgress())
    resumed = run_together(_configs(other, base, "whole"), other, NullProgress())
    assert [dict(one.outputs) for one in resumed] == [dict(one.outputs) for one in whole]


def test_a_kill_between_two_models_loses_neither(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.finetuning import together

    whole = run_together(_configs(tiny, base, "whole"), tiny, NullProgress())
    other = make_tiny_workspace(tmp_path / "other")
    original, seen = together.finish_training, []

    def once(training: Any, *rest: Any) -> Result:
        if seen:
            raise KeyboardInterrupt
        seen.append(training.config.name)
        return original(training, *rest)

    monkeypatch.setattr(together, "finish_training", once)
    with pytest.raises(KeyboardInterrupt):
        run_together(_configs(other, base, "whole"), other, NullProgress())
    monkeypatch.setattr(together, "finish_training", original)
    # Nothing is trained again: its last state is there.
    monkeypatch.setattr(LoraStackObjective, "loss", None)
    resumed = run_together(_configs(other, base, "whole"), other, NullProgress())
    assert [dict(one.outputs) for one in resumed] == [dict(one.outputs) for one in whole]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "full"}, "method=full"),
        ({"lora_text_encoder": True}, "lora_text_encoder"),
        ({"use_8bit_adam": True}, "use_8bit_adam"),
        ({"weights_every_steps": 2}, "weights_every_steps"),
        ({"training_ids": None}, "1 adapters"),
    ],
)
def test_what_cannot_be_trained_together_is_refused(
    tiny: Workspace, base: Path, changes: dict[str, Any], said: str
) -> None:
    if "training_ids" in changes:
        changes = {"training_ids": ids_of(tiny, "train", "mole"), "validation_ids": ()}
    with pytest.raises(InputError, match=said):
        join_configs(_configs(tiny, base, **changes))


def test_settings_that_differ_are_all_named(tiny: Workspace, base: Path) -> None:
    first, second = _configs(tiny, base)
    changes = {"learning_rate": 0.5, "lora_rank": 3, "name": first.name, "prior_manifest": "synthetic/x.parquet"}
    with pytest.raises(FaultsError) as caught:
        join_configs([first, second.model_copy(update=changes)])
    for said in ("learning_rate is not the same", "lora_rank is not the same", "same name", "some have prior images"):
        assert said in str(caught.value)
