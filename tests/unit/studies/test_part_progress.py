"""Progress of parts in workers, told through small files."""

from __future__ import annotations

from pathlib import Path

from tenfold.studies.part_progress import PartProgress, PartWatch


class Counted:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps


def test_stages_of_a_part_share_one_fraction(tmp_path: Path) -> None:
    path = tmp_path / "part"
    progress = PartProgress(path, (0.75, 0.25))
    with progress.task("training", 4) as task:
        task.advance(2)
    assert float(path.read_text()) == 0.375
    progress.end_stage()
    assert float(path.read_text()) == 0.75
    progress.end_stage()
    assert float(path.read_text()) == 1.0


def test_a_watch_adds_up_weights_and_cleans_up(tmp_path: Path) -> None:
    counted = Counted()
    with PartWatch(tmp_path / "watched", {"a": 10, "b": 30}, counted) as watch:
        watch.path("b").write_text("0.5")
        watch.end("a")
        assert counted.done == 25
        watch.path("b").write_text("no number")
        watch.end("b")
        assert counted.done == 40
    assert not (tmp_path / "watched").exists()


def test_a_part_that_cannot_write_its_progress_goes_on(tmp_path: Path) -> None:
    progress = PartProgress(tmp_path / "missing" / "part", (1.0,))
    with progress.task("training", 2) as task:
        task.advance(2)
    progress.end_stage()
