"""The program starts light: no heavy library is loaded before a command needs it, and every help has examples."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tenfold.cli.app import PANELS, main

HEAVY = ("torch", "pandas", "numpy", "diffusers", "transformers", "timm", "scipy", "sklearn", "matplotlib", "pydantic")
GROUPS = {
    "data": ("import", "check", "split", "export"),
    "recipe": ("list", "show", "validate", "schema"),
    "models": (),  # tests/cli/test_models_commands.py
    "review": ("serve", "invite", "revoke", "status", "export"),
    "finetune": ("dreambooth", "inpainting", "super-resolution"),
}
ALL = [name for panel in PANELS.values() for name in panel]
COMMANDS = [[name] for name in ALL if name not in GROUPS]
COMMANDS += [[group, name] for group, names in GROUPS.items() for name in names]


@pytest.mark.parametrize("module", ["tenfold", "tenfold.cli.app"])
def test_import_leaves_heavy_libraries_unloaded(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_and_the_shared_options(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"tenfold {' '.join(command)}" in text
    for option in ("--json", "--quiet", "--debug"):
        assert option in text


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert not [panel for panel in PANELS if panel not in text]
    assert "─ Commands" not in text, "a command has no place in PANELS"
    places = [text.index(f"│ {name} ") for name in ALL]
    assert places == sorted(places), "the order of the work"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from tenfold import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tenfold {__version__}"


def test_the_run_help_shows_brackets_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    assert "intake.classes=[df,vasc]" in capsys.readouterr().out
