"""A mini demo cut to seconds, as a command in a process of its own or in this one, and what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tenfold.core.files import read_json

SETTINGS: dict[str, Any] = {
    "intake.classes": ["annulosis", "satellosis"],
    "intake.phantom.images_per_class": 26,
    "split.test_per_class": 8,
    "split.validation_per_class": 6,
    "study.training_sizes": [2, 4],
    "study.synthetic_training_sizes": [2],
    "study.seeds": 1,
    "study.synthetic_ratio": 2,
    "prior.images": 4,
    "finetune.max_train_steps": 3,
    "finetune.train_batch_size": 2,
    "finetune.prior_batch_size": 1,
    "finetune.checkpointing_steps": 2,
    "finetune.samples_per_class": 0,
    "generate.num_inference_steps": 2,
    "generate.batch_size": 2,
    "classify.max_train_steps": 4,
    "classify.evaluate_every_steps": 2,
    "classify.batch_size": 8,
    "audit.resamples": 20,
    "evaluate.bootstrap_draws": 100,
}
CHANGING_FILES = {"report/timings.json", "report/report.html"}
"""What tells of times and the machine, and so differs from run to run."""


def command(workspace: Path, *extra: str) -> list[str]:
    """The command line of the cut demo; SETTINGS go in as ``--set`` texts."""
    words = [sys.executable, "-m", "tenfold", "demo", "--mini", "--workspace", str(workspace), *extra]
    for name, value in SETTINGS.items():
        text = str(value).replace("'", "") if isinstance(value, list) else str(value)
        words += ["--set", f"{name}={text}"]
    return words


def environment() -> dict[str, str]:
    """This process's environment with its import path, for the command."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


def run(workspace: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(workspace, *extra), env=environment(), capture_output=True, text=True, timeout=600, check=False
    )


def output_hashes(workspace: Path) -> dict[str, str]:
    """Hashes of all stages' outputs, by path, without those that tell of times."""
    hashes: dict[str, str] = {}
    for record in sorted(workspace.rglob("run.json")):
        hashes.update(read_json(record)["outputs"])
    return {path: digest for path, digest in hashes.items() if path not in CHANGING_FILES}
