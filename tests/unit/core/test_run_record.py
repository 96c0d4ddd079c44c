"""Stage records: finished, resumed, redone; nothing lost to a kill, nothing kept of other work."""

from pathlib import Path

import pytest

from tenfold.core import run_record
from tenfold.core.config import StageConfig
from tenfold.core.errors import DataError, StageError, WorkspaceError
from tenfold.core.files import read_json, write_bytes_atomic, write_text_atomic
from tenfold.core.run_record import Result, StageRun, begin_stage, read_run_record
from tenfold.core.workspace import Workspace


class _Config(StageConfig):
    name: str = "a"
    steps: int = 3


def _begin(workspace: Workspace, steps: int = 3, seed: int = 1) -> StageRun:
    source = workspace.path / "source.txt"
    if not source.exists():
        write_text_atomic(source, "input")
    return begin_stage(
        workspace, "work", "models/a", _Config(steps=steps), [source], seed=seed, owns=["data/made.txt"]
    )  # fmt: skip


def _work(run: StageRun) -> Result:
    if run.is_finished:
        return run.result()
    outputs = [run.folder / "out.txt", run.workspace.resolve("data/made.txt")]
    for output in outputs:
        write_text_atomic(output, f"steps {run.config['steps']}")
    return run.finish(outputs, {"count": 2, "share": 0.5, "pair": (1, 2)})


def test_first_run_works_and_the_second_recognizes_it(workspace: Workspace) -> None:
    first = _work(_begin(workspace))
    assert not first.was_finished
    assert list(first.outputs) == ["data/made.txt", "models/a/out.txt"]
    run = _begin(workspace)
    assert run.is_finished
    again = _work(run)
    assert again == Result("work", first.folder, first.outputs, first.summary, was_finished=True)
    assert again.summary == {"count": 2, "share": 0.5, "pair": [1, 2]}


def test_the_record_has_the_fields_of_the_contract(workspace: Workspace) -> None:
    _work(_begin(workspace))
    record = read_json(workspace.path / "models/a/run.json")
    assert sorted(record) == [
        "config", "environment", "fingerprint", "finished_at", "inputs", "outputs", "peak_memory_bytes",
        "seconds", "seed", "stage", "started_at", "summary", "tenfold_version",
    ]  # fmt: skip
    assert record["config"] == {"name": "a", "steps": 3}
    assert list(record["inputs"]) == ["source.txt"]
    assert record["started_at"] <= record["finished_at"]
    assert read_run_record(workspace.path / "models/a").seed == 1
    assert not (workspace.path / "models/a/started.json").exists()


