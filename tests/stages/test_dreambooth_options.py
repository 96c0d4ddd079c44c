"""What the DreamBooth stage offers: adapters, text encoder steps, captions, cuts, samples, choice, refused resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tenfold.core.errors import DataError, InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png
from tenfold.data.manifest import make_manifest, manifest_rows, read_manifest, write_manifest
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth import run
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


class Log(NullProgress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def run_tiny(workspace: Workspace, base: Path, progress: NullProgress | None = None, **changes: Any) -> Result:
    options: dict[str, Any] = {
        "name": "mine",
        "seed": 5,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "max_train_steps": 4,
        "train_batch_size": 4,
        "learning_rate": 1e-3,
        "crops_per_image": 2,
        "checkpointing_steps": 2,
        "samples_per_class": 0,
    }
    config = DreamBoothConfig(**(options | changes))
    return run(config, workspace, SerialExecutor(), progress or NullProgress())


def _weights(result: Result, part: str = "unet/diffusion_pytorch_model") -> dict[str, torch.Tensor]:
    return load_file(result.folder / f"{part}.safetensors")


def _stop_at(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    original = DreamBoothObjective.loss

    def loss(self: DreamBoothObjective, step: int) -> torch.Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(DreamBoothObjective, "loss", loss)


@pytest.mark.parametrize("lora_text_encoder", [False, True])
def test_an_adapter_is_trained_and_plain_diffusers_reads_it(
    tiny: Workspace, base: Path, lora_text_encoder: bool
) -> None:
    from diffusers import StableDiffusionPipeline

    name = f"lora-{lora_text_encoder}"
    result = run_tiny(
        tiny, base, name=name, method="lora", lora_rank=2, lora_text_encoder=lora_text_encoder, samples_per_class=1
    )
    pipeline = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
    pipeline.load_lora_weights(result.folder)
    saved = load_file(result.folder / "pytorch_lora_weights.safetensors")
    ups = [tensor for key, tensor in saved.items() if ".lora_B." in key]
    assert all(bool(tensor.any()) for tensor in ups)
    assert any(key.startswith("text_encoder.") for key in saved) == lora_text_encoder
    record = json.loads((result.folder / "adapter.json").read_text())
    assert record["rank"] == 2 and record["alpha"] == 2.0 and record["base_checkpoint"] == str(base)
    assert record["parts"] == ["unet", *(["text_encoder"] if lora_text_encoder else [])]
    assert (result.folder / "training_rows.json").is_file() and not (result.folder / "unet").exists()
    assert result.summary["method"] == "lora"


def test_a_killed_adapter_training_ends_the_same(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"name": "cut-lora", "method": "lora", "lora_rank": 2}
    whole = run_tiny(tiny, base, **options)
    other = make_tiny_workspace(tmp_path / "other")
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, base, **options)
    assert dict(run_tiny(other, base, **options).outputs) == dict(whole.outputs)


def test_sdxl_trains_two_steps_of_an_adapter_with_its_text_encoders(tiny: Workspace, tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    sdxl = make_tiny_sdxl(tmp_path / "sdxl")
    result = run_tiny(
        tiny, sdxl, name="sdxl", method="lora", lora_rank=2, lora_text_encoder=True, max_train_steps=2,
        text_encoder_max_steps=1, text_encoder_lr=1e-3, samples_per_class=1,
    )  # fmt: skip
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl, local_files_only=True, add_watermarker=False)
    pipeline.load_lora_weights(result.folder)
    parts = {key.split(".")[0] for key in load_file(result.folder / "pytorch_lora_weights.safetensors")}
    assert parts == {"unet", "text_encoder", "text_encoder_2"}


def test_the_text_encoder_ends_earlier_at_its_own_rate(tiny: Workspace, base: Path) -> None:
    options: dict[str, Any] = {"train_text_encoder": True, "text_encoder_lr": 1e-3}
    part = "text_encoder/model"
    two = _weights(run_tiny(tiny, base, name="two", max_train_steps=2, **options), part)
    ended = run_tiny(tiny, base, name="ended", max_train_steps=4, text_encoder_max_steps=2, **options)
    whole = run_tiny(tiny, base, name="whole", max_train_steps=4, **options)
    assert all(torch.equal(tensor, _weights(ended, part)[name]) for name, tensor in two.items())
    assert any(not torch.equal(tensor, _weights(whole, part)[name]) for name, tensor in two.items())


def test_gradient_checkpointing_gives_the_same_model(tiny: Workspace, base: Path) -> None:
    options: dict[str, Any] = {"train_text_encoder": True, "max_train_steps": 2}
    plain = run_tiny(tiny, base, name="kept", **options)
    again = run_tiny(tiny, base, name="again", gradient_checkpointing=True, **options)
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        for name, tensor in _weights(plain, part).items():
            assert torch.allclose(tensor, _weights(again, part)[name], atol=1e-6), name


def test_accumulation_precision_and_jitter_reach_the_loop(tiny: Workspace, base: Path) -> None:
    plain = run_tiny(tiny, base, name="plain", max_train_steps=2)
    low = run_tiny(tiny, base, name="low", max_train_steps=2, mixed_precision="bf16")
    two = run_tiny(tiny, base, name="two-batches", max_train_steps=2, gradient_accumulation_steps=2)
    colored = run_tiny(tiny, base, name="colored", max_train_steps=2, jitter_brightness=0.3, jitter_hue=0.05)
    losses = [result.summary["loss_of_last_tenth"] for result in (plain, low, two, colored)]
    assert len(set(losses)) == 4 and losses[1] == pytest.approx(losses[0], rel=0.05)


def test_one_image_is_enough(tiny: Workspace, base: Path) -> None:
    one = run_tiny(
        tiny, base, name="one", training_ids=ids_of(tiny, "train")[:1], max_train_steps=1, samples_per_class=2
    )
    assert one.summary["training_images"] == 1
    assert decode_image(one.folder / "samples.png").shape == (32, 4 * 34 - 2, 3)


def test_captions_of_400_words_are_cut_and_the_image_is_named(tmp_path: Path, base: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "w")
    ids = ids_of(workspace, "train")
    folder = workspace.path / "captions"
    folder.mkdir()
    for number, image_id in enumerate(ids):
        (folder / f"{image_id}.txt").write_text("wart " * 399 + "ending" if number == 2 else "x")
    options: dict[str, Any] = {"captions": "files", "caption_files": "captions", "max_train_steps": 1}
    log = Log()
    result = run_tiny(workspace, base, log, **options)
    assert list(result.summary["cut_ends"]) == [ids[2]]
    assert result.summary["cut_ends"][ids[2]].endswith("e n d i n g".replace(" ", ""))
    assert any(f"e.g. of image {ids[2]}" in line for line in log.lines)
    assert "captions" in json.loads((result.folder / "run.json").read_text())["inputs"]
    (folder / f"{ids[0]}.txt").unlink()
    with pytest.raises(DataError, match=f"8 images for 7 captions: none for {ids[0]}"):
        run_tiny(workspace, base, name="other", **options)


def test_training_on_cuts_around_the_lesion(tmp_path: Path, base: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "w")
    path = workspace.path / "data/manifest.parquet"
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 255
    (workspace.path / "mask.png").write_bytes(encode_png(mask))
    rows = [{**row, "mask_path": "mask.png"} for row in manifest_rows(read_manifest(path))]
    rows[0]["mask_path"] = None
    write_manifest(make_manifest(rows), path)
    log = Log()
    cut = run_tiny(workspace, base, log, name="cut", focus="mask", validation_ids=ids_of(workspace, "val"))
    whole = run_tiny(workspace, base, name="whole", validation_ids=ids_of(workspace, "val"))
    assert cut.summary["validation_loss"]["0"] != whole.summary["validation_loss"]["0"]
    assert cut.summary["notes"] == [line for line in log.lines if "learned whole" in line]
    assert "1 images have no mask" in cut.summary["notes"][0]


def test_samples_are_drawn_on_the_way_and_resumed_runs_have_them_all(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"name": "strips", "samples_steps": 2, "samples_per_class": 2}
    whole = run_tiny(tiny, base, **options)
    names = sorted(path.name for path in (whole.folder / "samples").iterdir())
    assert names == ["class-0-mole.png", "class-1-rash.png", *(f"step-0000000{n}.png" for n in (0, 2, 4))]
    over_time = decode_image(whole.folder / "samples/class-1-rash.png")
    assert over_time.shape == (3 * 34 - 2, 2 * 34 - 2, 3)
    last = decode_image(whole.folder / "samples/step-00000004.png")
    assert np.array_equal(over_time[68:], last[34:])
    final = decode_image(whole.folder / "samples.png")
    assert np.array_equal(final[:, 68:], last)
    other = make_tiny_workspace(tmp_path / "other")
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, base, **options)
    assert dict(run_tiny(other, base, **options).outputs) == dict(whole.outputs)


def test_the_best_weights_by_validation_are_chosen_and_the_others_told(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": 6, "val": 12}
    many = make_tiny_workspace(tmp_path / "many", images_per_split=counts)
    options: dict[str, Any] = {
        "name": "choice",
        "training_ids": [one for label in ("mole", "rash") for one in ids_of(many, "train", label)[:2]],
        "validation_ids": ids_of(many, "val")[10:14],
        "validation_steps": 2,
        "max_train_steps": 5,
        "learning_rate": 0.02,
        "choice_candidates": 2,
        "choice_samples": 2,
        "checkpoint_choice": "validation",
    }
    result = run_tiny(many, base, **options)
    choice = json.loads((result.folder / "choice.json").read_text())
    assert choice == result.summary["choice"]
    losses = {one["step"]: one["validation_loss"] for one in choice["candidates"]}
    assert set(losses) == {2, 4, 5} and losses == {
        int(step): loss for step, loss in result.summary["validation_loss"].items() if step != "0"
    }
    assert result.summary["weights_of_step"] == choice["step"]
    looked = [one["copies"] for one in choice["candidates"] if one["copies"]]
    assert [one["n_samples"] for one in looked] == [4, 4]
    # Unseen are the 8 training images of other patients and all 24 of the validation split.
    assert {facts["n_null"] for one in looked for facts in one["spaces"].values()} == {32}
    assert not (result.folder / "weights").exists() and not (result.folder / "checkpoints").exists()

    kept = run_tiny(many, base, **{**options, "name": "kept", "weights_every_steps": 2})
    assert sorted(path.name for path in (kept.folder / "weights").iterdir()) == [
        f"step-0000000{step}.safetensors" for step in (2, 4, 5)
    ]
    chosen = load_file(kept.folder / f"weights/step-{choice['step']:08d}.safetensors")
    assert all(torch.equal(tensor, chosen[f"unet.{name}"]) for name, tensor in _weights(result).items())

    other = make_tiny_workspace(tmp_path / "other", images_per_split=counts)
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, base, **options)
    resumed = run_tiny(other, base, **options)
    assert dict(resumed.outputs) == dict(result.outputs) and resumed.summary == result.summary


def test_a_half_done_training_with_other_settings_is_refused_and_kept(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_tiny_workspace(tmp_path / "w")
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(workspace, base)
    folder = workspace.path / "models/mine"
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError) as caught:
        run_tiny(workspace, base, learning_rate=2e-3, training_ids=ids_of(workspace, "train")[:2])
    told = str(caught.value)
    assert "learning_rate: 0.001 in the checkpoint, 0.002 now" in told and "training_ids" in told
    assert "seed" not in told and "delete the folder" in told
    other_base = make_tiny_stable_diffusion(tmp_path / "other" / "tiny", seed=1)
    (tmp_path / "same-name").mkdir()
    with pytest.raises(InputError, match="content of external:unet"):
        run_tiny(workspace, other_base)
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert run_tiny(workspace, base).summary["weights_of_step"] == 4
    # A finished model of other settings is replaced, as in every stage.
    assert run_tiny(workspace, base, max_train_steps=1).summary["weights_of_step"] == 1
