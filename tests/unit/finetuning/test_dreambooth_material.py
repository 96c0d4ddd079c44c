"""What DreamBooth learns from: color jitter, cuts to the lesion, captions from files, priors and models per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tenfold.core.errors import DataError, FaultsError, InputError
from tenfold.core.seeds import numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, manifest_rows, read_manifest, write_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.finetuning.captions_files import cut_ends, read_caption_files, refuse_missing_captions
from tenfold.finetuning.color_jitter import ColorJitter
from tenfold.finetuning.config import DreamBoothConfig, FinetuneConfig
from tenfold.finetuning.datasets import load_image_set, read_rows
from tenfold.finetuning.dreambooth_material import per_class_configs, read_material
from tenfold.finetuning.focus import focus_images, lesion_box
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.prior_images import read_prior_images
from tenfold.models.pipelines import Components, load_components
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return load_components(make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


def _change_rows(workspace: Workspace, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Other values for rows of the manifest, by image id."""
    path = workspace.path / "data/manifest.parquet"
    rows = [{**row, **changes.get(row["image_id"], {})} for row in manifest_rows(read_manifest(path))]
    write_manifest(make_manifest(rows), path)


def _config(workspace: Workspace, **changes: Any) -> DreamBoothConfig:
    return DreamBoothConfig(**{"name": "mine", "seed": 1, "training_ids": ids_of(workspace, "train"), **changes})


