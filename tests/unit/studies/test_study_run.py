"""The study stage with stand-in stages: failures are recorded, others go on, and only what failed is done again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import CheckpointError, DataError, InputError, StageError, StorageError
from tenfold.core.executor import SerialExecutor, WorkerDiedError
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import begin_stage
from tenfold.core.workspace import Workspace
from tenfold.studies import parts
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.failures import failure_error
from tenfold.studies.run import run
from tests.tiny_data import make_tiny_workspace


class StandIns:
    """Stages that only write a record; `faults` maps a folder name to what is raised there. `ran` is in order."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.ran: list[str] = []

    def stage(self, name: parts.StageName) -> Callable[..., Any]:
        def act(config: Any, workspace: Workspace, executor: Any, progress: Any) -> Any:
            folder = getattr(config, "cell", None) or config.name
            begun = begin_stage(workspace, name, f"{parts.FOLDERS[name]}/{folder}", config, [], seed=0)
            if begun.is_finished:
                return begun.result()
            self.ran.append(f"{parts.FOLDERS[name]}/{folder}")
            with progress.task(folder, 2) as task:
                task.advance(2)
            progress.log("the same words from every part")
            if folder in self.faults:
                raise self.faults[folder]
            output = begun.folder / "output.txt"
            output.write_text("done")
            return begun.finish([output], {"validation_macro_auroc": 0.5, "labels": ["a"]})

        return act


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    stand_ins = StandIns()
    monkeypatch.setattr(parts, "_stage", stand_ins.stage)
    return stand_ins


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "tiny", images_per_split={"train": 6, "val": 2, "test": 2})


def config(**changes: Any) -> StudyRunConfig:
    values = {"training_sizes": (1, 2), "synthetic_training_sizes": (1,), "seeds": 2, "synthetic_ratio": 2}
    return StudyRunConfig(**{**values, **changes})


def run_study(tiny: Workspace, **changes: Any) -> Any:
    return run(config(**changes), tiny, SerialExecutor(), NullProgress())


def results(tiny: Workspace) -> pd.DataFrame:
    return pd.read_parquet(tiny.path / "studies/main/results.parquet").set_index("cell")


def test_all_parts_run_in_the_order_of_their_needs(tiny: Workspace, stages: StandIns) -> None:
    result = run_study(tiny)
    ran = stages.ran
    assert ran.index("synthetic/main-prior") < ran.index("models/main-n1-s0") < ran.index("synthetic/main-n1-s0")
    assert ran.index("synthetic/main-n1-s0") < ran.index("classifiers/main-hybrid-n1-s0")
    assert ran.index("synthetic/main-n1-s1-autoencoder") < ran.index("classifiers/main-real-autoencoder-n1-s1")
    assert "audits/main-n1-s0" in ran
    assert len(set(ran)) == len(ran)
    assert result.summary["cells"] == 2 * (6 + 2)
    table = results(tiny)
    assert table["is_done"].all()
    assert set(table["summary.validation_macro_auroc"]) == {0.5}
    assert not list(tiny.path.glob(".progress*"))


def test_a_finished_study_is_recognized(tiny: Workspace, stages: StandIns) -> None:
    run_study(tiny)
    stages.ran.clear()
    assert run_study(tiny).was_finished
    assert stages.ran == []


def test_a_lost_part_is_made_again(tiny: Workspace, stages: StandIns) -> None:
    run_study(tiny)
    stages.ran.clear()
    (tiny.path / "classifiers/main-real-only-n2-s0/output.txt").unlink()
    run_study(tiny)
    assert stages.ran == ["classifiers/main-real-only-n2-s0"]


def test_a_failed_cell_does_not_stop_the_others(tiny: Workspace, stages: StandIns) -> None:
    stages.faults = {"main-real-only-n2-s1": ValueError("shapes differ")}
    result = run_study(tiny)
    error = failure_error(result.summary, tiny)
    assert isinstance(error, StageError)
    assert "1 of 23 parts of the study failed: main-real-only-n2-s1" in error.what
    assert "ValueError: shapes differ" in error.expected
    assert "Traceback" in Path(error.where).read_text()
    assert not (result.folder / "run.json").exists()
    table = results(tiny)
    assert table.loc["main-real-only-n2-s1", "error"] == "ValueError: shapes differ"
    assert table["is_done"].sum() == len(table) - 1

    stages.faults, stages.ran = {}, []
    assert failure_error(run_study(tiny).summary, tiny) is None
    assert stages.ran == ["classifiers/main-real-only-n2-s1"]
    assert results(tiny)["is_done"].all()


