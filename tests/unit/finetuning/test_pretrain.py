"""A base is pretrained from nothing in seconds at toy size, resumes, and loads with plain diffusers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from tenfold.core.errors import DataError, InputError
from tenfold.core.executor import ProcessExecutor, SerialExecutor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.seeds import torch_generator
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth import run as run_dreambooth
from tenfold.finetuning.model_records import learned_by_base
from tenfold.finetuning.pretrain import run
from tenfold.finetuning.pretrain_archive import gather_manifest
from tenfold.finetuning.pretrain_autoencoder import build_autoencoder, draw_crops, standardize_latents
from tenfold.finetuning.pretrain_config import AutoencoderConfig, DenoiserConfig, FeatureConfig, PretrainConfig
from tenfold.finetuning.pretrain_tokenizer import train_tokenizer
from tenfold.intake.archive import run_archive
from tenfold.intake.archive_config import ArchiveConfig
from tests.image_files import write_image
from tests.tiny_data import ids_of, make_tiny_workspace

TINY = PretrainConfig(
    name="tiny",
    archive_images=48,
    image_size_px=16,
    autoencoder=AutoencoderConfig(
        block_out_channels=(16, 56, 16), latent_channels=2, norm_num_groups=2, crop_px=8, crop_steps=4,
        crop_batch_size=4, full_steps=3, full_batch_size=2, decoder_steps=2,
    ),
    denoiser=DenoiserConfig(
        block_out_channels=(16, 16), attention_heads=2, text_hidden_size=16, text_layers=1, vocabulary_size=700,
        steps=4, batch_size=4,
    ),
    features=FeatureConfig(channels=(8, 8, 16), steps=4, batch_size=4),
    checkpointing_steps=2,
    samples=2,
)  # fmt: skip


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def image_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _run(path: Path, config: PretrainConfig = TINY) -> Result:
    workspace = Workspace.open_or_create(path, name="test", root_seed=1, data_license="CC0")
    with SerialExecutor() as executor:
        return run(config, workspace, executor, NullProgress())


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    path = tmp_path_factory.mktemp("pretrain")
    return path, _run(path)


def test_the_base_loads_with_plain_diffusers_and_draws(pretrained: tuple[Path, Result]) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(pretrained[1].folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    images = pipeline(
        ["a photo of nevus", "a photo of ohwx \u76ae\u819a"],
        num_inference_steps=2,
        output_type="np",
        generator=torch_generator(1),
    ).images
    assert images.shape == (2, 16, 16, 3)
    assert np.isfinite(images).all()


def test_the_record_tells_steps_and_a_second_call_does_nothing(pretrained: tuple[Path, Result]) -> None:
    path, result = pretrained
    assert result.summary["steps"] == {"autoencoder-decoder": 2, "denoiser": 4, "features": 4}
    assert read_json(result.folder / "training_rows.json") == {"image_ids": [], "archive_image_ids": []}
    assert set(result.summary["mean_loss_of_last_100_steps"]) == {"denoiser", "autoencoder-decoder", "features"}
    assert _run(path).was_finished


def test_what_is_left_is_a_model_with_its_card_and_no_images_of_the_archive(pretrained: tuple[Path, Result]) -> None:
    folder = pretrained[1].folder
    assert not (folder / "work").exists()
    assert image_size(folder / "samples.png") == (16 + 2 + 16, 16)
    assert sorted(path.name for path in (folder / "losses").iterdir()) == [
        "autoencoder-crops.csv", "autoencoder-decoder.csv", "autoencoder-pictures.csv", "denoiser.csv", "features.csv",
    ]  # fmt: skip
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "48 drawn images" in card
    assert "License of those images, which binds this model too: CC0" in card
    assert "| denoiser | 4 |" in card


@pytest.fixture(scope="module")
def from_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Result]:
    """A base from a folder of six images without classes, one of them a test image of the workspace."""
    path = tmp_path_factory.mktemp("own")
    workspace = make_tiny_workspace(path / "ws", image_size_px=16)
    table = read_manifest(workspace.resolve("data/manifest.parquet")).set_index("image_id")
    for number in range(4):
        write_image(path / "all" / f"{number}.png", number)
    for split in ("train", "test"):
        source = workspace.resolve(table.loc[ids_of(workspace, split)[0], "path"])
        (path / "all" / f"{split}.png").write_bytes(source.read_bytes())
    with SerialExecutor() as executor:
        archive = ArchiveConfig(source=str(path / "all"), image_size_px=16, data_license="hospital's own")
        run_archive(archive, workspace, executor, NullProgress())
        config = TINY.model_copy(update={"archive": "archives/archive/manifest.parquet"})
        return workspace, run(config, workspace, executor, NullProgress())


def test_an_archive_without_classes_gives_a_base_without_feature_net(from_archive: tuple[Workspace, Result]) -> None:
    workspace, result = from_archive
    assert result.summary["archive_images"] == 5
    assert result.summary["held_out"] == {"is_checked": True, "same_image": 1, "related": 0}
    assert set(result.summary["steps"]) == {"autoencoder-decoder", "denoiser"}
    assert not (result.folder / "features").exists()
    rows = read_json(result.folder / "training_rows.json")
    assert rows["image_ids"] == list(ids_of(workspace, "train")[:1])
    assert len(rows["archive_image_ids"]) == 4
    card = (result.folder / "README.md").read_text(encoding="utf-8")
    assert "5 real images" in card
    assert 'no captions; 5 under the words "a photo"' in card
    assert "hospital's own" in card
    assert "1 images were left out" in card
    assert StableDiffusionPipeline.from_pretrained(result.folder).unet.config.sample_size == 4


def test_dreambooth_goes_on_from_it(from_archive: tuple[Workspace, Result]) -> None:
    workspace, result = from_archive
    config = DreamBoothConfig(
        name="fine", seed=1, base_checkpoint="models/tiny", training_ids=ids_of(workspace, "train"),
        max_train_steps=2, train_batch_size=2, samples_per_class=0,
    )  # fmt: skip
    with SerialExecutor() as executor:
        tuned = run_dreambooth(config, workspace, executor, NullProgress())
    assert read_json(tuned.folder / "training_rows.json")["image_ids"] == sorted(ids_of(workspace, "train"))
    assert set(read_json(result.folder / "training_rows.json")["image_ids"]) <= set(config.training_ids)


def test_an_archive_image_that_became_a_test_image_bars_the_base(
    from_archive: tuple[Workspace, Result], tmp_path: Path
) -> None:
    """Pretrained before anything was split: the ids of the archive are compared with the later split."""
    workspace, result = from_archive
    base = tmp_path / "base"
    shutil.copytree(result.folder, base)
    test_id = ids_of(workspace, "test")[0]
    write_json_atomic(base / "training_rows.json", {"image_ids": [], "archive_image_ids": [test_id, "f" * 16]})
    assert learned_by_base(base, workspace).image_ids == (test_id,)
    config = DreamBoothConfig(
        name="leaky", seed=1, base_checkpoint=str(base), training_ids=ids_of(workspace, "train"), max_train_steps=1
    )
    with SerialExecutor() as executor, pytest.raises(DataError, match=f"image {test_id} is a real image of the split"):
        run_dreambooth(config, workspace, executor, NullProgress())


def test_another_run_does_not_sweep_an_unfinished_one_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.open_or_create(tmp_path, name="test", root_seed=1, data_license="CC0")
    work = tmp_path / "models" / "tiny" / "work"
    longer = TINY.model_copy(update={"denoiser": TINY.denoiser.model_copy(update={"steps": 5})})
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("tenfold.finetuning.pretrain.make_archive", _killed)
        _run(tmp_path, longer)
    with SerialExecutor() as executor, pytest.raises(InputError, match="other settings") as caught:
        run(TINY, workspace, executor, NullProgress())
    assert "denoiser.steps: 5 in the checkpoint, 4 now" in caught.value.where
    assert work.is_dir()


def test_a_killed_pretraining_goes_on_to_the_same_base(
    pretrained: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("tenfold.finetuning.pretrain.train_on_latents", _killed)
        _run(tmp_path)
    assert (tmp_path / "models" / "tiny" / "work" / "autoencoder.safetensors").is_file()
    assert _run(tmp_path).outputs == pretrained[1].outputs


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    workspace = Workspace.open_or_create(tmp_path, name="test", root_seed=1, data_license="CC0")
    with SerialExecutor() as executor, pytest.raises(InputError, match="images of 20 px do not fit"):
        run(TINY.model_copy(update={"image_size_px": 20}), workspace, executor, NullProgress())


def test_pretraining_is_repeatable(pretrained: tuple[Path, Result], tmp_path: Path) -> None:
    assert _run(tmp_path).outputs == pretrained[1].outputs


def test_more_processes_than_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 processes"):
        _run(tmp_path, TINY.model_copy(update={"data_parallel": 2}))


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    workspace = Workspace.open_or_create(tmp_path, name="test", root_seed=1, data_license="CC0")
    with ProcessExecutor(3) as executor, pytest.raises(InputError, match="a batch of 4 cannot be shared"):
        run(TINY.model_copy(update={"data_parallel": 3}), workspace, executor, NullProgress())


@pytest.mark.slow
def test_two_processes_share_the_batches(tmp_path: Path) -> None:
    workspace = Workspace.open_or_create(tmp_path, name="test", root_seed=1, data_license="CC0")
    with ProcessExecutor(2) as executor:
        result = run(TINY.model_copy(update={"data_parallel": 2}), workspace, executor, NullProgress())
    assert result.summary["steps"] == {"autoencoder-decoder": 2, "denoiser": 4, "features": 4}


def test_standardized_latents_leave_pictures_as_they_were() -> None:
    vae = build_autoencoder(TINY.autoencoder, 16, seed=3).eval()
    images = np.random.default_rng(1).integers(0, 255, (64, 16, 16, 3), dtype=np.uint8)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures).latent_dist.mean).sample
        standardize_latents(vae, images)
        posterior = vae.encode(pictures).latent_dist
        after = vae.decode(posterior.mean).sample
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(posterior.mean.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4)
    variance = (posterior.mean.square() + posterior.var).mean(dim=(0, 2, 3))
    assert torch.allclose(variance, torch.ones(2), atol=1e-3)


def test_crops_are_keyed_by_their_seed() -> None:
    images = np.random.default_rng(1).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    assert np.array_equal(draw_crops(images, 6, 8, seed=4), draw_crops(images, 6, 8, seed=4))
    assert not np.array_equal(draw_crops(images, 6, 8, seed=4), draw_crops(images, 6, 8, seed=5))


def test_any_text_is_tokenized_and_common_words_are_whole(tmp_path: Path) -> None:
    captions = ["a photo of seborrheic keratosis, on dark skin, Fitzpatrick skin type V"] * 5
    tokenizer = train_tokenizer(captions, tmp_path, vocabulary_size=900, max_length=48)
    assert "keratosis</w>" in tokenizer.tokenize("Keratosis")
    text = "\u76ae\u819a ohwx \u00dcberraschung"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text.lower()
    assert tokenizer.unk_token_id not in tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_workspace_manifest_gives_its_training_images_only(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path, image_size_px=16)
    archive = gather_manifest(tmp_path / "archive", workspace, "data/manifest.parquet", image_size_px=16)
    assert tuple(archive.image_ids) == ids_of(workspace, "train")
    assert archive.images.shape == (8, 16, 16, 3)
    assert set(archive.labels) == {"mole", "rash"}
    assert archive.captions[0].startswith("a photo of mole, red")
    assert set(archive.skin_types) <= {1, 2, 3, 4}


def test_a_manifest_with_held_out_rows_is_refused(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path, image_size_px=16)
    table = read_manifest(tmp_path / "data" / "manifest.parquet")
    write_manifest(table.assign(split="test"), tmp_path / "data" / "other.parquet")
    with pytest.raises(DataError, match="16 of 16 rows belong to the validation or test split"):
        gather_manifest(tmp_path / "archive", workspace, "data/other.parquet", image_size_px=16)
