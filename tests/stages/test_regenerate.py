"""Regenerating: one image from its own record, compared with the file; what stands in the way is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import CheckpointError, DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.provenance import encode_synthetic, read_provenance
from tenfold.generation.regenerate import compare, regenerate
from tenfold.generation.run import run
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")
    make_tiny_stable_diffusion(made.path / "models" / "tiny")
    return made


def _drawn(workspace: Workspace, name: str, **changes: Any) -> list[dict[str, Any]]:
    options: dict[str, Any] = {
        "name": name, "seed": 5, "checkpoint": "models/tiny", "prompts": {"mole": ("a mole", "another mole")},
        "num_inference_steps": 2, "batch_size": 3,
    }  # fmt: skip
    config = GenerateConfig(**(options | changes))
    folder = run(config, workspace, SerialExecutor(), NullProgress()).folder
    return list(manifest_rows(read_manifest(folder / "manifest.parquet")))


@pytest.mark.parametrize(
    "changes",
    [
        {"images_per_class": 4},
        {"images_per_class": 4, "container": "webdataset", "seed": 6},
        {"images_per_class": 2, "file_format": "jpeg"},
        {"strategy": "img2img", "strength": 0.6},
        {"strategy": "inpaint", "mask": "center"},
        {"strategy": "in_then_outpaint", "mask": "random"},
        {"strategy": "autoencoder", "prompts": {}, "num_inference_steps": None},
        {"strategy": "recolor", "prompts": {}, "num_inference_steps": None, "skin_types": (6,)},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values() if isinstance(value, str)) or "text2img",
)
def test_an_image_is_made_again_bit_by_bit(workspace: Workspace, changes: dict[str, Any]) -> None:
    name = f"set-{abs(sum(map(ord, json.dumps(changes, sort_keys=True))))}"
    row = _drawn(workspace, name, **changes)[1]
    report = regenerate(row["image_id"], workspace)
    assert (report.verdict, report.max_difference, report.psnr_db, dict(report.changed)) == ("identical", 0, None, {})
    assert report.path == workspace.resolve(row["path"])
    assert np.array_equal(report.image, decode_image(report.path))
    assert regenerate(row["path"], workspace).verdict == "identical"


def test_what_differs_is_told(workspace: Workspace, tmp_path: Path) -> None:
    row = _drawn(workspace, "differs", images_per_class=2)[0]
    path = workspace.resolve(row["path"])
    provenance = read_provenance(path)
    object.__setattr__(provenance, "environment", {**provenance.environment, "torch": "1.0"})
    pixels = decode_image(path)
    for levels, verdict in ((3, "within tolerance"), (60, "different")):
        changed = np.where(pixels < 128, pixels + levels, pixels - levels).astype(np.uint8)
        copy = tmp_path / f"{levels}.png"
        copy.write_bytes(encode_synthetic(changed, provenance))
        report = regenerate(str(copy), workspace)
        assert (report.verdict, report.max_difference) == (verdict, levels)
        assert report.psnr_db == pytest.approx(20 * np.log10(255 / levels))
        assert list(report.changed) == ["torch"] and report.changed["torch"][0] == "1.0"


def test_an_image_of_a_compiled_model_says_so(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.resolve(_drawn(workspace, "compiled", images_per_class=1)[0]["path"])
    for compiled, changed in ((True, {"compiled": (True, False)}), (False, {})):
        provenance = read_provenance(path)
        object.__setattr__(provenance, "environment", {**provenance.environment, "compiled": compiled})
        copy = tmp_path / f"{compiled}.png"
        copy.write_bytes(encode_synthetic(decode_image(path), provenance))
        assert dict(regenerate(str(copy), workspace).changed) == changed


def test_an_image_of_another_size_is_different() -> None:
    assert compare(np.zeros((4, 4, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), 8) == ("different", None, None)


def test_an_unknown_id_or_a_file_without_a_record_is_told(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no synthetic image '0123456789abcdef'"):
        regenerate("0123456789abcdef", workspace)
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(DataError, match="holds no record"):
        regenerate(str(path), workspace)


def test_another_parent_or_another_model_is_told(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "workspace")
    model = make_tiny_stable_diffusion(workspace.path / "models" / "tiny")
    parent = ids_of(workspace, "train")[0]
    row = _drawn(workspace, "codec", strategy="autoencoder", prompts={}, reference_ids=(parent,),
                 num_inference_steps=None)[0]  # fmt: skip
    original = workspace.path / "data" / "images" / f"{parent}.png"
    kept = original.read_bytes()
    original.write_bytes(encode_png(np.zeros((32, 32, 3), np.uint8)))
    with pytest.raises(DataError, match=f"the parent {parent} is not the image that was recorded"):
        regenerate(row["image_id"], workspace)
    original.write_bytes(kept)
    shutil.copytree(make_tiny_stable_diffusion(tmp_path / "other", seed=3) / "vae", model / "vae", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="models/tiny has other weights"):
        regenerate(row["image_id"], workspace)
    shutil.rmtree(model)
    with pytest.raises(CheckpointError):
        regenerate(row["image_id"], workspace)
