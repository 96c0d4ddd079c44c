"""Pulling tries mirrors in order, keeps only verified safetensors, and tells all that failed; no network is used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tenfold.core.errors import CheckpointError, InputError, StageError, StorageError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.models import registry_pull
from tenfold.models.checkpoint_verification import verify_checkpoint
from tenfold.models.registry import Mirror, read_lock, registry
from tenfold.models.registry_pull import download_snapshot, export_folder, import_folder, pull
from tests.tiny_models import make_tiny_stable_diffusion

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub's cache would hold: a checkpoint with a safety checker, pickles and a readme beside it."""
    folder = make_tiny_stable_diffusion(tmp_path_factory.mktemp("hub") / COMMIT)
    index = read_json(folder / "model_index.json")
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    write_json_atomic(folder / "model_index.json", index)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("a card")
    return folder


@pytest.fixture
def known(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mirror]:
    """The registry's sd15 with two mirrors that a test can have, the second without a pin."""
    digests = {WEIGHTS: sha256_file(snapshot / WEIGHTS)}
    mirrors = [Mirror("first/model", COMMIT, None, "", digests), Mirror("second/model", None, None, "", {})]
    entry = replace(registry()["sd15"], mirrors=tuple(mirrors), download_gb=0.001)
    monkeypatch.setattr(registry_pull, "registry_entry", lambda name: entry)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return mirrors


def _failing(error: Exception, repo_id: str, snapshot: Path) -> Callable[[Mirror, bool], Path]:
    def download(mirror: Mirror, offline: bool) -> Path:
        if mirror.repo_id == repo_id:
            raise error
        return snapshot

    return download


