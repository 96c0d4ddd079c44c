"""The classification stage on blobs with a random feature net: its files, its identity and its refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run
from tenfold.core.errors import CheckpointError, DataError, DesignError, InputError, StageError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.splits import read_sealed_split
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace, make_feature_net, make_synthetic


@pytest.fixture(autouse=True)
def feature_net(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_feature_net(tmp_path_factory.mktemp("net") / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: folder)


@pytest.fixture
def blobs(tmp_path: Path) -> Workspace:
    return make_blob_workspace(tmp_path / "workspace")


def hybrid(workspace: Workspace, **changes: Any) -> ClassifierConfig:
    train = ids_of(workspace, "train", per_class=4)
    settings: dict[str, Any] = {
        "cell": "hybrid-n4-s0",
        "arm": "hybrid",
        "labels": LABELS,
        "training_size": 4,
        "synthetic_ratio": 2.5,
        "synthetic_share": 0.25,
        "strategy": "text2img",
        "classifier_seed": 11,
        "train_ids": train,
        "validation_ids": ids_of(workspace, "val", per_class=4),
        "extra_manifests": (make_synthetic(workspace, "tiny", train),),
        "max_train_steps": 12,
        "batch_size": 12,
        "learning_rate": 5e-3,
        "evaluate_every_steps": 4,
        "freeze_blocks": 1,
        "device": "cpu",
    }
    return ClassifierConfig(**(settings | changes))


def trained(workspace: Workspace, config: ClassifierConfig) -> Result:
    return run(config, workspace, SerialExecutor(), NullProgress())


def test_a_hybrid_cell_writes_its_files_once(blobs: Workspace) -> None:
    config = hybrid(blobs)
    result = trained(blobs, config)
    folder = blobs.path / "classifiers" / "hybrid-n4-s0"
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.csv", "model.safetensors", "predictions.parquet", "run.json", "training.json",
    ]  # fmt: skip
    table = pd.read_parquet(folder / "predictions.parquet")
    assert table["split"].value_counts().to_dict() == {"test": 18, "val": 12}
    assert list(table.columns) == [
        "image_id", "patient_id", "group_id", "label", "split", "arm", "model", "training_size", "synthetic_ratio",
        "synthetic_share", "transforms", "strategy", "generator_budget", "subset_seed", "generator_seed",
        "classifier_seed", "test_sha256", *(f"prob.{label}" for label in LABELS),
        *(f"logit.{label}" for label in LABELS),
    ]  # fmt: skip
    assert set(table["test_sha256"]) == {read_sealed_split(blobs.resolve("data/splits.json")).test_sha256}
    training = json.loads((folder / "training.json").read_text())
    assert training["images_by_origin"]["synthetic"] == dict.fromkeys(LABELS, 10)
    assert training["real_images_total"] == 24 and not training["origin_confound"]
    assert training["pretrained_from"]["kind"] == "embedded" and len(training["pretrained_from"]["sha256"]) == 64
    assert training["best"]["step"] in pd.read_csv(folder / "history.csv")["step"].tolist()
    assert result.summary["test_reads"] == 1 and result.summary["n_extra_images"] == 30
    record = read_run_record(folder)
    assert "synthetic/tiny/manifest.parquet" in record.inputs and "data/splits.json" in record.inputs
    assert trained(blobs, config).was_finished


def test_the_same_cell_gives_the_same_hashes(tmp_path: Path) -> None:
    outputs = []
    for name in ("first", "second"):
        workspace = make_blob_workspace(tmp_path / name)
        outputs.append(trained(workspace, hybrid(workspace)).outputs)
    assert outputs[0] == outputs[1]


def test_frozen_blocks_keep_the_embedded_weights_and_the_head_learns(blobs: Workspace) -> None:
    trained(blobs, hybrid(blobs))
    from tenfold.models import embedded

    start = load_file(embedded.features_path() / "model.safetensors")
    end = load_file(blobs.path / "classifiers" / "hybrid-n4-s0" / "model.safetensors")
    np.testing.assert_array_equal(end["stages.0.conv1.weight"], start["stages.0.conv1.weight"].astype(np.float32))
    assert not np.array_equal(end["stages.1.conv1.weight"], start["stages.1.conv1.weight"].astype(np.float32))
    assert np.abs(end["head.weight"]).max() > 0


def test_arms_without_extra_and_with_only_synthetic_images(blobs: Workspace) -> None:
    plain = {"strategy": "none", "synthetic_ratio": 0.0, "extra_manifests": ()}
    real = hybrid(blobs, cell="real", arm="real_only", synthetic_share=0.0, transforms="none", **plain)
    assert trained(blobs, real).summary["n_extra_images"] == 0
    alone = hybrid(blobs, cell="alone", arm="synthetic_only", synthetic_share=1.0, train_ids=())
    summary = trained(blobs, alone).summary
    assert (summary["n_train_images"], summary["real_images_total"]) == (0, 24)
    own, all_real = ids_of(blobs, "train", per_class=4), ids_of(blobs, "train", per_class=8)
    extra = tuple(i for i in all_real if i not in own)
    fresh = hybrid(blobs, cell="fresh", arm="fresh_real", extra_ids=extra, **plain)
    assert trained(blobs, fresh).summary["real_images_total"] == 36


def test_arms_take_the_same_steps_and_share_no_image_with_the_test(blobs: Workspace) -> None:
    plain = {"strategy": "none", "synthetic_ratio": 0.0, "extra_manifests": (), "synthetic_share": 0.0}
    own = ids_of(blobs, "train", per_class=4)
    weights = weight_table(blobs, "tiny", range(30))
    arms: dict[str, dict[str, Any]] = {
        "real_only": {**plain, "transforms": "none"},
        "real_transforms": plain,
        "real_strong": {**plain, "transforms": "strong"},
        "duplicate_real": {**plain, "synthetic_share": 0.5, "extra_ids": own},
        "balanced": {**plain, "balance_by": "sex"},
        "hybrid": {},
        "two_stage": {"extra_schedule": "two_stage", "synthetic_share": 0.5},
        "weighted": {"extra_weights": weights},
        "synthetic_only": {"train_ids": (), "synthetic_share": 1.0},
    }
    for arm, changes in arms.items():
        config = hybrid(blobs, cell=arm, arm=arm, max_train_steps=4, **changes)
        result = trained(blobs, config)
        training = json.loads((result.folder / "training.json").read_text())
        assert training["stopped_at_step"] == training["settings"]["max_train_steps"] == 4
        assert pd.read_csv(result.folder / "history.csv")["step"].tolist() == [4]
        counts = {origin: sum(of_class.values()) for origin, of_class in training["images_by_origin"].items()}
        assert counts == {
            "real": 0 if arm == "synthetic_only" else 12,
            "extra_real": 12 if arm == "duplicate_real" else 0,
            "synthetic": 0 if "extra_manifests" in changes else 30,
        }, arm
        table = pd.read_parquet(result.folder / "predictions.parquet")
        assert not set(table["image_id"]) & {*config.train_ids, *config.extra_ids}
        assert set(table["transforms"]) == {config.transforms}


def weight_table(workspace: Workspace, name: str, numbers: Any) -> str:
    """Weights of a synthetic set's images: their place in it against the last."""
    place = make_synthetic(workspace, name, ids_of(workspace, "train", per_class=4))
    ids = pd.read_parquet(workspace.resolve(place))["image_id"].iloc[list(numbers)]
    path = workspace.resolve(f"synthetic/{name}/weights.parquet")
    pd.DataFrame({"image_id": ids, "weight": [n / max(numbers) for n in numbers]}).to_parquet(path)
    return f"synthetic/{name}/weights.parquet"


