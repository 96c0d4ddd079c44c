"""`tenfold study` end to end: plan and probe first, failed cells told and done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import Workspace
from tenfold.recipes import studying
from tenfold.recipes.loader import load_recipe
from tenfold.recipes.studying import forecast_study, order_study
from tests.tiny_data import make_tiny_workspace

FAST = [
    "--set", "study.arms=[real_only, real_transforms, real_autoencoder]", "--set", "study.training_sizes=[2]",
    "--set", "study.synthetic_training_sizes=[2]", "--set", "study.seeds=2", "--set", "classify.max_train_steps=2",
    "--set", "classify.evaluate_every_steps=1", "--set", "classify.batch_size=4", "--set", "classify.device=cpu",
    "--set", "evaluate.primary.arm=real_transforms", "--set", "evaluate.primary.controls=[real_only]",
    "--set", "evaluate.bootstrap_draws=100", "--executor", "serial", "--no-probe",
]  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "ws", image_size_px=64)


def run(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[int, Any]:
    """The exit code and the last JSON line of both streams."""
    code = main(["study", "-w", str(workspace.path), *FAST, *words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads((captured.out + captured.err).strip().splitlines()[-1])


def test_a_study_is_planned_run_and_reported(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, tiny, "--dry-run")
    assert (code, told["dry_run"]["cells"], told["dry_run"]["generators"]) == (0, 6, 0)
    assert not (tiny.path / "studies").exists()
    code, told = run(capsys, tiny)
    assert code == 0 and Path(told["report"]).is_file()
    plan = read_json(tiny.path / "studies/main/plan.json")
    assert plan["cells"] == 6 and "80 % power" in plan["minimum_detectable"]["text"]


def test_a_failed_cell_is_reported_and_done_again(
    tiny: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.classification import run as stage

    whole = stage.run

    def broken(config: Any, *rest: Any) -> Any:
        if config.cell == "main-real-autoencoder-n2-s1":
            raise ValueError("shapes differ")
        return whole(config, *rest)

    monkeypatch.setattr(stage, "run", broken)
    code, told = run(capsys, tiny)
    assert (code, told["error"]) == (1, "StageError")
    assert "1 of 8 parts of the study failed: main-real-autoencoder-n2-s1" in told["what"]
    assert (tiny.path / "report/report.html").is_file()
    assert not (tiny.path / "studies/main/run.json").exists()
    assert "shapes differ" in (tiny.path / "logs/failed-parts.txt").read_text()
    evaluated = read_json(tiny.path / "evaluation/main/evaluation.json")
    assert {row["arm"]: row["n_cells"] for row in evaluated["arms"]} == {
        "real_autoencoder": 1, "real_only": 2, "real_transforms": 2,
    }  # fmt: skip

    monkeypatch.setattr(stage, "run", whole)
    before = read_run_record(tiny.path / "classifiers/main-real-only-n2-s0").finished_at
    assert run(capsys, tiny)[0] == 0
    assert read_run_record(tiny.path / "classifiers/main-real-only-n2-s0").finished_at == before
    evaluated = read_json(tiny.path / "evaluation/main/evaluation.json")
    assert {row["n_cells"] for row in evaluated["arms"]} == {2}


def test_where_nothing_is_left_to_evaluate_the_failures_are_told(
    tiny: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.classification import run as stage

    def broken(config: Any, *rest: Any) -> Any:
        raise ValueError("shapes differ")

    monkeypatch.setattr(stage, "run", broken)
    code, told = run(capsys, tiny)
    assert (code, told["error"]) == (1, "StageError")
    assert "6 of 8 parts of the study failed" in told["what"]
    assert "ValueError: shapes differ" in told["expected"]


@pytest.mark.slow
def test_the_probe_times_real_steps_and_leaves_the_workspace_alone(tiny: Workspace) -> None:
    settings = [
        "study.arms=[real_transforms, hybrid]", "study.training_sizes=[2]", "study.synthetic_training_sizes=[2]",
        "study.seeds=1", "classify.batch_size=4", "classify.device=cpu", "finetune.train_batch_size=2",
        "finetune.device=cpu", "generate.device=cpu",
    ]  # fmt: skip
    files = sorted(tiny.path.rglob("*"))
    forecast, rates = forecast_study(order_study(tiny.path, None, settings), 2, NullProgress(), with_probe=True)
    assert "a probe of this machine (training, fine-tuning, drawing)" in forecast.basis
    reference = studying.DEFAULT_RATES
    for name in ("training", "fine_tuning", "drawing"):
        assert getattr(rates, name) != getattr(reference, name)
        assert getattr(rates, name).each > 0
    assert rates.megabytes_per_generator > 1 > rates.kilobytes_per_image / 1000
    assert sorted(tiny.path.rglob("*")) == files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "study.arms=[hybird]"], "did you mean 'hybrid'"),
        (["--set", "study.training_sizes=[40]", "--set", "study.synthetic_training_sizes=[40]"], "at most 4 a class"),
        (
            ["--set", "study.define={x: {like: hybrid, real_counts: {mole: 0}}}", "--set", "study.arms=[x]"],
            "mole would",
        ),
        (["--recipe", "dmeo"], "Did you mean 'demo'"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    tiny: Workspace, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    given = [word for word in words if word.startswith("study.")]
    names = {word.partition("=")[0] for word in given}
    fast = [pair for pair in zip(FAST[:-3:2], FAST[1:-3:2], strict=True) if pair[1].partition("=")[0] not in names]
    options = [word for pair in fast for word in pair]
    assert main(["study", "-w", str(tiny.path), *options, *words, "--no-probe", "--json"]) == 2
    captured = capsys.readouterr()
    assert expected in json.dumps(json.loads((captured.out + captured.err).strip().splitlines()[-1]))
    assert not (tiny.path / "studies").exists()


def test_a_workspace_without_a_split_is_told_what_to_do(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny.path / "data/splits.json").unlink()
    code, told = run(capsys, tiny)
    assert (code, "tenfold data split" in told["todo"]) == (2, True)


def test_each_study_keeps_its_own_recipe_and_report(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    own = "name: mine\nseed: 3\nintake: {source: elsewhere, classes: [mole, rash]}\n"
    (tiny.path / "recipe.yaml").write_text(own)
    (tiny.path / "other.yaml").write_text("name: other\nintake: {class_nouns: {mole: dark spot}}\n")
    assert run(capsys, tiny)[0] == 0
    assert run(capsys, tiny, "--recipe", str(tiny.path / "other.yaml"), "--set", "study.name=other")[0] == 0
    assert (tiny.path / "recipe.yaml").read_text() == own
    recipe = load_recipe(str(tiny.path / "studies/other.yaml"))
    assert (recipe.seed, recipe.intake.source) == (7, "elsewhere")  # what replays it
    assert recipe.intake.class_nouns == {"mole": "dark spot"}
    pages = {name: (tiny.path / f"studies/{name}.html").read_text() for name in ("main", "other")}
    assert "tenfold run studies/other.yaml" in pages["other"] and pages["main"] != pages["other"]
    report = tiny.path / "report/report.html"
    assert report.read_text() == pages["other"]
    assert main(["report", "-w", str(tiny.path), "--study", "main", "--quiet"]) == 0
    assert read_json(tiny.path / "report/run.json")["config"]["study"] == "main"
    assert main(["report", "-w", str(tiny.path), "--study", "third", "--quiet"]) == 2
    assert "no recipe of a study 'third'" in " ".join(capsys.readouterr().err.split())