def test_a_pulled_checkpoint_is_verified_recorded_and_loadable(
    snapshot: Path, known: list[Mirror], tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    folder = pull("registry:sd15", tmp_path / "store", NullProgress(), downloader=lambda mirror, offline: snapshot)
    lock = read_lock(tmp_path / "store")["sd15"]
    assert lock.origin == f"first/model@{COMMIT}"
    assert lock.license == registry()["sd15"].license
    assert lock.sha256[WEIGHTS] == known[0].sha256[WEIGHTS]
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {".safetensors", ".json", ".txt"}
    assert (folder / WEIGHTS).stat().st_nlink == 2, "on one disk weights are linked, not doubled"
    assert read_json(snapshot / "model_index.json")["requires_safety_checker"] is True, "the cache stays as it was"
    verify_checkpoint(folder)
    plain = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert plain.safety_checker is None

    def refuse(mirror: Mirror, offline: bool) -> Path:
        raise AssertionError("what is there is not pulled again")

    assert pull("sd15", tmp_path / "store", NullProgress(), downloader=refuse) == folder


def test_the_next_mirror_is_tried_and_its_commit_recorded(snapshot: Path, known: list[Mirror], tmp_path: Path) -> None:
    download = _failing(ConnectionError("name resolution failed\nmuch advice"), "first/model", snapshot)
    pull("sd15", tmp_path, NullProgress(), downloader=download)
    assert read_lock(tmp_path)["sd15"].origin == f"second/model@{COMMIT}"


def test_files_with_other_digests_are_refused(snapshot: Path, known: list[Mirror], tmp_path: Path) -> None:
    other = Path(shutil.copytree(snapshot, tmp_path / "other"))
    (other / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes()[:-1] + b"\x01")

    def download(mirror: Mirror, offline: bool) -> Path:
        if mirror.repo_id == "second/model":
            raise OSError("Could not find the necessary `safetensors` weights in {...}")
        return other

    with pytest.raises(StageError) as caught:
        pull("sd15", tmp_path / "store", NullProgress(), downloader=download)
    assert (
        f"first/model: the checkpoint is not the one that is recorded: {WEIGHTS} is another file" in caught.value.what
    )
    assert "second/model: it has no weights in safetensors" in caught.value.what
    assert not list((tmp_path / "store").rglob("*.safetensors"))


class GatedRepoError(Exception):
    """Stands for the hub's own, which is known by its name."""


def test_when_nothing_is_reachable_every_mirror_and_the_local_path_are_named(
    snapshot: Path, known: list[Mirror], tmp_path: Path
) -> None:
    def download(mirror: Mirror, offline: bool) -> Path:
        if mirror.repo_id == "first/model":
            raise ConnectionError("name resolution failed\nmuch advice")
        raise GatedRepoError("403")

    with pytest.raises(StageError) as caught:
        pull("sd15", tmp_path, NullProgress(), downloader=download)
    assert "first/model: not reachable: name resolution failed (ConnectionError)" in caught.value.what
    assert "second/model: gated: accept its license on its page and set HF_TOKEN" in caught.value.what
    assert "much advice" not in caught.value.what
    assert "tenfold models import PATH --name sd15" in caught.value.todo
    assert "local folder" in caught.value.todo


@pytest.mark.parametrize("by_option", [True, False])
def test_offline_mode_looks_into_the_cache_only(
    by_option: bool, snapshot: Path, known: list[Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def download(mirror: Mirror, offline: bool) -> Path:
        asked.append(offline)
        raise FileNotFoundError("nothing in the cache")

    if not by_option:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StageError, match="offline mode forbids") as caught:
        pull("sd15", tmp_path, NullProgress(), offline=by_option, downloader=download)
    assert asked == [True, True]
    assert "HF_HUB_OFFLINE" in caught.value.todo


def test_the_hubs_own_cache_serves_without_a_network(snapshot: Path, known: list[Mirror], tmp_path: Path) -> None:
    """The real downloader of diffusers, on a cache of the hub's layout."""
    place = tmp_path / "cache" / "models--first--model"
    shutil.copytree(snapshot, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    found = download_snapshot(known[0], True, tmp_path / "cache")
    assert found.name == COMMIT
    folder = pull("sd15", tmp_path / "store", NullProgress(), offline=True, downloader=lambda *_: found)
    assert verify_checkpoint(folder).basis == "lock"
    with pytest.raises(OSError, match=r"cache|find"):
        download_snapshot(known[1], True, tmp_path / "none")


def test_too_little_space_and_a_full_disk_are_told(
    snapshot: Path, known: list[Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(mirror: Mirror, offline: bool) -> Path:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"):
        pull("sd15", tmp_path, NullProgress(), downloader=full)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    with pytest.raises(StorageError, match="are to come"):
        pull("sd15", tmp_path, NullProgress(), downloader=lambda *_: snapshot)


def test_import_copies_what_a_checkpoint_needs_and_no_more(snapshot: Path, tmp_path: Path) -> None:
    clean = Path(shutil.copytree(snapshot, tmp_path / "clean"))
    (clean / "run.json").write_text("{}")
    folder = import_folder(clean, "mine", tmp_path / "store")
    names = {path.name for path in folder.iterdir()}
    assert names == {"model_index.json", "vae", "unet", "text_encoder", "tokenizer", "scheduler"}
    assert not list(folder.rglob("*.bin"))
    with pytest.raises(CheckpointError, match="already at 'mine'"):
        import_folder(clean, "mine", tmp_path / "store")
    for name in ("../mine", "a b", "", ".hidden", "näme"):
        with pytest.raises(InputError, match="cannot be called"):
            import_folder(clean, name, tmp_path / "store")


def test_a_registered_name_takes_no_other_weights_and_no_other_kind(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not those of 'sd15'"):
        import_folder(snapshot, "sd15", tmp_path)
    with pytest.raises(CheckpointError, match="is for text2img, 'x4-upscaler' stands for upscale"):
        import_folder(snapshot, "x4-upscaler", tmp_path)
    assert read_lock(tmp_path) == {}


def test_an_interrupted_import_leaves_nothing_that_counts(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            import_folder(snapshot, "mine", tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.safetensors"))
    assert import_folder(snapshot, "mine", tmp_path / "store").is_dir()


def test_export_gives_a_folder_for_plain_diffusers_or_a_lora(snapshot: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    model = Path(shutil.copytree(snapshot, tmp_path / "model"))
    (model / "checkpoints").mkdir()
    (model / "losses.csv").write_text("step,loss\n")
    written = export_folder(model, tmp_path / "out")
    assert WEIGHTS in written and not [path for path in written if "losses" in path or path.endswith(".bin")]
    StableDiffusionPipeline.from_pretrained(tmp_path / "out", local_files_only=True)
    with pytest.raises(CheckpointError, match="already"):
        export_folder(model, tmp_path / "out")

    lora = tmp_path / "lora"
    lora.mkdir()
    for name in ("pytorch_lora_weights.safetensors", "adapter.json", "losses.csv"):
        (lora / name).write_text("{}")
    assert export_folder(lora, tmp_path / "lora-out") == ["adapter.json", "pytorch_lora_weights.safetensors"]
