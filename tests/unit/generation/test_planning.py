"""Plans: every image's name and seed is known before drawing, keyed by identity, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.errors import CheckpointError, DataError
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.generation.config import GenerateConfig
from tenfold.generation.planning import plan, plan_inputs, write_requests
from tenfold.generation.requests import ImageRequest
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


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options: dict[str, Any] = {"name": "some", "seed": 9, "checkpoint": str(base), "prompts": PROMPTS}
    return GenerateConfig(**(options | changes))


def _requests(tiny: Workspace, base: Path, **changes: Any) -> list[ImageRequest]:
    return list(plan(_config(base, **changes), tiny).requests)


def test_an_image_is_named_by_all_that_decides_it() -> None:
    request = replace(SHARED, label="mole", prompt="a mole", seed=5)
    assert request.image_id == replace(request).image_id == "5a91a5ea05df6bf8"
    changes: list[dict[str, Any]] = [
        {"seed": 6},
        {"prompt": "a rash"},
        {"checkpoint_sha256": "1" * 64},
        {"guidance_scale": 2.0},
        {"label": "x"},
    ]
    assert len({request.image_id, *(replace(request, **change).image_id for change in changes)}) == 6
    narrow = replace(request, guidance_interval=(0.1, 0.6))
    assert ImageRequest.from_dict(json.loads(json.dumps(narrow.as_dict()))) == narrow


def test_seeds_follow_label_and_number_alone(tiny: Workspace, base: Path) -> None:
    few = _requests(tiny, base, labels=("rash",), images_per_class=3, skin_types=(1, 6))
    many = _requests(tiny, base, images_per_class=8, skin_types=(1, 6))
    assert [request for request in many if request.label == "rash"][:3] == few
    assert [request.seed for request in few] == [derive_seed(9, "generate", "rash", number) for number in range(3)]
    assert len({request.seed for request in many}) == len(many) == 16


def test_skin_types_are_equal_in_number_and_meet_all_prompts(tiny: Workspace, base: Path) -> None:
    requests = _requests(tiny, base, labels=("mole",), skin_types=(1, 3, 5), images_per_class=12)
    assert [request.skin_type for request in requests] == [1, 3, 5] * 4
    assert len({(request.skin_type, request.prompt) for request in requests}) == 6
    assert requests[0].prompt == "a photo of ohwx mole, red, on light skin, Fitzpatrick skin type I"


def test_batches_are_consecutive_and_part_where_guidance_differs(tiny: Workspace, base: Path) -> None:
    planned = plan(_config(base, images_per_class=5, batch_size=4), tiny)
    assert planned.batch_sizes == (4, 4, 2)
    assert [request.label for request in planned.batch(1).requests] == ["mole", "rash", "rash", "rash"]
    apart = plan(_config(base, images_per_class=5, batch_size=4, guidance_scales={"rash": 5.0}), tiny)
    assert apart.batch_sizes == (4, 1, 4, 1)
    assert {(request.label, request.guidance_scale) for request in apart.requests} == {("mole", 3.0), ("rash", 5.0)}


def test_images_of_one_negative_prompt_are_drawn_together(tiny: Workspace, base: Path) -> None:
    templates = ({"text": "a mole", "negative_prompt": "hair"}, {"text": "a dark mole"})
    prompts = {"mole": templates, "rash": ("a rash",)}
    planned = plan(_config(base, prompts=prompts, images_per_class=6, negative_prompts={"rash": "hair"}), tiny)
    batches = [{request.negative_prompt for request in batch.requests} for batch in planned.batches]
    assert batches == [{"hair"}, {""}]
    assert planned.batch_sizes == (9, 3)
    plain = {request.seed for request in _requests(tiny, base, images_per_class=6)}
    assert {request.seed for request in planned.requests} == plain


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
    assert {path.name for path in plan_inputs(config, tiny)} >= {"prompts.json", "training_rows.json", "unet"}


def test_captions_with_braces_are_taken_as_they_are(tiny: Workspace, model: Path) -> None:
    (model / "prompts.json").write_text(json.dumps({"prompts": {"mole": ["a {red} mole"]}}))
    planned = plan(GenerateConfig(name="some", seed=1, checkpoint="models/mine"), tiny)
    assert {request.prompt for request in planned.requests} == {"a {red} mole"}


def test_ancestors_are_none_known_unknown_or_named(tiny: Workspace, model: Path, base: Path) -> None:
    config = _config(base)
    assert plan(config, tiny).ancestors == ()
    assert plan(config.model_copy(update={"ancestors_from": "models/mine"}), tiny).ancestors == ids_of(tiny, "train")
    with pytest.raises(DataError, match="no record of training images"):
        plan(config.model_copy(update={"ancestors_from": "models/none"}), tiny)
    (model / "training_rows.json").unlink()
    assert plan(config.model_copy(update={"checkpoint": "models/mine"}), tiny).ancestors is None


def test_missing_prompts_are_told(tiny: Workspace, base: Path) -> None:
    with pytest.raises(DataError, match="there are no prompts"):
        plan(_config(base, prompts={}), tiny)
    config = _config(base, prompts={"mole": ("a mole",)}, labels=("rash",))
    with pytest.raises(DataError, match="no prompt for rash"):
        plan(config, tiny)
    with pytest.raises(CheckpointError):
        plan(config.model_copy(update={"checkpoint": "models/none"}), tiny)
    with pytest.raises(DataError, match=r"'rsh', of which nothing is made[\s\S]*Did you mean 'rash'"):
        plan(_config(base, guidance_scales={"rsh": 2.0}), tiny)


@pytest.mark.parametrize(
    ("amount", "counts"),
    [
        ({}, {"mole": 10, "rash": 10}),
        ({"images_per_prompt": 3}, {"mole": 6, "rash": 3}),
        ({"images_per_real_image": 10}, {"mole": 40, "rash": 40}),
        ({"balance_to": 7}, {"mole": 3, "rash": 3}),
        ({"total": 9, "class_weights": {"mole": 2}}, {"mole": 6, "rash": 3}),
    ],
)
def test_amounts_are_told_in_many_ways(
    tiny: Workspace, base: Path, amount: dict[str, Any], counts: dict[str, int]
) -> None:
    assert plan(_config(base, **amount), tiny).counts() == counts


def test_fields_take_values_of_training_images_or_given_ones(tiny: Workspace, base: Path) -> None:
    text = "a photo of {class_noun}, on the {site}, {attr.camera}, {light}"
    config = _config(base, prompts={"mole": (text,)}, fields={"light": ["dim", "bright"]}, images_per_class=20)
    planned = plan(config, tiny)
    prompts = {request.prompt for request in planned.requests}
    assert prompts == {f"a photo of mole, on the arm, none, {light}" for light in ("dim", "bright")}
    facts = planned.batch(0).facts[0]
    assert facts == {"site": "arm", "attr.camera": "none", "attr.light": facts["attr.light"]}
    coverage = planned.coverage()
    assert coverage["images"].sum() == 20 and set(coverage["attr.light"]) == {"dim", "bright"}
    assert {path.name for path in plan_inputs(config, tiny)} >= {"manifest.parquet", "splits.json"}
    with pytest.raises(DataError, match=r"no field \{sit\}[\s\S]*Did you mean \{site\}"):
        plan(_config(base, prompts={"mole": ("on the {sit}",)}), tiny)
    with pytest.raises(DataError, match="no value is known for severity of mole"):
        plan(_config(base, prompts={"mole": ("{severity} mole",)}), tiny)


def test_half_a_million_plans_are_columns(tiny: Workspace, base: Path, tmp_path: Path) -> None:
    planned = plan(_config(base, total=20_000, skin_types=(1, 6)), tiny)
    assert planned.table.nbytes < 100 * planned.image_count
    ids = planned.table["image_id"].to_pylist()
    for number in (0, 613, planned.batch_count - 1):
        batch = planned.batch(number)
        assert [request.image_id for request in batch.requests] == ids[number * 16 : number * 16 + 16]
    low = np.asarray(planned.table["seed"]) & 0xFFFFFFFF
    assert len(np.unique(low)) == planned.image_count


@pytest.mark.parametrize(
    ("width", "zero_snr", "expected"),
    [
        (768, False, ("dpmsolver++", 25, 7.5)),
        (1024, False, ("dpmsolver++", 25, 3.0)),
        (1024, True, (None, 25, 3.0)),
        (2048, False, (None, 30, 5.0)),
        (None, True, (None, 20, 3.0)),
    ],
)
def test_what_is_not_said_is_what_suits_the_checkpoint(
    tiny: Workspace, base: Path, tmp_path: Path, width: int | None, zero_snr: bool, expected: tuple[Any, ...]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(base, folder)
    changes: dict[str, dict[str, Any]] = {
        "unet/config.json": {} if width is None else {"cross_attention_dim": width, "block_out_channels": [320, 640]},
        "scheduler/scheduler_config.json": {"rescale_betas_zero_snr": zero_snr},
    }
    for name, change in changes.items():
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    first = plan(_config(folder), tiny).first
    assert (first.sampler, first.num_inference_steps, first.guidance_scale) == expected
    own = plan(_config(folder, sampler="checkpoint", num_inference_steps=1, guidance_scale=1.0), tiny).first
    assert (own.sampler, own.num_inference_steps, own.guidance_scale) == (None, 1, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"reference_ids": ("a" * 16,)},
        {"skin_types": (0,)},
        {"skin_types": ()},
        {"name": "../up"},
        {"step": 3},
        {"images_per_class": 0},
        {"images_per_prompt": (5, 3)},
        {"total": 5, "images_per_class": 5},
        {"class_weights": {"mole": 1}},
        {"strategy": "img2img", "strength": 0.0},
        {"strategy": "img2img", "strength": 1.01},
        {"strength": 0.5},
        {"mask": "center"},
        {"strategy": "recolor"},
        {"strategy": "autoencoder", "adapter": "models/mine"},
        {"guidance_interval": (0.5, 0.5)},
        {"guidance_scales": {"mole": 0.5}},
        {"fields": {"site": []}},
        {"fields": {"site": {"arm": 0}}},
    ],
)
def test_configs_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        GenerateConfig.model_validate({"name": "some", "seed": 1, **options})


def test_planning_does_not_import_torch(tiny: Workspace, base: Path) -> None:
    code = (
        "import sys; from tenfold.core.workspace import Workspace; "
        "from tenfold.generation.config import GenerateConfig; "
        "from tenfold.generation.planning import plan; import tenfold.finetuning.config; "
        f"plan(GenerateConfig(name='a', seed=1, checkpoint={str(base)!r}, prompts={{'m': ['x']}}), "
        f"Workspace.open({str(tiny.path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
