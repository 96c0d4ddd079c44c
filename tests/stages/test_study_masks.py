"""A study of mask-based arms, end to end: sets by the base and by no generator at all, from the cell's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png
from tenfold.data.manifest import read_manifest, unpack_ancestors, write_manifest
from tenfold.evaluation.comparison import GENERATOR_FREE_FAMILY
from tenfold.evaluation.config import EvaluationConfig
from tenfold.evaluation.run import run as run_evaluation
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.run import run
from tests.tiny_data import make_tiny_workspace

ARMS = ("real_transforms", "real_recolor", "real_composite", "hybrid_outpaint", "hybrid_mix")
STUDY = StudyRunConfig.model_validate({
    "arms": ARMS,
    "curve_arms": ["real_transforms"],
    "training_sizes": [2],
    "synthetic_training_sizes": [2],
    "seeds": 1,
    "source_ratio": 2,
    "generate": {"num_inference_steps": 2, "device": "cpu"},
    "classify": {"max_train_steps": 2, "evaluate_every_steps": 1, "batch_size": 4, "device": "cpu"},
})  # fmt: skip


def masked_workspace(path: Path) -> Workspace:
    """Disks on skin with masks of the disks, dermatoscopic."""
    workspace = make_tiny_workspace(path, image_size_px=64)
    manifest = read_manifest(workspace.path / "data/manifest.parquet")
    masks = []
    for image_id, image_path in zip(manifest["image_id"], manifest["path"], strict=True):
        image = decode_image(workspace.resolve(image_path)).astype(int)
        lesion = np.abs(image - (210, 170, 150)).max(axis=2) > 30
        target = workspace.path / "data/masks" / f"{image_id}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(encode_png(np.repeat(255 * lesion[..., None], 3, axis=2).astype(np.uint8)))
        masks.append(workspace.relative(target))
    write_manifest(manifest.assign(mask_path=masks, modality="dermatoscopic"), workspace.path / "data/manifest.parquet")
    return workspace


def test_cells_learn_from_what_is_made_of_their_own_images(tmp_path: Path) -> None:
    workspace = masked_workspace(tmp_path / "ws")
    result = run(STUDY, workspace, SerialExecutor(), NullProgress())
    assert (result.summary["cells"], result.summary["generators"], result.summary["notes"]) == (5, 0, [])
    assert not (workspace.path / "models").exists()  # the base is not fine-tuned for them
    cells = pd.read_parquet(workspace.path / "studies/main/cells.parquet").set_index("arm")
    own = set(cells["train_ids"].to_dict()["real_transforms"])
    for strategy in ("recolor", "composite", "outpaint"):
        rows = read_manifest(workspace.path / f"synthetic/main-n2-s0-{strategy}/manifest.parquet")
        assert set(rows["strategy"]) == {strategy} and len(rows) == 2 * len(own)
        descent = [set(unpack_ancestors(cell) or ()) for cell in rows["ancestors"]]
        assert set.union(*descent) <= own
        assert all(parent in ids for parent, ids in zip(rows["parent_id"], descent, strict=True))
    outpaint = read_run_record(workspace.path / "synthetic/main-n2-s0-outpaint").config
    assert (outpaint["checkpoint"], outpaint["recolor_to_skin_type"]) == ("embedded:base", True)
    assert outpaint["prompts"] == {"mole": ["a photo of mole"], "rash": ["a photo of rash"]}

    made = {
        arm: read_json(workspace.path / f"classifiers/main-{arm.replace('_', '-')}-n2-s0/training.json") for arm in ARMS
    }
    assert made["hybrid_mix"]["images_by_origin"]["synthetic"] == {"mole": 8, "rash": 8}
    assert made["real_composite"]["images_by_origin"]["synthetic"] == {"mole": 4, "rash": 4}
    assert len({record["real_images_total"] for record in made.values()}) == 1
    assert run(STUDY, workspace, SerialExecutor(), NullProgress()).was_finished

    primary = {"arm": "hybrid_outpaint", "controls": ["real_transforms"]}
    config = EvaluationConfig.model_validate({"primary": primary, "bootstrap_draws": 100})
    run_evaluation(config, workspace, SerialExecutor(), NullProgress())
    evaluation = read_json(workspace.path / "evaluation/main/evaluation.json")
    pairs = [
        (row["arm"], row["control"]) for row in evaluation["comparisons"] if row["family"] == GENERATOR_FREE_FAMILY
    ]
    assert sorted(pairs) == [
        (arm, control) for arm in ("hybrid_mix", "hybrid_outpaint") for control in ("real_composite", "real_recolor")
    ]
