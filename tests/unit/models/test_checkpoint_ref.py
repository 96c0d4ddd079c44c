"""Checkpoint references: every missing or refused part is told before anything is loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core.errors import CheckpointError, FaultsError, WorkspaceError
from tenfold.core.workspace import Workspace
from tenfold.models.checkpoint_ref import checkpoint_parts, checkpoint_sha256, resolve_checkpoint
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(tiny, tmp_path / "broken"))


def test_a_folder_is_found_by_absolute_and_by_workspace_path(tiny: Path, workspace: Workspace) -> None:
    shutil.copytree(tiny, workspace.path / "models" / "mine")
    assert resolve_checkpoint(str(tiny)) == tiny
    assert resolve_checkpoint("models/mine", workspace) == workspace.path / "models" / "mine"


def test_the_digest_ignores_place_and_records_but_not_weights(tiny: Path, broken: Path) -> None:
    (broken / "run.json").write_text("{}")
    (broken / "checkpoints").mkdir()
    assert checkpoint_sha256(broken) == checkpoint_sha256(tiny)
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert checkpoint_sha256(broken) != checkpoint_sha256(tiny)


@pytest.mark.parametrize("name", ["model.ckpt", "pytorch_model.bin", "weights.pt"])
def test_pickle_files_are_refused_with_the_way_to_convert_them(name: str) -> None:
    with pytest.raises(CheckpointError, match="pickle") as caught:
        resolve_checkpoint(f"/somewhere/{name}")
    assert "save_pretrained" in caught.value.todo


def test_a_folder_with_pickled_weights_is_refused(broken: Path) -> None:
    (broken / "unet" / "diffusion_pytorch_model.safetensors").rename(broken / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match="weights of unet are a pickle file"):
        resolve_checkpoint(str(broken))


def test_a_folder_with_one_ckpt_file_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "sd-v1-5.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"sd-v1-5\.ckpt is a pickle file"):
        resolve_checkpoint(str(tmp_path))


def test_a_single_safetensors_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="single file"):
        resolve_checkpoint(str(tmp_path / "model.safetensors"))


def test_all_missing_parts_are_told_at_once(broken: Path) -> None:
    (broken / "vae" / "config.json").unlink()
    shutil.rmtree(broken / "tokenizer")
    (broken / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises(FaultsError) as caught:
        checkpoint_parts(broken)
    lacking = [error.what for error in caught.value.errors]
    assert lacking == [
        "the checkpoint lacks vae/config.json",
        "the checkpoint lacks text_encoder/*.safetensors",
        "the checkpoint lacks tokenizer/tokenizer_config.json",
    ]


@pytest.mark.parametrize("content", [None, "not json", "[1]"])
def test_a_missing_or_damaged_index_is_told(broken: Path, content: str | None) -> None:
    index = broken / "model_index.json"
    index.unlink()
    if content is not None:
        index.write_text(content)
    with pytest.raises(CheckpointError, match=r"model_index\.json|not JSON"):
        resolve_checkpoint(str(broken))


def test_unknown_names_are_told(workspace: Workspace) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        resolve_checkpoint("models/none", workspace)
    with pytest.raises(CheckpointError, match="no embedded checkpoint"):
        resolve_checkpoint("embedded:giant")
    with pytest.raises(CheckpointError, match="no workspace"):
        resolve_checkpoint("models/none")
    with pytest.raises(WorkspaceError):
        resolve_checkpoint("../elsewhere", workspace)


def test_resolving_does_not_import_torch(tiny: Path) -> None:
    code = (
        "import sys; from tenfold.models.checkpoint_ref import *; "
        f"checkpoint_sha256(resolve_checkpoint({str(tiny)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
