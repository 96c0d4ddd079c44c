"""The demo, cut to seconds: run again it gives the same hashes; killed or interrupted, it resumes to them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tenfold
from tests.replay import mini_demo

KILLS = 3
STAGES = (
    "data/images/*.png",
    "synthetic/main-prior/started.json",
    "models/*/started.json",
    "synthetic/main-n2-s0/started.json",
    "classifiers/*/started.json",
    "audits/*/started.json",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The workspace of an uninterrupted run in one process."""
    workspace = tmp_path_factory.mktemp("replay") / "finished"
    done = mini_demo.run(workspace, "--executor", "serial", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (workspace / "logs").mkdir(exist_ok=True)
    (workspace / "logs" / "stdout.jsonl").write_text(done.stdout)
    yield workspace
    shutil.rmtree(workspace)


def test_the_demo_ends_in_a_report_and_replays_from_python(finished: Path, tmp_path: Path) -> None:
    result = json.loads((finished / "logs" / "stdout.jsonl").read_text().splitlines()[-1])
    assert result["event"] == "result"
    assert result["verdict"]["word"] in ("not_testable", "no_evidence")  # one seed proves nothing
    assert Path(result["report"]).is_file()
    assert any("mini run" in note for note in result["notes"])
    assert "mini run" in (finished / "report" / "report.html").read_text()
    assert (finished / "data" / "report" / "intake.html").is_file()

    again = tenfold.run("demo", mini=True, workspace=tmp_path / "again", settings=mini_demo.SETTINGS, executor="serial")
    assert again.verdict.word == result["verdict"]["word"]
    assert again.report_path.is_file()
    assert mini_demo.output_hashes(tmp_path / "again") == mini_demo.output_hashes(finished)


@pytest.mark.slow
def test_a_finished_run_is_recognized_and_a_lost_file_made_again(finished: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "copy"
    shutil.copytree(finished, workspace)
    cell = next((workspace / "classifiers").iterdir())
    (cell / "predictions.parquet").unlink()
    images = {path: path.stat().st_mtime_ns for path in workspace.rglob("*.png")}
    done = mini_demo.run(workspace, "--executor", "serial")
    assert done.returncode == 0, done.stderr
    assert "Intake: finished before" in done.stderr
    assert mini_demo.output_hashes(workspace) == mini_demo.output_hashes(finished)
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*.png")} == images


@pytest.mark.slow
def test_worker_processes_give_the_same_hashes(finished: Path, tmp_path: Path) -> None:
    done = mini_demo.run(tmp_path / "processes", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert mini_demo.output_hashes(tmp_path / "processes") == mini_demo.output_hashes(finished)


@pytest.mark.slow
def test_the_written_recipe_replays_the_run(finished: Path, tmp_path: Path) -> None:
    summary = tenfold.run(str(finished / "recipe.yaml"), workspace=tmp_path / "replayed", executor="serial")
    assert summary.report_path.is_file()
    assert mini_demo.output_hashes(tmp_path / "replayed") == mini_demo.output_hashes(finished)


@pytest.mark.slow
def test_a_script_without_a_main_guard_can_use_workers(finished: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    options = f"mini=True, workspace={str(tmp_path / 'ws')!r}, settings={mini_demo.SETTINGS!r}, workers=1"
    script.write_text(f"import tenfold\nprint(tenfold.run('demo', {options}).verdict.word)\n")
    done = subprocess.run(
        [sys.executable, str(script)], env=mini_demo.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["not_testable"], done.stderr
    assert mini_demo.output_hashes(tmp_path / "ws") == mini_demo.output_hashes(finished)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_random_moments_it_resumes_to_the_same_hashes(number: int, finished: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "killed"
    moments = random.Random(number)
    for _ in range(4):
        process = start(workspace, "--workers", "2")
        try:
            process.wait(timeout=moments.uniform(2, 30))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        assert_no_workers(workspace)
    done = mini_demo.run(workspace, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert mini_demo.output_hashes(workspace) == mini_demo.output_hashes(finished)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_in_a_stage_it_says_so_and_resumes(stage: str, finished: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "interrupted"
    process = start(workspace, "--workers", "1")
    wait_for(workspace, stage, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "run the same command again" in " ".join(told.replace("│", " ").split())
    assert "Traceback" not in told
    assert_no_workers(workspace)
    done = mini_demo.run(workspace, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert mini_demo.output_hashes(workspace) == mini_demo.output_hashes(finished)


def start(workspace: Path, *extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        mini_demo.command(workspace, *extra),
        env=mini_demo.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(workspace: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Until a file of the stage is there."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 300:
        if next(workspace.glob(pattern), None) is not None:
            return
        time.sleep(0.01)
    raise AssertionError(f"{pattern} never came; exit code {process.returncode}")


def assert_no_workers(workspace: Path) -> None:
    """Nothing of the run is alive a moment after it ended: workers end with their parent."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not living_processes(workspace):
            return
        time.sleep(0.1)
    raise AssertionError(f"still alive: {living_processes(workspace)}")


def living_processes(workspace: Path) -> list[str]:
    """Processes that have a file of the workspace open or name it in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            opened = [os.readlink(link) for link in (folder / "fd").iterdir()]
        except OSError:
            continue
        if str(workspace) in words or any(path.startswith(str(workspace)) for path in opened):
            found.append(f"{folder.name}: {words}")
    return found
