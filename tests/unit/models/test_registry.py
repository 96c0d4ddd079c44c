"""The registry: what it says is well formed, and what lies in a models folder is held against its record."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.hashing import sha256_path
from tenfold.core.workspace import Workspace
from tenfold.models.checkpoint_ref import checkpoint_kind, checkpoint_parts, resolve_checkpoint
from tenfold.models.checkpoint_verification import verify_checkpoint
from tenfold.models.registry import (
    UNPINNED,
    LockEntry,
    models_folder,
    read_lock,
    registry,
    registry_entry,
    write_lock,
)
from tenfold.models.registry_pull import import_folder
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder of the test."""
    monkeypatch.setenv("TENFOLD_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_every_entry_is_pinned_or_says_that_it_is_not() -> None:
    assert list(registry()) == ["sd15", "sd15-inpainting", "sd21-base", "sdxl-base", "x4-upscaler"]
    for name, entry in registry().items():
        assert entry.license and entry.description and entry.mirrors, name
        assert entry.mirrors[0].revision is not None
        for mirror in entry.mirrors:
            assert re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9.-]+", mirror.repo_id)
            assert mirror.pin == UNPINNED or re.fullmatch(r"[0-9a-f]{40}", mirror.pin)
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in mirror.sha256.values())
            suffix = ".fp16.safetensors" if mirror.variant else ".safetensors"
            assert all(path.endswith(suffix) for path in mirror.sha256)
            assert mirror.revision or mirror.sha256, f"{mirror.repo_id}: neither pinned nor with digests"


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    assert registry_entry("registry:sd15") is registry()["sd15"]
    with pytest.raises(InputError, match="no checkpoint 'sd16'") as caught:
        registry_entry("sd16")
    assert "sd15-inpainting" in caught.value.expected


def test_the_models_folder_is_the_environments_or_the_users_cache(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_folder() == store
    monkeypatch.delenv("TENFOLD_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert models_folder() == Path("/caches/tenfold/models")


def test_references_find_what_was_imported(tiny: Path, store: Path, workspace: Workspace) -> None:
    with pytest.raises(CheckpointError, match="'sd15' is not on this machine") as caught:
        resolve_checkpoint("sd15")
    assert "tenfold models pull sd15" in caught.value.todo and "local folder" in caught.value.todo
    folder = import_folder(tiny, "skin-base", store)
    assert resolve_checkpoint("registry:skin-base") == resolve_checkpoint("skin-base", workspace) == folder
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="not on this machine"):
        resolve_checkpoint("registry:skin-base")


def test_the_workspaces_own_folders_come_before_the_cache(tiny: Path, store: Path, workspace: Workspace) -> None:
    import_folder(tiny, "mine", store)
    shutil.copytree(tiny, workspace.path / "mine")
    assert resolve_checkpoint("mine", workspace) == workspace.path / "mine"
    imported = import_folder(tiny, "mine", workspace.path / "models")
    assert resolve_checkpoint("registry:mine", workspace) == imported


def test_verify_names_every_file_that_is_missing_changed_or_added(tiny: Path, store: Path) -> None:
    folder = import_folder(tiny, "mine", store)
    good = verify_checkpoint(folder)
    assert (good.basis, good.origin) == ("lock", "folder:tiny")
    assert good.checked == len([path for path in folder.rglob("*") if path.is_file()])
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    (folder / "tokenizer" / "vocab.txt").write_text("")
    (folder / "scheduler" / "scheduler_config.json").rename(folder / "tokenizer" / "notes.json")
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    with pytest.raises(CheckpointError) as caught:
        verify_checkpoint(folder)
    assert caught.value.what == (
        "the checkpoint is not the one that is recorded: scheduler/scheduler_config.json is another file; "
        "vae/diffusion_pytorch_model.safetensors is another file; tokenizer/notes.json was added; "
        "tokenizer/vocab.txt was added"
    )


def test_a_registered_name_is_also_held_against_the_registry(tiny: Path, store: Path) -> None:
    """A lock that was written anew for other weights does not help: the registry's digests stand."""
    folder = Path(shutil.copytree(tiny, store / "sd15"))
    mirror = registry()["sd15"].mirrors[0]
    write_lock(store, "sd15", LockEntry(f"{mirror.repo_id}@{mirror.revision}", "text2img", "", {}))
    with pytest.raises(CheckpointError, match=r"unet/diffusion_pytorch_model\.safetensors is another file"):
        verify_checkpoint(folder)


def test_a_trained_model_is_held_against_its_run_record(tiny: Path, workspace: Workspace) -> None:
    folder = Path(shutil.copytree(tiny, workspace.path / "models" / "vasc"))
    assert verify_checkpoint(folder).basis == "nothing"
    outputs = {f"models/vasc/{part.name}": sha256_path(part) for part in checkpoint_parts(folder)}
    (folder / "run.json").write_text(json.dumps({"outputs": outputs}))
    assert verify_checkpoint(folder).basis == "run record"
    (folder / "unet" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not the one that its run wrote: unet differ"):
        verify_checkpoint(folder)


def test_a_damaged_lock_is_told(store: Path) -> None:
    store.mkdir()
    for content in ("not json", '{"sd15": {"origin": 3}}', "[]"):
        (store / "models-lock.json").write_text(content)
        with pytest.raises(CheckpointError, match="record of the models folder is damaged"):
            read_lock(store)


def test_kinds_and_layouts(tiny: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    assert checkpoint_kind(tiny) == "text2img"
    inpainting = Path(shutil.copytree(tiny, tmp_path / "inpainting"))
    config = UNet2DConditionModel.load_config(inpainting / "unet")
    (inpainting / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 17}))
    assert checkpoint_kind(inpainting) == "inpainting"
    (inpainting / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 12}))
    with pytest.raises(CheckpointError, match="12 channels"):
        checkpoint_kind(inpainting)

    sdxl = make_tiny_sdxl(tmp_path / "sdxl")
    assert checkpoint_kind(sdxl) == "text2img"
    assert {"text_encoder_2", "tokenizer_2"} <= {part.name for part in checkpoint_parts(sdxl)}
    shutil.rmtree(sdxl / "text_encoder_2")
    with pytest.raises(CheckpointError, match=r"lacks text_encoder_2/config\.json"):
        checkpoint_parts(sdxl)

    upscaler = make_tiny_upscaler(tmp_path / "upscaler")
    assert checkpoint_kind(upscaler) == "upscale"
    shutil.rmtree(upscaler / "low_res_scheduler")
    with pytest.raises(CheckpointError, match="lacks low_res_scheduler"):
        checkpoint_parts(upscaler)


def test_the_registry_and_the_lock_need_no_torch(store: Path) -> None:
    code = (
        "import sys; from tenfold.models.registry import *; import tenfold.models.registry_pull, tenfold.models.memory;"
        "import tenfold.models.single_file; registry(); read_lock(models_folder()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
