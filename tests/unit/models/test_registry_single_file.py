"""Single-file checkpoints are read by their header, refused with a reason, or converted to the same weights offline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.workspace import Workspace
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.checkpoint_verification import verify_checkpoint
from tenfold.models.pipelines import load_components
from tenfold.models.registry import read_lock
from tenfold.models.registry_pull import import_folder
from tenfold.models.single_file import import_single_file, read_single_file
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_single_file import write_single_file

FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def single(tiny: Path) -> Path:
    return write_single_file(tiny, tiny.with_name("tiny.safetensors"))


def test_a_converted_file_has_the_weights_it_came_from(tiny: Path, single: Path, tmp_path: Path) -> None:
    configs = Path(shutil.copytree(tiny, tmp_path / "configs"))
    for weights in configs.rglob("*.safetensors"):
        weights.unlink()
    folder = import_single_file(single, "derm", tmp_path / "store", configs)
    found, wanted = load_components(folder), load_components(tiny)
    for part in ("unet", "vae", "text_encoder"):
        state = getattr(wanted, part).state_dict()
        assert state, part
        for name, tensor in getattr(found, part).state_dict().items():
            assert torch.equal(tensor, state[name]), f"{part}.{name}"
    lock = read_lock(tmp_path / "store")["derm"]
    assert (lock.origin, lock.kind) == ("file:tiny.safetensors", "text2img")
    assert verify_checkpoint(folder).basis == "lock"
    assert str(tmp_path) not in (folder / "unet" / "config.json").read_text()


def test_configs_come_from_the_registrys_checkpoint_of_the_same_architecture(
    tiny: Path, single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="carries weights only") as caught:
        import_single_file(single, "derm", tmp_path)
    assert "tenfold models pull sd15" in caught.value.todo and "--like" in caught.value.todo
    monkeypatch.setattr("tenfold.models.registry_pull._check_known_digests", lambda *_: None)
    import_folder(tiny, "sd15", tmp_path)
    assert import_single_file(single, "derm", tmp_path).is_dir()
    with pytest.raises(CheckpointError, match="already"):
        import_single_file(single, "derm", tmp_path)


def test_the_reference_says_how_to_import(single: Path, workspace: Workspace) -> None:
    with pytest.raises(CheckpointError, match="single file") as caught:
        resolve_checkpoint(str(single), workspace)
    assert "tenfold models import" in caught.value.todo


@pytest.mark.parametrize(
    ("first_layer", "other", "expected"),
    [
        ((320, 4, 3, 3), "cond_stage_model.transformer.text_model.x", ("text2img", False, "float32", "sd15")),
        (
            (320, 9, 3, 3),
            "cond_stage_model.transformer.text_model.x",
            ("inpainting", False, "float32", "sd15-inpainting"),
        ),
        ((320, 4, 3, 3), "cond_stage_model.model.x", ("text2img", False, "float32", "sd21-base")),
        ((320, 9, 3, 3), "cond_stage_model.model.x", ("inpainting", False, "float32", None)),
        ((320, 4, 3, 3), "conditioner.embedders.1.model.x", ("text2img", True, "float32", "sdxl-base")),
        ((256, 7, 3, 3), "cond_stage_model.model.x", ("upscale", False, "float32", "x4-upscaler")),
    ],
)
def test_the_header_tells_the_architecture(
    first_layer: tuple[int, ...], other: str, expected: tuple[object, ...], tmp_path: Path
) -> None:
    save_file({FIRST_LAYER: torch.zeros(first_layer), other: torch.zeros(1)}, tmp_path / "model.safetensors")
    found = read_single_file(tmp_path / "model.safetensors")
    assert (found.kind, found.is_xl, found.dtype, found.like) == expected


def test_half_precision_stays_half_precision(single: Path, tiny: Path, tmp_path: Path) -> None:
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in load_file(single).items()}
    save_file(half, tmp_path / "half.safetensors")
    folder = import_single_file(tmp_path / "half.safetensors", "half", tmp_path / "store", tiny)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


def test_what_is_no_whole_checkpoint_is_refused(single: Path, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match=r"model\.ckpt is a pickle file") as caught:
        import_single_file(tmp_path / "model.ckpt", "derm", tmp_path)
    assert "save_pretrained" in caught.value.todo
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(CheckpointError, match="is a LoRA"):
        read_single_file(tmp_path / "lora.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no Stable Diffusion UNet"):
        read_single_file(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_single_file(tmp_path / "none.safetensors")
    whole = single.read_bytes()
    for content in (b"", b"12345678", whole[: len(whole) // 2], whole + b"0"):
        (tmp_path / "cut.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"not a whole \.safetensors file"):
            read_single_file(tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match="no configs in the folder"):
        import_single_file(single, "derm", tmp_path / "store", tmp_path / "empty")


def test_a_file_of_another_architecture_is_told(single: Path, tiny: Path, tmp_path: Path) -> None:
    tensors = load_file(single)
    gone = [name for name in tensors if name.startswith("cond_stage_model.")]
    save_file({name: tensor for name, tensor in tensors.items() if name not in gone}, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint like tiny"):
        import_single_file(tmp_path / "part.safetensors", "part", tmp_path / "store", tiny)
    assert read_lock(tmp_path / "store") == {}
    assert [path.name for path in (tmp_path / "store").iterdir()] in ([], [".models-lock.json.lock"])