@pytest.mark.parametrize("option", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_changes_colors_as_the_generator_says(option: str) -> None:
    image = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    jitter = ColorJitter(**{option: 0.3})
    changed = jitter.apply(image, numpy_generator(1))
    assert changed.shape == image.shape and changed.dtype == np.uint8
    assert not np.array_equal(changed, image)
    assert np.array_equal(changed, jitter.apply(image, numpy_generator(1)))
    assert not np.array_equal(changed, jitter.apply(image, numpy_generator(2)))
    assert np.array_equal(ColorJitter().apply(image, numpy_generator(1)), image)


def test_jitter_leaves_gray_gray_and_the_hue_turns_in_a_circle() -> None:
    gray = np.full((8, 8, 3), 90, dtype=np.uint8)
    assert np.array_equal(ColorJitter(saturation=0.9, hue=0.5).apply(gray, numpy_generator(1)), gray)
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    turned = ColorJitter(hue=0.5).apply(red, numpy_generator(4))
    assert turned.max(axis=2).min() == pytest.approx(200, abs=2) and not np.array_equal(turned, red)


def test_views_jitter_all_crops_but_the_whole_image(components: Components) -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    plain = cache_latents(components, images, Views(crops=3, mirrors=True), seed=1).moments
    jittered = cache_latents(
        components, images, Views(crops=3, mirrors=True, jitter=ColorJitter(brightness=0.4)), seed=1
    ).moments
    assert torch.equal(plain[:, [0, 3]], jittered[:, [0, 3]])
    assert not torch.allclose(plain[:, 1], jittered[:, 1]) and not torch.allclose(plain[:, 2], jittered[:, 2])


def test_a_lesion_box_is_a_square_with_a_margin_inside_the_image() -> None:
    mask = np.zeros((100, 120), dtype=np.uint8)
    assert lesion_box(mask, 0.25) is None
    mask[40:60, 30:70] = 1
    top, left, side = lesion_box(mask, 0.25) or (0, 0, 0)
    assert (top, left, side) == (20, 20, 60)
    mask[:] = 0
    mask[0:2, 118:120] = 255
    assert lesion_box(mask, 0.25) == (0, 95, 25)
    mask[:] = 7
    assert lesion_box(mask, 0.5) == (0, 10, 100)


def _add_mask(workspace: Workspace, image_id: str, mask: np.ndarray) -> None:
    path = workspace.path / "data/masks" / f"{image_id}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_png(mask))
    _change_rows(workspace, {image_id: {"mask_path": workspace.relative(path)}})


def test_images_are_cut_to_their_masks_and_those_without_one_stay_whole(tiny: Workspace) -> None:
    ids = ids_of(tiny, "train")[:3]
    small, empty = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    small[4:12, 16:24] = 255
    _add_mask(tiny, ids[0], small)
    _add_mask(tiny, ids[1], empty)
    rows = read_rows(tiny, ids, allowed_splits=("train",))
    plain = load_image_set(tiny, rows, ["a"] * 3, 32)
    cut, whole = focus_images(tiny, rows, plain.images, 0.25)
    assert np.array_equal(cut[0], plain.images[0, 2:14, 14:26]) and whole == list(ids[1:])
    focused = load_image_set(tiny, rows, ["a"] * 3, 32, focus_margin=0.25)
    assert focused.images.shape == (3, 32, 32, 3) and focused.whole_ids == ids[1:]
    assert np.array_equal(focused.images[1:], plain.images[1:])
    assert not np.array_equal(focused.images[0], plain.images[0])
    material = read_material(_config(tiny, focus="mask"), tiny, 32, ())
    assert "7 images have no mask" in material.notes[0] and len(material.instances.image_ids) == 8


def test_a_mask_of_another_size_or_none_at_all_is_refused(tiny: Workspace) -> None:
    ids = ids_of(tiny, "train")
    with pytest.raises(DataError, match="no training image has a mask with a lesion"):
        read_material(_config(tiny, focus="mask"), tiny, 32, ())
    _add_mask(tiny, ids[0], np.full((16, 20), 255, np.uint8))
    _change_rows(tiny, {ids[1]: {"mask_path": "data/masks/gone.png"}})
    with pytest.raises(FaultsError) as caught:
        read_material(_config(tiny, focus="mask"), tiny, 32, ())
    assert f"the mask of image {ids[0]} is 20 x 16 px" in str(caught.value)
    assert "32 x 32 px, as its image" in str(caught.value)
    assert f"the mask of image {ids[1]} is missing" in str(caught.value)


def test_caption_files_are_found_by_id_and_by_the_original_name(tiny: Workspace, tmp_path: Path) -> None:
    ids = ids_of(tiny, "train")[:4]
    originals = ["mole/a.jpg", "rash/a.jpg", "b.jpg", "deep/er/c.png"]
    _change_rows(tiny, {one: {"attr.original_path": name} for one, name in zip(ids, originals, strict=True)})
    rows = read_rows(tiny, ids, allowed_splits=("train",))
    for name in ("mole/a.txt", "b.txt", "deep/er/c.txt", f"{ids[1]}.txt"):
        (tmp_path / "captions" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "captions" / name).write_text(f"  words of\n{name} ", encoding="utf-8")
    captions = read_caption_files(tmp_path / "captions", rows)
    assert captions == {
        ids[0]: "words of mole/a.txt",
        ids[1]: f"words of {ids[1]}.txt",
        ids[2]: "words of b.txt",
        ids[3]: "words of deep/er/c.txt",
    }


def test_eleven_images_for_ten_captions_name_the_image(tiny: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "captions"
    folder.mkdir()
    ids = ids_of(tiny, "train")
    for image_id in ids[1:]:
        (folder / f"{image_id}.txt").write_text("small warts")
    rows = read_rows(tiny, ids, allowed_splits=("train",))
    with pytest.raises(DataError, match=rf"8 images for 7 captions: none for {ids[0]}(.|\n)*--set training_ids=\["):
        refuse_missing_captions(read_caption_files(folder, rows), rows, folder)
    (folder / f"{ids[0]}.txt").write_text(" \n")
    with pytest.raises(DataError, match=f"caption of image {ids[0]} is empty"):
        read_caption_files(folder, rows)
    (folder / f"{ids[0]}.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=f"caption of image {ids[0]} cannot be read"):
        read_caption_files(folder, rows)
    with pytest.raises(DataError, match="no folder of captions"):
        read_caption_files(tmp_path / "none", rows)


def test_one_caption_file_for_two_images_is_refused(tiny: Workspace, tmp_path: Path) -> None:
    mole, rash = ids_of(tiny, "train", "mole")[0], ids_of(tiny, "train", "rash")[0]
    _change_rows(tiny, {mole: {"attr.original_path": "x/1.png"}, rash: {"attr.original_path": "y/1.png"}})
    (tmp_path / "1.txt").write_text("warts")
    rows = read_rows(tiny, (mole, rash), allowed_splits=("train",))
    with pytest.raises(DataError, match="fits two images"):
        read_caption_files(tmp_path, rows)


def test_captions_of_files_become_prompts_and_held_out_images_may_lack_one(tiny: Workspace, tmp_path: Path) -> None:
    for image_id in ids_of(tiny, "train"):
        (tmp_path / f"{image_id}.txt").write_text("Many early stage warts")
    config = _config(tiny, captions="files", caption_files=str(tmp_path), validation_ids=ids_of(tiny, "val"))
    material = read_material(config, tiny, 32, ())
    assert material.instances.prompts[0] == "a photo of ohwx mole, Many early stage warts"
    assert material.held_out is not None and material.held_out.prompts[0].startswith("a photo of ohwx mole, red")
    assert "4 validation images have no caption file" in material.notes[0]


def test_the_unread_end_of_a_long_caption_is_named(components: Components) -> None:
    long = "many warts " * 200
    ends = cut_ends(components, ["short", long, long])
    # The tiny tokenizer reads 40 tokens, a letter each, with two marks.
    assert list(ends) == [long]
    assert long.replace(" ", "")[:38] + ends[long].replace(" ", "") == long.replace(" ", "")


def test_priors_can_be_limited_to_labels(tiny: Workspace) -> None:
    real = read_manifest(tiny.path / "data/manifest.parquet")
    rows = [
        {"image_id": f"{number:016x}", "path": real["path"][0], "label": label, "source": "synthetic",
         "split": "train", "prompt": f"a photo of {label}", "ancestors": "[]"}
        for number, label in enumerate(("mole", "rash", "mole"))
    ]  # fmt: skip
    write_manifest(make_manifest(rows), tiny.path / "synthetic/prior/manifest.parquet")
    path = "synthetic/prior/manifest.parquet"
    prior = read_prior_images(tiny, path, training_ids=[], image_size_px=32, labels=("mole",))
    assert prior.labels == ("mole", "mole")
    with pytest.raises(DataError, match="no prior images of wart"):
        read_prior_images(tiny, path, training_ids=[], image_size_px=32, labels=("mole", "wart"))


def test_a_model_per_class_has_its_own_images_and_seed_and_the_shared_identifiers(tiny: Workspace) -> None:
    manifest = with_split(
        read_manifest(tiny.path / "data/manifest.parquet"), read_sealed_split(tiny.path / "data/splits.json")
    )
    labels = {row["image_id"]: row["label"] for row in manifest_rows(manifest)}
    config = _config(
        tiny, validation_ids=ids_of(tiny, "val"), prior_manifest="synthetic/prior/manifest.parquet", learning_rate=3e-5
    )
    mole, rash = per_class_configs(config, labels, has_class_priors=True)
    assert (mole.name, rash.name) == ("mine-mole", "mine-rash") and mole.seed != rash.seed
    assert rash.training_ids == ids_of(tiny, "train", "rash") and rash.validation_ids == ids_of(tiny, "val", "rash")
    assert rash.identifiers == {"rash": "zwxq"} and mole.identifiers == {"mole": "ohwx"}
    assert rash.prior_labels == ("rash",) and rash.learning_rate == 3e-5
    assert per_class_configs(config, labels)[0].prior_labels is None
    with pytest.raises(DataError, match="is not known"):
        per_class_configs(config, {})
    few = {"validation_ids": ids_of(tiny, "val", "mole"), "checkpoint_choice": "validation"}
    with pytest.raises(InputError, match=r"no model of rash alone .* needs validation_ids"):
        per_class_configs(config.model_copy(update=few), labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_ids": ()}, "at least 1 item"),
        ({"method": "lora", "train_text_encoder": True}, "lora_text_encoder"),
        ({"lora_text_encoder": True}, "belongs to method=lora"),
        ({"text_encoder_max_steps": 3}, "text encoder is not trained"),
        ({"jitter_hue": 0.1, "crops_per_image": 1}, "crops_per_image must be 2"),
        ({"checkpoint_choice": "validation"}, "needs validation_ids"),
        (
            {
                "checkpoint_choice": "validation",
                "validation_ids": ("b",),
                "validation_steps": 4,
                "weights_every_steps": 6,
            },
            "multiple of validation_steps",
        ),
        ({"captions": "files"}, "go together"),
        ({"caption_files": "captions"}, "go together"),
    ],
)
def test_options_that_disagree_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DreamBoothConfig(**{"name": "mine", "seed": 1, "training_ids": ("a",), **changes})


def test_the_shared_configuration_stands_alone() -> None:
    config = FinetuneConfig.model_validate({"name": "mine", "seed": 1, "training_ids": ("a",)})
    assert config.method == "full" and config.checkpoint_choice == "last" and not config.trackers


def test_masks_may_be_of_any_gray_format(tiny: Workspace) -> None:
    image_id = ids_of(tiny, "train")[0]
    path = tiny.path / "data/masks.png"
    levels = np.zeros((32, 32), np.uint8)
    levels[10:20, 10:20] = 1
    Image.fromarray(levels).convert("P").save(path)
    _change_rows(tiny, {image_id: {"mask_path": "data/masks.png"}})
    rows = read_rows(tiny, (image_id,), allowed_splits=("train",))
    assert load_image_set(tiny, rows, ["a"], 32, focus_margin=0.2).whole_ids == ()
