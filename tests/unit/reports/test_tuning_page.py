"""The tuning page: what it says, that it needs nothing else, and its figures as PNG."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tenfold.classification.tuning_contents import Look, Searched, Trial, TuningContents
from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import write_json_atomic
from tenfold.core.plain import to_plain
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.reports.config import TuningPageConfig
from tenfold.reports.tuning_page import draw, render, run_tuning_page

TRIALS = (
    Trial(
        0, "complete", {"learning_rate": 1e-3, "optimizer": "adam"}, 0.71, 1.1, 50, (Look(25, 0.6), Look(50, 0.71)), ""
    ),
    Trial(1, "pruned", {"learning_rate": 1e-5, "optimizer": "rmsprop"}, 0.52, 1.4, 25, (Look(25, 0.52),), ""),
    Trial(
        2, "failed", {"learning_rate": 1e-2, "optimizer": "rmsprop"}, None, None, None, (), "the loss is <no> number"
    ),
    Trial(
        3, "complete", {"learning_rate": 3e-4, "optimizer": "adam"}, 0.83, 0.9, 50, (Look(25, 0.7), Look(50, 0.83)), ""
    ),
)
CONTENTS = TuningContents(
    name="first", goal="macro_auroc", labels=("a<b", "c"), model="embedded:small", n_training_images=64,
    n_validation_images=40, n_validation_patients=21,
    space={
        "learning_rate": Searched("1e-05 to 0.01, by powers of ten", True, None),
        "optimizer": Searched("adam, rmsprop", False, ("adam", "rmsprop")),
    },
    trials=TRIALS, best_number=3, importances={"learning_rate": 0.8, "optimizer": 0.2},
    importance_note="from 2 whole trials",
)  # fmt: skip


def page(contents: TuningContents) -> str:
    return render(contents, draw(contents), "learning_rate: 0.0003\n")


def test_the_page_tells_the_best_the_doubt_and_every_trial() -> None:
    text = page(CONTENTS)
    assert "best of 4 trials" in text and "These figures are too good" in text
    assert "validation images of 21 groups" in page(replace(CONTENTS, counted_unit="group"))
    assert "validation images of 21 patients" in text and "<dt>test images read</dt><dd>0</dd>" in text
    assert "1 ended early, 1 failed" in text and "1e-05 to 0.01, by powers of ten" in text
    assert text.count("<tr class=") == 4 and "a&lt;b" in text and "the loss is &lt;no&gt; number" in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text) and "<script" not in text


def test_figures_are_drawn_alike_each_time_and_as_png() -> None:
    drawings = draw(CONTENTS)
    assert sorted(drawings) == ["history", "importance", "looks", "slice-learning_rate", "slice-optimizer"]
    for name, drawing in draw(CONTENTS).items():
        assert drawing == drawings[name] and drawing.svg.startswith("<svg")
        with Image.open(io.BytesIO(drawing.png)) as opened:
            assert opened.width > 400


def test_what_is_not_known_is_said() -> None:
    few = replace(CONTENTS, importances=None, importance_note="too few whole trials")
    assert "No importances:</b> too few whole trials" in page(few) and "importance" not in draw(few)
    blind = tuple(replace(trial, looks=(), best_step=None) for trial in TRIALS)
    headed = replace(CONTENTS, trials=blind)
    assert "looks" not in draw(headed) and "chosen with its penalty" in page(headed)


def test_the_stage_writes_page_and_pictures_once(workspace: Workspace) -> None:
    def run() -> bool:
        config = TuningPageConfig(name="first")
        return run_tuning_page(config, workspace, SerialExecutor(), NullProgress()).was_finished

    with pytest.raises(DataError, match="no finished tuning 'first'"):
        run()
    result = workspace.path / "tuning" / "first" / "result"
    write_json_atomic(result / "tuning.json", to_plain(CONTENTS))
    Path(result / "best.yaml").write_text("learning_rate: 0.0003\n")
    assert not run() and run()
    names = sorted(path.name for path in (workspace.path / "tuning" / "first" / "page").iterdir())
    assert names == [
        "history.png", "importance.png", "looks.png", "run.json", "slice-learning_rate.png", "slice-optimizer.png",
        "tuning.html",
    ]  # fmt: skip
