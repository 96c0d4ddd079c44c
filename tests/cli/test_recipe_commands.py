"""`tenfold recipe`: list, show, validate and schema, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenfold.cli.app import main


def test_list_for_machines_and_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list"]) == 0
    told = capsys.readouterr().out
    assert "folder " in told and "needs --set intake.source=" in told and "tenfold run NAME --mini" in told
    assert "--variant scratch: a small net that has seen no other image" in told
    assert main(["recipe", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"demo", "folder"} <= {one["name"] for one in listed["recipes"]}
    assert next(one["variants"] for one in listed["recipes"] if one["name"] == "learning-curve") == [
        "frozen",
        "scratch",
    ]


def test_a_shown_recipe_is_a_valid_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "folder"]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out)
    assert main(["recipe", "validate", str(path), "--set", "intake.source=/data"]) == 0


def test_schema_names_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    sections = {"intake", "split", "study", "prior", "finetune", "generate", "classify", "audit", "evaluate", "report"}
    assert sections | {"required", "mini", "name", "seed"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_faults_are_named_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\nstudy:\n  seds: 3\n  seeds: many\n")
    assert main(["recipe", "validate", str(path), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)
    places = {one["where"]: one for one in error["errors"]}
    assert set(places) == {f"{path}:3:3", f"{path}:4:3"}
    assert places[f"{path}:3:3"]["todo"] == "Did you mean 'seeds'?"
    assert "integer" in places[f"{path}:4:3"]["expected"]


def test_unknown_recipes_offer_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "foldr", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["todo"] == "Did you mean 'folder'?"
