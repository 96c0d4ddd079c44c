"""`tenfold evaluate` on tables: what it prints and writes, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tests.prediction_files import make_manifest_table, make_predictions, write_files

FAST = ["--set", "bootstrap_draws=100", "--set", "permutations=100"]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_two_models_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, manifest = write_files(tmp_path / "in")
    words = ["-p", str(files[0]), "-p", str(files[1]), "-m", str(manifest), "-o", str(tmp_path / "out")]
    options = ["--reference", "theirs", "--margin", "0.05", "--prevalence", "melanoma=0.02", "--subgroup", "hospital"]
    assert main(["evaluate", *words, *options, *FAST, "--json"]) == 0
    result = last_line(capsys)
    assert result["n_test_patients"] == 90
    assert [model["name"] for model in result["models"]] == ["ours", "theirs"]
    (row,) = result["comparisons"]
    assert row["difference"]["low"] > 0 and row["equivalence"] == "non_inferior"
    assert Path(result["page"]).is_file()
    evaluation = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert {point["prevalence"] for point in evaluation["prevalence_points"]} == {0.02}
    assert "attr.hospital" in {row["attribute"] for row in evaluation["subgroups"]}


def test_results_lie_beside_the_file_and_people_read_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_predictions(make_manifest_table(30, validation=0)).to_csv(tmp_path / "net.csv", index=False)
    assert main(["evaluate", "--predictions", str(tmp_path / "net.csv"), *FAST]) == 0
    printed = capsys.readouterr().out
    assert "Evaluated on 60 test images, patients not recorded." in printed
    assert (tmp_path / "net-evaluation/evaluation.html").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--predictions FILE with --manifest FILE"),
        (["-p", "a.csv", "-w", "here"], "two different sources"),
        (["-w", "here", "--classifier", "x", "-m", "images.csv"], "belongs to --predictions"),
        (["-p", "absent.csv"], "there is no such file"),
        (["-p", "a.csv", "--metric", "luck"], "macro_auroc"),
        (["-p", "a.csv", "--margin", "2"], "--margin"),
        (["-p", "a.csv", "--prevalence", "often"], "NAME=VALUE"),
    ],
)
def test_bad_usage_says_what_is_expected(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words, "--json"]) == 2
    assert expected in json.dumps(last_line(capsys))
    assert not list(tmp_path.iterdir())