def test_inputs_outside_the_workspace_are_recorded_by_name_alone(workspace: Workspace, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write_text_atomic(tmp_path / folder / "table.csv", folder)
    package_file = Path(run_record.__file__)
    inputs = [tmp_path / "x" / "table.csv", tmp_path / "y" / "table.csv", package_file]
    run = begin_stage(workspace, "work", "models/b", _Config(), inputs, seed=1)
    assert list(run.inputs) == ["external:table.csv", "external:table.csv#2", "tenfold:core/run_record.py"]


def test_unfinished_work_of_the_same_fingerprint_is_kept(workspace: Workspace) -> None:
    run = _begin(workspace)
    write_text_atomic(run.folder / "part.txt", "half of the work")
    (run.folder / ".tmp-9-0.part.txt").write_text("torn")
    again = _begin(workspace)
    assert not again.is_finished
    assert again.started_at == run.started_at
    assert sorted(entry.name for entry in again.folder.iterdir()) == ["part.txt", "started.json"]


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("change", [{"steps": 4}, {"seed": 2}])
def test_work_of_another_fingerprint_is_removed(
    workspace: Workspace, is_finished: bool, change: dict[str, int]
) -> None:
    run = _begin(workspace)
    write_text_atomic(run.folder / "checkpoints" / "1.txt", "old")
    write_text_atomic(workspace.resolve("data/made.txt"), "old")
    write_text_atomic(workspace.resolve("data/other.txt"), "another stage's")
    if is_finished:
        _work(run)
    again = _begin(workspace, **change)
    assert not again.is_finished
    assert [entry.name for entry in again.folder.iterdir()] == ["started.json"]
    assert [entry.name for entry in workspace.resolve("data").iterdir()] == ["other.txt"]


def test_a_changed_input_makes_the_work_new(workspace: Workspace) -> None:
    _work(_begin(workspace))
    write_text_atomic(workspace.path / "source.txt", "another input")
    assert not _begin(workspace).is_finished


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_output_is_made_again_and_the_whole_ones_are_kept(workspace: Workspace, damage: str) -> None:
    first = _work(_begin(workspace))
    path = workspace.path / "models/a/out.txt"
    if damage == "changed":
        path.write_text("tampered")
    else:
        path.unlink()
    run = _begin(workspace)
    assert not run.is_finished
    assert not path.exists()
    assert workspace.resolve("data/made.txt").exists()
    assert _work(run).outputs == first.outputs


def test_an_output_folder_is_hashed_as_one(workspace: Workspace) -> None:
    run = _begin(workspace)
    write_bytes_atomic(run.folder / "images" / "a.png", b"x")
    run.finish([run.folder / "images"], {})
    assert _begin(workspace).is_finished
    write_bytes_atomic(run.folder / "images" / "b.png", b"y")
    assert not _begin(workspace).is_finished
    assert not (run.folder / "images").exists()


@pytest.mark.parametrize("name", ["run.json", "started.json"])
def test_an_unreadable_marker_means_the_work_is_begun_anew(workspace: Workspace, name: str) -> None:
    _work(_begin(workspace))
    (workspace.path / "models/a" / name).write_text("{")
    run = _begin(workspace)
    assert not run.is_finished
    assert [entry.name for entry in run.folder.iterdir()] == ["started.json"]


def test_a_kill_at_any_file_operation_of_begin_or_finish_is_survived(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut the process before its n-th removal or rename, for every n, then run again to the same outputs."""
    expected = _work(_begin(workspace, steps=4)).outputs
    cuts = 0
    for cut in range(100):
        _work(_begin(workspace, steps=3))  # other work lies there, finished
        with monkeypatch.context() as patch:
            was_cut = _cut_after(patch, cut)
            try:
                _work(_begin(workspace, steps=4))
            except _Killed:
                cuts += 1
        result = _work(_begin(workspace, steps=4))
        assert result.outputs == expected
        assert _begin(workspace, steps=4).is_finished
        if not was_cut:
            break
    assert cuts > 5


class _Killed(BaseException):
    pass


def _cut_after(patch: pytest.MonkeyPatch, operations: int) -> list[bool]:
    """Raise before the operation number `operations`; the list becomes non-empty when that happened."""
    was_cut: list[bool] = []
    done = [0]

    def guard(real):  # type: ignore[no-untyped-def]
        def cutting(*args, **kwargs):  # type: ignore[no-untyped-def]
            if done[0] >= operations:
                was_cut.append(True)
                raise _Killed
            done[0] += 1
            return real(*args, **kwargs)

        return cutting

    patch.setattr("os.replace", guard(__import__("os").replace))
    patch.setattr("shutil.rmtree", guard(__import__("shutil").rmtree))
    patch.setattr(Path, "unlink", guard(Path.unlink))
    return was_cut


def test_a_missing_input_or_output_is_named(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="an input of the stage work is missing"):
        begin_stage(workspace, "work", "models/a", _Config(), [workspace.path / "none"], seed=1)
    with pytest.raises(StageError, match="did not write"):
        _begin(workspace).finish([workspace.path / "none"], {})


def test_reading_an_unfinished_or_damaged_record_is_an_error(workspace: Workspace) -> None:
    run = _begin(workspace)
    with pytest.raises(DataError, match="not finished"):
        read_run_record(run.folder)
    (run.folder / "run.json").write_text('{"stage": "work"}')
    with pytest.raises(DataError, match="damaged"):
        read_run_record(run.folder)


def test_a_stage_cannot_own_what_lies_outside(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="leaves the workspace"):
        begin_stage(workspace, "work", "../a", _Config(), [], seed=1)
    with pytest.raises(WorkspaceError, match="leaves the workspace"):
        begin_stage(workspace, "work", "models/a", _Config(), [], seed=1, owns=["../a"])