def test_weights_must_fit_the_extra_images(blobs: Workspace) -> None:
    with pytest.raises(DataError, match="20 extra images have no weight"):
        trained(blobs, hybrid(blobs, extra_weights=weight_table(blobs, "tiny", range(10))))
    path = weight_table(blobs, "tiny", range(30))
    table = pd.read_parquet(blobs.resolve(path))
    table.assign(weight=7.0).to_parquet(blobs.resolve(path))
    with pytest.raises(DataError, match="outside of 0 to 1"):
        trained(blobs, hybrid(blobs, extra_weights=path))
    blobs.resolve(path).write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read"):
        trained(blobs, hybrid(blobs, extra_weights=path))


def test_rejected_images_join_only_where_that_is_asked_for(blobs: Workspace) -> None:
    place = make_synthetic(blobs, "reviewed", ids_of(blobs, "train", per_class=4))
    rows = read_manifest(blobs.resolve(place))
    rows["review"] = ["rejected" if number % 5 == 0 else "accepted" for number in range(len(rows))]
    rows.loc[rows.index[1], "quarantine_reason"] = "copy"
    write_manifest(rows, blobs.resolve(place))
    counts = {}
    for review in ("filtered", "unfiltered"):
        config = hybrid(blobs, cell=review, extra_manifests=(place,), extra_review=review, max_train_steps=1)
        counts[review] = trained(blobs, config).summary["n_extra_images"]
    assert counts == {"filtered": 23, "unfiltered": 29}


