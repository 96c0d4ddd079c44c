"""Plans that start from real images: which parents, masks, tones and backgrounds, and never a held-out image."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import CheckpointError, DataError
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest, write_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.plan_reading import read_batches
from tenfold.generation.planning import Plan, plan, write_requests
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Training images with masks, but for the last one; the first two of the label mole are one patient's."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")
    path = workspace.path / "data" / "manifest.parquet"
    manifest = read_manifest(path)
    training = ids_of(workspace, "train")
    manifest["mask_path"] = manifest["mask_path"].mask(manifest["image_id"].isin(training[:-1]), "data/masks/some.png")
    manifest["skin_type_group"] = "III-IV"
    manifest["group_id"] = manifest["patient_id"].mask(manifest["image_id"].isin(training[:2]), "one patient")
    write_manifest(manifest, path)
    return workspace


def _plan(tiny: Workspace, base: Path, strategy: str, **changes: Any) -> Plan:
    options = {"name": "some", "seed": 9, "strategy": strategy, "checkpoint": str(base), **changes}
    return plan(GenerateConfig.model_validate(options), tiny)


def _rows(tiny: Workspace) -> dict[str, dict[str, Any]]:
    rows = manifest_rows(read_manifest(tiny.path / "data" / "manifest.parquet"))
    return {str(row["image_id"]): row for row in rows}


def test_only_training_images_are_started_from(tiny: Workspace, base: Path) -> None:
    planned = _plan(tiny, base, "autoencoder", reference_ids=ids_of(tiny, "train"))
    assert [request.parent_id for request in planned.requests] == list(ids_of(tiny, "train"))
    assert all(request.seed is None and request.prompt is None for request in planned.requests)
    assert _plan(tiny, base, "autoencoder").table["parent_id"].to_pylist() == list(ids_of(tiny, "train"))
    for split in ("val", "test"):
        with pytest.raises(DataError, match="not real images of the training split"):
            _plan(tiny, base, "img2img", reference_ids=ids_of(tiny, split))
    with pytest.raises(DataError, match="no training image of wart to start from"):
        _plan(tiny, base, "img2img", labels=("wart",))
    with pytest.raises(DataError, match="the same image"):
        _plan(tiny, base, "autoencoder", images_per_real_image=2)


def test_each_real_image_has_its_own_seeds_and_caption(tiny: Workspace, base: Path) -> None:
    planned = _plan(tiny, base, "img2img", images_per_real_image=3)
    requests = list(planned.requests)
    rows = _rows(tiny)
    assert Counter(request.parent_id for request in requests) == dict.fromkeys(ids_of(tiny, "train"), 3)
    assert len({request.seed for request in requests}) == len(requests) == 24
    for request in requests[8:16]:
        assert request.parent_id is not None
        assert request.seed == derive_seed(9, "generate", request.label, request.parent_id, 1)
        assert request.prompt == rows[request.parent_id]["caption"]
        assert (request.strength, request.label) == (0.7, rows[request.parent_id]["label"])
    assert set(planned.references) == set(ids_of(tiny, "train"))
    fewer = list(_plan(tiny, base, "img2img", images_per_real_image=1, labels=("rash",)).requests)
    assert fewer == [request for request in requests[:8] if request.label == "rash"]


def test_amounts_are_shared_out_over_the_parents(tiny: Workspace, base: Path) -> None:
    planned = _plan(tiny, base, "img2img", images_per_class=6, labels=("mole",))
    assert sorted(Counter(request.parent_id for request in planned.requests).values()) == [1, 1, 2, 2]
    prompts = {"mole": ("a {site} mole", "a mole"), "rash": ("a rash",)}
    by_prompt = _plan(tiny, base, "img2img", images_per_prompt=4, prompts=prompts)
    assert Counter(request.prompt for request in by_prompt.requests) == {"a arm mole": 4, "a mole": 4, "a rash": 4}


def test_tones_are_asked_for_in_equal_numbers(tiny: Workspace, base: Path) -> None:
    options = {"skin_types": (5, 6), "mask": "center", "recolor_to_skin_type": True}
    requests = list(_plan(tiny, base, "outpaint", **options).requests)
    assert Counter(request.skin_type for request in requests) == {5: 4, 6: 4}
    assert all(request.recolor_to == request.skin_type for request in requests)
    assert requests[0].prompt == "a photo of mole, red, on dark skin, Fitzpatrick skin type V"
    assert (requests[0].strength, requests[0].mask, requests[0].mask_area_fraction) == (0.95, "center", 0.25)
    kept = list(_plan(tiny, base, "inpaint", **(options | {"recolor_to_skin_type": False})).requests)
    rows = _rows(tiny)
    assert [request.skin_type for request in kept] == [rows[str(request.parent_id)]["skin_type"] for request in kept]


def test_the_kept_lesion_takes_the_type_that_the_prompt_asks_for(tiny: Workspace, base: Path) -> None:
    options = {"mask": "center", "recolor_to_skin_type": True, "fields": {"skin_type": (6,)}}
    prompts = {"mole": ("a mole, {skin_phrase}",), "rash": ("a rash, {skin_phrase}",)}
    requests = list(_plan(tiny, base, "outpaint", prompts=prompts, **options).requests)
    assert {(request.skin_type, request.recolor_to) for request in requests} == {(6, 6)}
    assert all(str(request.prompt).endswith("skin type VI") for request in requests)
    with pytest.raises(DataError, match="has no skin type to go by"):
        _plan(tiny, base, "outpaint", prompts={"mole": ("a mole",)}, **options)
    with pytest.raises(ValueError, match="recolor_to_skin_type needs skin_types"):
        _plan(tiny, base, "outpaint", prompts=prompts, **(options | {"fields": {}}))


def test_a_group_of_skin_types_is_drawn_from_the_training_images(tiny: Workspace, base: Path) -> None:
    prompts = {"mole": ("a mole, skin type {skin_type_group}",)}
    planned = _plan(tiny, base, "text2img", prompts=prompts, images_per_class=8)
    assert {request.prompt for request in planned.requests} == {"a mole, skin type III-IV"}
    assert planned.coverage()["skin_type_group"].tolist() == ["III-IV"]
    asked = _plan(tiny, base, "text2img", prompts=prompts, images_per_class=2, skin_types=(1, 6))
    assert {(request.prompt, request.skin_type) for request in asked.requests} == {
        ("a mole, skin type I-II", 1), ("a mole, skin type V-VI", 6)}  # fmt: skip


def test_random_masks_and_second_passes_have_seeds_of_their_own(tiny: Workspace, base: Path) -> None:
    requests = list(_plan(tiny, base, "in_then_outpaint", mask="random", upscaler="embedded:upscaler").requests)
    for name in ("seed", "outpaint_seed", "upscale_seed", "mask_seed"):
        assert len({getattr(request, name) for request in requests}) == 8
    first = requests[0]
    assert (first.strength, first.outpaint_strength, first.upscale_steps) == (0.97, 0.95, 20)
    assert first.upscaler_sha256 is not None and first.surroundings == "noisy"


def test_a_model_says_how_it_is_shown_a_hole(tiny: Workspace, base: Path) -> None:
    model = tiny.path / "models" / "painter"
    shutil.copytree(base, model)
    (model / "inpainting.json").write_text(json.dumps({"surroundings": "clean"}))
    planned = _plan(tiny, base, "inpaint", checkpoint="models/painter", mask="center")
    assert planned.first.surroundings == "clean"
    assert _plan(tiny, model, "outpaint", labels=("mole",), surroundings="noisy").first.surroundings == "noisy"
    with pytest.raises(ValueError, match="surroundings belongs to inpaint"):
        _plan(tiny, base, "img2img", surroundings="clean")
    config = json.loads((model / "unet" / "config.json").read_text())
    (model / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 17}))
    painter = _plan(tiny, base, "inpaint", checkpoint="models/painter", mask="center")
    assert painter.first.surroundings is None
    with pytest.raises(CheckpointError, match=r"cannot do img2img[\s\S]*a checkpoint for text2img"):
        _plan(tiny, base, "img2img", checkpoint="models/painter")
    with pytest.raises(CheckpointError, match=r"cannot do upscale[\s\S]*a checkpoint for upscale"):
        _plan(tiny, base, "img2img", upscaler=str(base))
    with pytest.raises(CheckpointError, match=r"cannot do text2img[\s\S]*as `upscaler`"):
        _plan(tiny, base, "text2img", checkpoint="embedded:upscaler", prompts={"mole": ("a mole",)})


def test_a_missing_mask_is_told_before_anything_is_drawn(tiny: Workspace, base: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 8 source images have no mask[\s\S]*set mask to center"):
        _plan(tiny, base, "inpaint")
    with pytest.raises(DataError, match="no mask"):
        _plan(tiny, base, "composite")
    masked = ids_of(tiny, "train")[:-1]
    assert _plan(tiny, base, "inpaint", reference_ids=masked).image_count == 7


def test_lesions_are_set_into_other_patients_images(tiny: Workspace, base: Path) -> None:
    masked = ids_of(tiny, "train")[:-1]
    planned = _plan(tiny, base, "composite", reference_ids=masked, images_per_real_image=5)
    rows = _rows(tiny)
    for request in planned.requests:
        parent, background = rows[str(request.parent_id)], rows[str(request.background_id)]
        assert background["group_id"] != parent["group_id"] and background["image_id"] in masked
        assert (request.label, request.skin_type) == (parent["label"], background["skin_type"])
        assert (request.checkpoint, request.prompt) == ("none", None)
    assert set(planned.references) == set(masked)
    dark = _plan(tiny, base, "composite", reference_ids=masked, labels=("mole",), background_labels=("rash",),
                 skin_types=(2,))  # fmt: skip
    assert {rows[str(request.background_id)]["skin_type"] for request in dark.requests} == {2}
    with pytest.raises(DataError, match="no background has skin type 6"):
        _plan(tiny, base, "composite", reference_ids=masked, skin_types=(6,))
    with pytest.raises(DataError, match="no background of another group"):
        _plan(tiny, base, "composite", reference_ids=masked[:2])


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        ("inpaint", {"keep_border_px": 3}, "keep_border_px belongs to outpaint, in_then_outpaint; inpaint has no use"),
        ("inpaint", {"recolor_to_skin_type": True, "skin_types": (6,)}, "recolor_to_skin_type belongs to outpaint"),
        ("text2img", {"recolor_to_skin_type": True, "skin_types": (6,)}, "recolor_to_skin_type belongs to outpaint"),
        ("text2img", {"mask_dilate_px": 0}, "mask_dilate_px belongs to"),
        ("img2img", {"mask_area_fraction": 0.5}, "mask_area_fraction belongs to inpaint"),
        ("inpaint", {"mask_area_fraction": 0.5}, "mask_area_fraction belongs to mask center or random"),
        ("composite", {"mask_feather_px": 2}, "mask_feather_px belongs to"),
        ("autoencoder", {"skin_types": (6,)}, "skin_types belongs to"),
        ("recolor", {"skin_types": (6,), "prompts": {"mole": ("a mole",)}}, "prompts belongs to"),
        ("composite", {"num_inference_steps": 3}, "num_inference_steps belongs to"),
        ("autoencoder", {"jpeg_quality": 80}, "jpeg_quality belongs to file_format jpeg"),
    ],
)
def test_options_that_would_do_nothing_are_refused(strategy: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GenerateConfig.model_validate({"name": "some", "seed": 1, "strategy": strategy, **options})
    defaults = GenerateConfig(name="some", seed=1).model_dump()
    fitting = {"strategy": strategy, "skin_types": (6,) if strategy == "recolor" else None}
    assert GenerateConfig.model_validate(defaults | fitting).strategy == strategy  # a study gives every field


def test_recoloring_makes_each_tone_once(tiny: Workspace, base: Path) -> None:
    planned = _plan(tiny, base, "recolor", skin_types=(1, 6), images_per_real_image=2)
    found = Counter((request.parent_id, request.recolor_to) for request in planned.requests)
    assert len(found) == 16 and set(found.values()) == {1}
    assert planned.ancestors == () and planned.first.seed is None
    with pytest.raises(DataError, match="the same image"):
        _plan(tiny, base, "recolor", skin_types=(1, 6), images_per_real_image=3)


@pytest.mark.parametrize(
    ("strategy", "changes"),
    [
        ("autoencoder", {}),
        ("img2img", {"prompts": {"mole": ('a {site} mole é "quoted"',)}, "file_format": "jpeg"}),
        ("outpaint", {"mask": "center", "guidance_interval": (0.1, 0.7), "keep_border_px": 3}),
        ("in_then_outpaint", {"mask": "random", "upscaler": "embedded:upscaler"}),
        ("recolor", {"skin_types": (5,)}),
        ("composite", {"mask_dilate_px": 2, "labels": ("mole",)}),
    ],
)
def test_a_written_plan_gives_the_same_requests_and_names(
    tiny: Workspace, base: Path, tmp_path: Path, strategy: str, changes: dict[str, Any]
) -> None:
    planned = _plan(tiny, base, strategy, batch_size=3, **changes)
    write_requests(planned, tmp_path / "plan.parquet")
    read = list(read_batches(tmp_path / "plan.parquet", reversed(range(planned.batch_count))))
    assert read == list(planned.batches)
    ids = [request.image_id for batch in read for request in batch.requests]
    assert ids == planned.table["image_id"].to_pylist() and len(set(ids)) == len(ids)