def test_cells_of_a_failed_generator_are_not_run(tiny: Workspace, stages: StandIns) -> None:
    stages.faults = {"main-n1-s0": StageError("the loss became nan")}
    assert isinstance(failure_error(run_study(tiny).summary, tiny), StageError)
    table = results(tiny)
    assert table.loc["main-hybrid-n1-s0", "error"] == "not run: main-n1-s0 failed"
    assert table.loc["main-synthetic-only-n1-s0", "error"] == "not run: main-n1-s0 failed"
    assert table.loc["main-hybrid-n1-s1", "is_done"]
    assert table.loc["main-real-autoencoder-n1-s0", "is_done"]


def test_failed_prior_images_stop_every_generator(tiny: Workspace, stages: StandIns) -> None:
    stages.faults = {"main-prior": DataError("no prompt")}
    error = failure_error(run_study(tiny).summary, tiny)
    assert isinstance(error, StageError) and error.exit_code == 1 and "no prompt" in error.expected
    assert not any(name.startswith("models/") for name in stages.ran)
    assert results(tiny).loc["main-real-only-n1-s0", "is_done"]


class DyingWorkers(SerialExecutor):
    """Two workers; one dies over a cell's task, and the whole pool with it, as pools do."""

    worker_count = 2

    def __init__(self, *deadly: str, once: bool = False) -> None:
        self.deadly = set(deadly)
        self.once = once

    def map(self, function: Any, tasks: Any) -> Any:
        for index, task in enumerate(tasks):
            if task.name in self.deadly:
                for begun in tasks[index : index + 2]:
                    begun.progress_file.write_text("0")
                if self.once:
                    self.deadly.remove(task.name)
                raise WorkerDiedError("a worker process died while it worked")
            yield index, function(task)


def test_a_cell_over_which_workers_die_does_not_stop_the_others(tiny: Workspace, stages: StandIns) -> None:
    deadly = "main-real-only-n2-s1"
    result = run(config(), tiny, DyingWorkers(deadly), NullProgress())
    assert [one["part"] for one in result.summary["failures"]] == [deadly]
    table = results(tiny)
    assert "a worker process died" in str(table.loc[deadly, "error"]) and table["is_done"].sum() == len(table) - 1
    assert len(set(stages.ran)) == len(stages.ran)

    stages.ran.clear()
    assert run(config(), tiny, DyingWorkers(deadly, once=True), NullProgress()).summary["failures"] == []
    assert stages.ran == [f"classifiers/{deadly}"]


def test_a_full_disk_stops_at_once(tiny: Workspace, stages: StandIns) -> None:
    stages.faults = {"main-prior": StorageError("the disk is full")}
    with pytest.raises(StorageError):
        run_study(tiny)
    assert len(stages.ran) < 5


def test_more_seeds_keep_what_is_done(tiny: Workspace, stages: StandIns) -> None:
    run_study(tiny)
    stages.ran.clear()
    run_study(tiny, seeds=3)
    assert stages.ran
    assert all(name.removesuffix("-autoencoder").endswith("s2") for name in stages.ran)


def test_without_prior_images_none_are_drawn(tiny: Workspace, stages: StandIns) -> None:
    run_study(tiny, prior={"images": 0})
    assert "synthetic/main-prior" not in stages.ran
    assert "models/main-n1-s0" in stages.ran


def test_a_study_of_real_arms_needs_no_generator(tiny: Workspace, stages: StandIns) -> None:
    run_study(tiny, arms=("real_only", "real_transforms"))
    assert {name.split("/")[0] for name in stages.ran} == {"classifiers"}


def test_messages_are_told_once(tiny: Workspace, stages: StandIns) -> None:
    class Listener(NullProgress):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def log(self, message: str) -> None:
            self.lines.append(message)

    listener = Listener()
    run(config(), tiny, SerialExecutor(), listener)
    assert listener.lines.count("the same words from every part") == 1


@pytest.mark.parametrize(
    ("network", "kind"),
    [({"model": "resnet18x"}, InputError), ({"model": "resnet18", "weights": "nowhere.safetensors"}, CheckpointError)],
)
def test_a_network_that_no_cell_can_start_from_ends_the_study_before_its_parts(
    tiny: Workspace, stages: StandIns, network: dict[str, str], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        run_study(tiny, classify={**network, "freeze_blocks": 0})
    assert stages.ran == []
