"""Prompt plans drawn: what prompts say stands in the manifest, and the set's coverage and tones in its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.data.manifest_checks import check_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


class _Log(NullProgress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def _run(workspace: Workspace, base: Path, log: _Log, **changes: Any) -> Result:
    options = {"name": "drawn", "seed": 5, "checkpoint": str(base), "num_inference_steps": 1, "device": "cpu"}
    return run(GenerateConfig.model_validate(options | changes), workspace, SerialExecutor(), log)


def test_what_prompts_say_stands_in_the_manifest(tiny: Workspace, base: Path) -> None:
    text = "a photo of {class_noun}, on the {site}, {age} years old, {light} light"
    result = _run(
        tiny, base, _Log(),
        prompts={"mole": [{"text": text, "negative_prompt": "hair"}], "rash": ["a {class_noun}"]},
        class_nouns={"rash": "red rash"}, fields={"age": [40, 60.5], "light": ["dim", "bright"]},
        skin_types=[2, 5], images_per_prompt=[6, 8], guidance_scales={"rash": 2.0}, sampler="unipc",
    )  # fmt: skip
    manifest = read_manifest(result.folder / "manifest.parquet")
    assert check_manifest(manifest) == []
    rows = [row for row in manifest_rows(manifest) if row["label"] == "mole"]
    assert 6 <= len(rows) <= 8
    for row in rows:
        assert row["site"] == "arm" and row["age"] in (40.0, 60.5) and row["attr.light"] in ("dim", "bright")
        assert f"{row['age']:g} years old, {row['attr.light']} light" in row["prompt"]
        assert (row["negative_prompt"], row["guidance_scale"], row["sampler"]) == ("hair", 3.0, "unipc")
    provenance = read_provenance(tiny.resolve(rows[0]["path"]))
    assert provenance.request.image_id == rows[0]["image_id"]
    coverage = pd.read_csv(result.folder / "coverage.csv")
    assert coverage["images"].sum() == len(manifest)
    assert set(coverage["skin_type"]) == {2, 5}
    assert "skin_tone" in result.summary


def test_a_machine_without_a_compiler_draws_the_same_and_says_so(
    tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.models.compiling.compiler_fault", lambda device: f"no compiler for {device}")
    log = _Log()
    options: dict[str, Any] = {"prompts": {"mole": ["a mole"]}, "images_per_class": 2}
    plain = _run(tiny, base, log, name="plain", **options)
    assert log.messages == []
    asked = _run(tiny, base, log, name="compiled", compile=True, **options)
    assert log.messages == ["no compiler for cpu. The images are drawn without it."]
    rows = [next(manifest_rows(read_manifest(result.folder / "manifest.parquet"))) for result in (plain, asked)]
    assert rows[0]["image_id"] == rows[1]["image_id"]
    assert read_provenance(tiny.resolve(rows[1]["path"])).environment["compiled"] is False