def test_where_epochs_count_the_arms_differ_in_steps_and_say_so(blobs: Workspace) -> None:
    plain = {"strategy": "none", "synthetic_ratio": 0.0, "extra_manifests": (), "synthetic_share": 0.0}
    steps = {}
    for arm, changes in {"real": plain, "hybrid": {}}.items():
        result = trained(blobs, hybrid(blobs, cell=arm, max_train_epochs=2, **changes))
        training = json.loads((result.folder / "training.json").read_text())
        assert training["settings"]["max_train_epochs"] == 2
        steps[arm] = training["settings"]["max_train_steps"]
    assert steps == {"real": 2, "hybrid": 7}


def test_a_head_alone_is_solved_on_frozen_features(blobs: Workspace) -> None:
    from tenfold.models import embedded

    outputs = []
    for name, transforms in (("solved", "none"), ("again", "none"), ("views", "paper"), ("steps", "strong")):
        head = {"train": "head", "freeze_blocks": 0, "feature_views": 2, "transforms": transforms}
        result = trained(blobs, hybrid(blobs, cell=name, **head))
        outputs.append([digest for path, digest in result.outputs.items() if path.endswith("model.safetensors")])
        training = json.loads((result.folder / "training.json").read_text())
        assert training["stopped_at_step"] == (12 if transforms == "strong" else None)
        end, start = (load_file(folder / "model.safetensors") for folder in (result.folder, embedded.features_path()))
        for tensor, values in start.items():
            np.testing.assert_array_equal(end[tensor], values.astype(np.float32))
        assert np.abs(end["head.weight"]).max() > 0
    assert outputs[0] == outputs[1] and outputs[0] != outputs[2]


def test_switches_of_older_recipes_are_read(blobs: Workspace) -> None:
    assert hybrid(blobs, transforms=True).transforms == "paper"
    assert hybrid(blobs, transforms=False).transforms == "none"
    with pytest.raises(ValidationError, match="'none', 'paper' or 'strong'"):
        hybrid(blobs, transforms="weak")


def test_a_confounded_design_is_refused_unless_allowed(blobs: Workspace) -> None:
    from tests.unit.classification.blobs import real_rows

    rows = real_rows(blobs)
    amber = set(rows.loc[rows["label"] == "amber", "image_id"])
    without = tuple(i for i in ids_of(blobs, "train", per_class=4) if i not in amber)
    config = hybrid(blobs, train_ids=without, generator_budget="pooled", synthetic_share=0.5)
    with pytest.raises(DesignError, match="amber would be all synthetic"):
        trained(blobs, config)
    allowed = config.model_copy(update={"allow_origin_confound": True})
    trained(blobs, allowed)
    training = json.loads((blobs.path / "classifiers" / "hybrid-n4-s0" / "training.json").read_text())
    assert training["origin_confound"] is True


