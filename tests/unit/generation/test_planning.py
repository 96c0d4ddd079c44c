"""Plans: every image's name and seed is known before drawing, keyed by identity, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import CheckpointError, DataError
from tenfold.core.workspace import Workspace
from tenfold.generation.card import data_card
from tenfold.generation.config import GenerateConfig
from tenfold.generation.planning import (
    cut_batches,
    named_skin_type,
    plan,
    prompt_for_skin_type,
    text2img_requests,
    write_requests,
)
from tenfold.generation.provenance import PNG_KEY, provenance_text, read_provenance
from tenfold.generation.requests import ImageRequest
from tenfold.generation.run import planned_image_count
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

SHARED = ImageRequest(
    "text2img", "", "models/mine", "0" * 64, "float32", None, num_inference_steps=20, guidance_scale=3.0
)
PROMPTS = {"mole": ("a photo of ohwx mole, red", "a photo of ohwx mole"), "rash": ("a photo of zwxq rash",)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


@pytest.fixture
def model(tiny: Workspace, base: Path) -> Path:
    """A model of the workspace with the records that DreamBooth leaves."""
    folder = tiny.path / "models" / "mine"
    if not folder.exists():
        shutil.copytree(base, folder)
    (folder / "training_rows.json").write_text(json.dumps({"image_ids": list(ids_of(tiny, "train"))}))
    (folder / "prompts.json").write_text(json.dumps({"prompts": {label: list(PROMPTS[label]) for label in PROMPTS}}))
    return folder


def test_an_image_is_named_by_all_that_decides_it() -> None:
    request = replace(SHARED, label="mole", prompt="a mole", seed=5)
    assert request.image_id == replace(request).image_id == "5a91a5ea05df6bf8"
    changes = [
        {"seed": 6},
        {"prompt": "a rash"},
        {"checkpoint_sha256": "1" * 64},
        {"guidance_scale": 2.0},
        {"label": "x"},
    ]
    assert len({request.image_id, *(replace(request, **change).image_id for change in changes)}) == 6
    assert ImageRequest.from_dict(request.as_dict()) == request


def test_more_images_or_labels_leave_the_first_ones_as_they_are() -> None:
    few = text2img_requests(SHARED, {"rash": PROMPTS["rash"]}, (1, 6), 3, seed=9)
    many = text2img_requests(SHARED, PROMPTS, (1, 6), 8, seed=9)
    assert [request for request in many if request.label == "rash"][:3] == few
    assert len({request.seed for request in many}) == len(many) == 16


def test_skin_types_are_equal_in_number_and_meet_all_prompts() -> None:
    requests = text2img_requests(SHARED, {"mole": PROMPTS["mole"]}, (1, 3, 5), 12, seed=9)
    assert [request.skin_type for request in requests] == [1, 3, 5] * 4
    assert len({(request.skin_type, request.prompt) for request in requests}) == 6
    assert requests[0].prompt == "a photo of ohwx mole, red, on light skin, Fitzpatrick skin type I"


def test_a_prompt_changes_its_skin_type_and_nothing_else() -> None:
    prompt = "a photo of ohwx mole, red, on light skin, Fitzpatrick skin type II"
    assert prompt_for_skin_type(prompt, None) == prompt
    assert prompt_for_skin_type(prompt, 6) == "a photo of ohwx mole, red, on dark skin, Fitzpatrick skin type VI"
    assert [named_skin_type(text) for text in (prompt, prompt_for_skin_type(prompt, 6), "a mole")] == [2, 6, None]


def test_batches_are_consecutive_and_refuse_twins() -> None:
    requests = text2img_requests(SHARED, PROMPTS, None, 5, seed=9)
    batches = cut_batches(requests, 4)
    assert [len(batch.requests) for batch in batches] == [4, 4, 2]
    assert [request for batch in batches for request in batch.requests] == requests
    with pytest.raises(DataError, match="the same image"):
        cut_batches([requests[0], requests[0]], 4)


def test_prompts_and_ancestors_come_from_the_model(tiny: Workspace, model: Path, tmp_path: Path) -> None:
    config = GenerateConfig(name="some", seed=1, checkpoint="models/mine", images_per_class=3, batch_size=4)
    planned = plan(config, tiny)
    assert planned == plan(config, tiny)
    assert planned.ancestors == ids_of(tiny, "train")
    assert planned.counts() == {"mole": 3, "rash": 3}
    assert plan(config.model_copy(update={"labels": ("rash",)}), tiny).counts() == {"rash": 3}
    write_requests(planned, tmp_path / "requests.parquet")
    table = pd.read_parquet(tmp_path / "requests.parquet")
    assert list(table["image_id"]) == [request.image_id for request in planned.requests]
    assert list(table["batch"]) == [0, 0, 0, 0, 1, 1]
    assert list(table["seed"]) == [request.seed for request in planned.requests]


def test_ancestors_are_none_known_unknown_or_named(tiny: Workspace, model: Path, base: Path) -> None:
    config = GenerateConfig(name="some", seed=1, checkpoint=str(base), prompts={"mole": ("a mole",)})
    assert plan(config, tiny).ancestors == ()
    assert plan(config.model_copy(update={"ancestors_from": "models/mine"}), tiny).ancestors == ids_of(tiny, "train")
    with pytest.raises(DataError, match="no record of training images"):
        plan(config.model_copy(update={"ancestors_from": "models/none"}), tiny)
    (model / "training_rows.json").unlink()
    assert plan(config.model_copy(update={"checkpoint": "models/mine"}), tiny).ancestors is None


def test_missing_prompts_are_told(tiny: Workspace, base: Path) -> None:
    with pytest.raises(DataError, match="there are no prompts"):
        plan(GenerateConfig(name="some", seed=1, checkpoint=str(base)), tiny)
    config = GenerateConfig(name="some", seed=1, checkpoint=str(base), prompts={"mole": ("a mole",)}, labels=("rash",))
    with pytest.raises(DataError, match="no prompt for rash"):
        plan(config, tiny)
    with pytest.raises(CheckpointError):
        plan(config.model_copy(update={"checkpoint": "models/none"}), tiny)


def test_only_training_images_are_reconstructed(tiny: Workspace, base: Path) -> None:
    options = {"name": "codec", "seed": 1, "strategy": "autoencoder", "checkpoint": str(base)}
    planned = plan(GenerateConfig(**options, reference_ids=ids_of(tiny, "train")), tiny)
    assert [request.parent_id for request in planned.requests] == list(ids_of(tiny, "train"))
    assert all(request.seed is None for request in planned.requests)
    with pytest.raises(DataError, match="not real images of the training split"):
        plan(GenerateConfig(**options, reference_ids=ids_of(tiny, "val")), tiny)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "autoencoder"},
        {"reference_ids": ("a" * 16,)},
        {"skin_types": (0,)},
        {"skin_types": ()},
        {"name": "../up"},
        {"step": 3},
    ],
)
def test_configs_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        GenerateConfig(**{"name": "some", "seed": 1, **options})


def test_images_are_counted_before_the_checkpoint_exists() -> None:
    config = GenerateConfig(name="some", seed=1, checkpoint="models/later", images_per_class=8)
    assert planned_image_count(config, 3) == 24
    assert planned_image_count(config.model_copy(update={"prompts": PROMPTS}), 3) == 16
    codec = GenerateConfig(name="some", seed=1, strategy="autoencoder", reference_ids=("a" * 16,))
    assert planned_image_count(codec, 3) == 1


def test_the_record_in_a_png_gives_the_whole_batch_again() -> None:
    batch = cut_batches(text2img_requests(SHARED, PROMPTS, (2, 5), 4, seed=9), 8)[0]
    text = provenance_text(batch, 6, {"threads": 1})
    read, position, environment = read_provenance(text)
    assert (read.requests, position, environment) == (batch.requests, 6, {"threads": 1})
    assert json.loads(text[PNG_KEY])["image_id"] == batch.requests[6].image_id
    for broken in ({}, {PNG_KEY: "{}"}, {PNG_KEY: "no json"}):
        with pytest.raises(DataError, match="no record"):
            read_provenance(broken)


def test_the_data_card_carries_license_counts_and_caution(tiny: Workspace, base: Path) -> None:
    config = GenerateConfig(name="some", seed=1, checkpoint=str(base), prompts=PROMPTS, images_per_class=3)
    card = data_card(config, tiny, plan(config, tiny))
    for expected in (
        "| mole | 3 |",
        "CC-BY-4.0 of nobody",
        "not what a physician saw",
        "20 steps of the checkpoint's own",
    ):
        assert expected in card
    codec = GenerateConfig(
        name="codec", seed=1, strategy="autoencoder", checkpoint=str(base), reference_ids=ids_of(tiny, "train")
    )
    assert "through the checkpoint's autoencoder" in data_card(codec, tiny, plan(codec, tiny))


def test_planning_does_not_import_torch(tiny: Workspace, base: Path) -> None:
    code = (
        "import sys; from tenfold.core.workspace import Workspace; "
        "from tenfold.generation.config import GenerateConfig; "
        "from tenfold.generation.planning import plan; import tenfold.finetuning.config; "
        f"plan(GenerateConfig(name='a', seed=1, checkpoint={str(base)!r}, prompts={{'m': ['x']}}), "
        f"Workspace.open({str(tiny.path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
