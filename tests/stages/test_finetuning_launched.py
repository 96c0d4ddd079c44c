"""Fine-tunings in processes that a launcher started together: one result, written by the first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.stages import test_dreambooth_options, test_inpainting, test_super_resolution
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_inpainting import make_tiny_inpainting
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler

_RUNS = {
    "dreambooth": (test_dreambooth_options.run_tiny, make_tiny_stable_diffusion, {"samples_per_class": 1}),
    "inpainting": (test_inpainting.run_tiny, make_tiny_inpainting, {"samples_per_class": 1}),
    "super_resolution": (test_super_resolution.run_tiny, make_tiny_upscaler, {"samples_count": 1}),
}
_LAUNCHED = """
import os, sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from tenfold.core.workspace import Workspace
from {module} import run_tiny
result = run_tiny(Workspace.open({workspace!r}), Path({base!r}), **{options!r})
assert bool(result.summary) == (os.environ["RANK"] == "0")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(_RUNS))
def test_two_launched_processes_equal_one_that_accumulates_and_only_the_first_writes(kind: str, tmp_path: Path) -> None:
    run_tiny, make_base, more = _RUNS[kind]
    base = make_base(tmp_path / "base")
    workspace = make_tiny_workspace(tmp_path / "w", image_size_px=32)
    other = make_tiny_workspace(tmp_path / "other", image_size_px=32)
    options: dict[str, Any] = {
        "name": "launched", "max_train_steps": 2, "device": "cpu", "samples_steps": 1,
        "validation_ids": ids_of(other, "val"), "validation_steps": 1, "checkpoint_choice": "validation",
    }  # fmt: skip
    options |= more
    if kind == "dreambooth":
        options |= {"choice_samples": 1, "choice_candidates": 1}
    script = tmp_path / "launched.py"
    root = str(Path(__file__).parents[2])
    script.write_text(
        _LAUNCHED.format(
            root=root, module=run_tiny.__module__, workspace=str(workspace.path), base=str(base), options=options
        )
    )
    # `accelerate launch` hands its GPU processes to torchrun; on CPUs torchrun itself starts them.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = run_tiny(other, base, **options, gradient_accumulation_steps=2)
    folder = workspace.path / "models/launched"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in alone.folder.iterdir())
    launched = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    for name, tensor in load_file(alone.folder / "unet/diffusion_pytorch_model.safetensors").items():
        assert torch.allclose(tensor, launched[name], atol=1e-5), name
    record = json.loads((folder / "run.json").read_text())
    assert record["summary"]["validation_loss"]["2"] == pytest.approx(alone.summary["validation_loss"]["2"], rel=1e-4)
    assert record["summary"]["choice"]["step"] == alone.summary["choice"]["step"]
