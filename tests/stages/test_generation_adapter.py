"""Generation with a LoRA: the pictures of plain diffusers, named, recorded and traced to the images it learned from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.core.errors import CheckpointError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import manifest_rows, read_manifest, unpack_ancestors
from tenfold.data.manifest_checks import check_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.planning import plan
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tenfold.models.adapter_ref import AdapterRecord, write_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_sha256
from tenfold.models.lora import LoraSettings, add_lora, lora_layers, save_lora
from tenfold.models.pipelines import load_components
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion

PROMPTS = {"mole": ["a photo of ohwx mole"]}


@pytest.fixture(scope="module", params=[make_tiny_stable_diffusion, make_tiny_sdxl], ids=["sd", "sdxl"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(request.param(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Workspace:
    """A workspace with the adapter models/mine and the records that DreamBooth leaves beside it."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")
    make_adapter(workspace.path / "models/mine", base, ids_of(workspace, "train", "mole"))
    return workspace


def make_adapter(folder: Path, base: Path, training_ids: tuple[str, ...], *, named_base: str | None = None) -> Path:
    components = load_components(base)
    add_lora(components, LoraSettings(rank=2, text_encoder=True))
    generator = torch.Generator().manual_seed(0)
    for model in (components.unet, *components.text_encoders.values()):
        for _, layer in lora_layers(model):
            up = layer.lora_B["default"].weight
            up.data = 0.3 * torch.randn(up.shape, generator=generator)
    save_lora(components, folder)
    record = AdapterRecord(named_base or str(base), checkpoint_sha256(base), 2, 2.0, ("unet", "text_encoder"))
    write_adapter_record(folder, record)
    (folder / "training_rows.json").write_text(json.dumps({"image_ids": list(training_ids)}))
    (folder / "prompts.json").write_text(json.dumps({"prompts": PROMPTS}))
    return folder


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options: dict[str, Any] = {
        "name": "drawn",
        "seed": 5,
        "checkpoint": str(base),
        "adapter": "models/mine",
        "images_per_class": 2,
        "num_inference_steps": 2,
        "batch_size": 2,
    }
    return GenerateConfig(**(options | changes))


def _run(workspace: Workspace, config: GenerateConfig) -> Result:
    return run(config, workspace, SerialExecutor(), NullProgress())


def _rows(result: Result) -> list[dict[str, Any]]:
    return list(manifest_rows(read_manifest(result.folder / "manifest.parquet")))


def test_the_pictures_are_those_of_diffusers_and_say_where_they_come_from(tiny: Workspace, base: Path) -> None:
    from diffusers import DiffusionPipeline

    result = _run(tiny, _config(base))
    assert check_manifest(read_manifest(result.folder / "manifest.parquet")) == []
    rows = _rows(result)
    pipeline = DiffusionPipeline.from_pretrained(base, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(tiny.path / "models/mine", local_files_only=True)
    theirs = pipeline(
        PROMPTS["mole"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(int(row["seed"])) for row in rows],
        output_type="np",
    ).images
    ours = np.stack([decode_image(tiny.path / row["path"]) for row in rows])
    assert np.abs(ours - (theirs * 255).round()).max() <= 1

    assert [row["adapter"] for row in rows] == ["models/mine"] * 2
    assert unpack_ancestors(rows[0]["ancestors"]) == tuple(sorted(ids_of(tiny, "train", "mole")))
    request = read_provenance(tiny.path / rows[0]["path"]).request
    assert (request.adapter, request.adapter_scale) == ("models/mine", 1.0)
    assert request.adapter_sha256 == sha256_file(tiny.path / "models/mine/pytorch_lora_weights.safetensors")
    assert "Adapter (LoRA): `models/mine`, weight 1.0" in (result.folder / "README.md").read_text()
    record = json.loads((result.folder / "run.json").read_text())
    assert "models/mine/pytorch_lora_weights.safetensors" in record["inputs"]
    assert "adapter_was_trained_on" not in result.summary


def test_another_weight_or_none_makes_another_image(tiny: Workspace, base: Path) -> None:
    options: dict[str, Any] = {"images_per_class": 1, "prompts": PROMPTS}
    drawn = {}
    for name, changes in {
        "plain": {"adapter": None},
        "none": {"adapter_scale": 0.0},
        "half": {"adapter_scale": 0.5},
        "whole": {},
    }.items():
        row = _rows(_run(tiny, _config(base, name=name, **options, **changes)))[0]
        drawn[name] = (row["image_id"], decode_image(tiny.path / row["path"]).astype(int))
    assert len({image_id for image_id, _ in drawn.values()}) == 4
    assert np.abs(drawn["plain"][1] - drawn["none"][1]).max() <= 1
    assert np.abs(drawn["plain"][1] - drawn["half"][1]).max() > 5
    assert np.abs(drawn["half"][1] - drawn["whole"][1]).max() > 5


def test_ancestors_are_those_of_checkpoint_and_adapter(tmp_path: Path, base: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "workspace")
    mole, rash = ids_of(workspace, "train", "mole"), ids_of(workspace, "train", "rash")
    model = Path(shutil.copytree(base, workspace.path / "models/base"))
    (model / "training_rows.json").write_text(json.dumps({"image_ids": list(rash)}))
    adapter = make_adapter(workspace.path / "models/mine", base, mole)
    config = _config(base, checkpoint="models/base")
    assert plan(config, workspace).ancestors == tuple(sorted((*mole, *rash)))
    (adapter / "training_rows.json").unlink()
    assert plan(config, workspace).ancestors is None
    outside = make_adapter(tmp_path / "outside", base, mole)
    (outside / "training_rows.json").unlink()
    assert plan(config.model_copy(update={"adapter": str(outside)}), workspace).ancestors == tuple(sorted(rash))


def test_an_adapter_of_another_base_is_told(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    messages: list[str] = []

    class Log(NullProgress):
        def log(self, message: str) -> None:
            messages.append(message)

    maker = make_tiny_sdxl if (base / "text_encoder_2").is_dir() else make_tiny_stable_diffusion
    other = maker(tmp_path / "other", seed=9)
    adapter = make_adapter(tiny.path / "models/other", other, ids_of(tiny, "train"), named_base="models/elder")
    config = _config(base, name="other", adapter="models/other", images_per_class=1)
    result = run(config, tiny, SerialExecutor(), Log())
    assert result.summary["adapter_was_trained_on"] == "models/elder"
    assert any("was trained on models/elder" in message for message in messages)
    (adapter / "adapter.json").unlink()
    assert "adapter_was_trained_on" not in run(config, tiny, SerialExecutor(), NullProgress()).summary


def test_what_cannot_be_used_is_refused(tiny: Workspace, base: Path) -> None:
    with pytest.raises(CheckpointError, match="mine is a LoRA adapter, not a whole checkpoint"):
        _run(tiny, _config(base, checkpoint="models/mine", adapter=None))
    with pytest.raises(CheckpointError, match="there is no LoRA adapter"):
        _run(tiny, _config(base, adapter="models/none"))
    with pytest.raises(ValueError, match="adapter belongs to text2img"):
        _config(base, strategy="autoencoder", reference_ids=("a" * 16,))
