"""The program starts light: no heavy library is loaded before a command needs it, and every help has examples."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tenfold.cli.app import main

HEAVY = ("torch", "pandas", "numpy", "diffusers", "transformers", "timm", "scipy", "sklearn", "matplotlib", "pydantic")
COMMANDS = (
    ["demo"],
    ["run"],
    ["report"],
    ["doctor"],
    ["bench"],
    ["pretrain"],
    ["data", "import"],
    ["data", "check"],
    ["data", "split"],
    ["data", "export"],
    ["recipe", "list"],
    ["recipe", "show"],
    ["recipe", "validate"],
    ["recipe", "schema"],
)


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
    assert "Commands" in shown.out + shown.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from tenfold import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tenfold {__version__}"


def test_the_run_help_shows_brackets_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    assert "intake.classes=[df,vasc]" in capsys.readouterr().out
