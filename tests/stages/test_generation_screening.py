"""Screening in a run: broken images are drawn again alone, with a recorded seed, and kept when they stay broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.generation.provenance import read_provenance
from tenfold.generation.run import run
from tenfold.generation.strategies.result import Drawing
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

PROMPTS = {"mole": ("a photo of ohwx mole",), "rash": ("a photo of zwxq rash", "another rash")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Result:
    return _run(make_tiny_workspace(tmp_path_factory.mktemp("whole") / "workspace"), _config(base))


def _config(base: Path, **changes: Any) -> GenerateConfig:
    options: dict[str, Any] = {
        "name": "drawn", "seed": 5, "checkpoint": str(base), "prompts": PROMPTS, "images_per_class": 6,
        "num_inference_steps": 1, "batch_size": 2,
    }  # fmt: skip
    return GenerateConfig(**(options | changes))


def _run(workspace: Workspace, config: GenerateConfig, **options: Any) -> Result:
    return run(config, workspace, SerialExecutor(), options.pop("progress", NullProgress()), **options)


class Log(NullProgress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


def _rows(result: Result) -> list[dict[str, Any]]:
    return list(manifest_rows(read_manifest(result.folder / "manifest.parquet")))


class Breaking:
    """Draws black, broken or white instead of what was asked for, in the first so many draws of one image."""

    def __init__(self, prompt: str, draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
        from tenfold.generation.strategies import dispatch

        self.seeds: list[Sequence[int | None]] = []
        self._original, self._prompt, self._left = dispatch.draw, prompt, draws
        monkeypatch.setattr(dispatch, "draw", self)

    def __call__(self, components: Any, requests: Any, *others: Any) -> Drawing:
        drawn = self._original(components, requests, *others)
        self.seeds.append([request.seed for request in requests])
        for place, request in enumerate(requests):
            if request.prompt == self._prompt and self._left:
                self._left -= 1
                drawn.images[place] = 0
        return drawn


def test_a_black_image_is_drawn_again_alone_with_a_recorded_seed(
    tiny: Workspace, base: Path, whole: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = Breaking("another rash", 2, monkeypatch)
    log = Log()
    result = _run(tiny, _config(base, images_per_class=2), progress=log)
    row = next(row for row in _rows(result) if row["prompt"] == "another rash")
    first = read_provenance(tiny.path / row["path"]).request.seed
    assert first is not None
    second = derive_seed(first, "redraw", 2)
    assert [seeds for seeds in breaking.seeds if len(seeds) == 1] == [[derive_seed(first, "redraw", 1)], [second]]
    assert (row["seed"], row["redraws"], row["quarantine_reason"]) == (second, 2, None)
    provenance = read_provenance(tiny.path / row["path"])
    assert provenance.redraw is not None and provenance.redraw.faults == ("black", "black")
    assert provenance.request.image_id == row["image_id"] and len(provenance.batch.requests) == 1
    assert log.messages[-1].startswith("1 images were black, flat or broken and drawn again with other seeds; 0 stayed")
    assert (result.summary["redrawn"], result.summary["refused"]) == (1, 0)
    others = {row["image_id"]: row["sha256"] for row in _rows(whole)}
    assert sum(others.get(row["image_id"]) == row["sha256"] for row in _rows(result)) >= 2  # the first batch


def test_an_image_that_stays_black_is_kept_and_marked(
    tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Breaking("another rash", 99, monkeypatch)
    result = _run(tiny, _config(base, images_per_class=2, redraw_limit=1))
    reasons = {row["prompt"]: row["quarantine_reason"] for row in _rows(result)}
    assert reasons == {PROMPTS["mole"][0]: None, PROMPTS["rash"][0]: None, "another rash": "screening: black"}
    assert len(_rows(result)) == 4 and result.summary["refused"] == 1
    assert "1 stayed so" in (result.folder / "README.md").read_text()


def test_values_that_are_not_finite_are_noticed(tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.models import sampling
    from tenfold.models.finiteness import finite

    calls: list[int] = []

    def broken(images: Any) -> Any:
        calls.append(len(images))
        if len(calls) == 1:
            images[1, :, 3, 3] = float("nan")
        return finite(images)

    monkeypatch.setattr(sampling, "finite", broken)
    result = _run(tiny, _config(base, images_per_class=2))
    assert calls[:2] == [2, 1]
    rows = _rows(result)
    assert [row["redraws"] for row in rows] == [0, 1, 0, 0]
    redraw = read_provenance(tiny.path / rows[1]["path"]).redraw
    assert redraw is not None and redraw.faults == ("not_finite",)