def test_wider_budgets_are_allowed_when_stated(blobs: Workspace) -> None:
    foreign = make_synthetic(blobs, "pooled", ids_of(blobs, "train", per_class=8))
    with pytest.raises(DesignError, match="does not train on"):
        trained(blobs, hybrid(blobs, extra_manifests=(foreign,)))
    trained(blobs, hybrid(blobs, extra_manifests=(foreign,), generator_budget="pooled"))


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"labels": ("a", "a")}, "names a class twice"),
        ({"synthetic_share": 0.0}, "belong together"),
        ({"train_ids": ()}, "synthetic_share must be 1"),
        ({"pretrained": False}, "freeze_blocks must be 0"),
        ({"pretrained": False, "freeze_blocks": 0, "weights": "a.safetensors"}, "pretrained is off"),
        ({"train": "head"}, "freeze_blocks must be 0 with train=head"),
        ({"train": "head", "freeze_blocks": 0, "layer_decay": 0.7}, "layer_decay has no use"),
        ({"train": "head", "freeze_blocks": 0, "pretrained": False}, "needs pretrained"),
        ({"extra_schedule": "two_stage", "train_ids": (), "synthetic_share": 1.0}, "train_ids for the last"),
        ({"extra_weights": "w", "extra_manifests": (), "synthetic_share": 0.0}, "there are no extra images"),
        ({"cell": "../x"}, "letters, digits"),
        ({"epochs": 3}, "Extra inputs"),
    ],
)
def test_configs_that_contradict_themselves(blobs: Workspace, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        hybrid(blobs, **changes)


def test_a_timm_model_from_a_local_file(blobs: Workspace, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    name = "mobilenetv3_small_050"
    weights = tmp_path / "backbone.safetensors"
    save_file(timm.create_model(name, pretrained=False).state_dict(), weights)
    config = hybrid(blobs, model=name, weights=str(weights), max_train_steps=1, evaluate_every_steps=1)
    trained(blobs, config)
    start = load_file(weights)
    end = load_file(blobs.path / "classifiers" / "hybrid-n4-s0" / "model.safetensors")
    for frozen in ("conv_stem.weight", "bn1.running_mean", "blocks.0.0.conv_dw.weight"):
        np.testing.assert_array_equal(end[f"backbone.{frozen}"], start[frozen])
    training = json.loads((blobs.path / "classifiers" / "hybrid-n4-s0" / "training.json").read_text())
    assert training["pretrained_from"] == {"kind": "file", "name": weights.name, "sha256": sha256_file(weights)}


def test_a_training_that_fails_says_at_which_step(blobs: Workspace) -> None:
    with pytest.raises(StageError, match="no number at step"):
        trained(blobs, hybrid(blobs, learning_rate=1e30))
    assert not (blobs.path / "classifiers" / "hybrid-n4-s0" / "run.json").exists()
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        trained(blobs, hybrid(blobs, mixed_precision="fp16"))


def test_unusable_models_are_refused_in_words(blobs: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no classifier 'resnet19'"):
        trained(blobs, hybrid(blobs, model="resnet19", pretrained=False, freeze_blocks=0))
    with pytest.raises(InputError, match="9 blocks cannot be frozen"):
        trained(blobs, hybrid(blobs, freeze_blocks=9))
    pickled = tmp_path / "weights.pth"
    pickled.write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is not a"):
        trained(blobs, hybrid(blobs, model="resnet18", weights=str(pickled)))
    with pytest.raises(CheckpointError, match="has its own weights"):
        trained(blobs, hybrid(blobs, weights=str(pickled)))
