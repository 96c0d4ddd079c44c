"""The house holds: floors, no torch where none belongs, readable files, and nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tenfold"
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 320
WHY_LONG = "This file is long because"
MOST_ARGUMENTS = 7

TORCH_FREE = [
    "tenfold",
    "tenfold.cli",
    "tenfold.cli.app",
    "tenfold.generation.planning",
    "tenfold.generation.requests",
    "tenfold.studies.design",
    "tenfold.data.manifest",
    "tenfold.data.manifest_checks",
    "tenfold.data.splits",
    "tenfold.data.subsets",
]


def test_the_floors_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_importing_the_command_line_configs_and_plans_leaves_torch_unloaded() -> None:
    rooms = ("metrics", "core")
    names = [_module_name(path) for path in MODULES if path.parent.name in rooms or path.name == "config.py"]
    assert len(names) > 15
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    loaded = {'torch', 'diffusers', 'transformers', 'timm'} & set(sys.modules)\n"
        "    assert not loaded, f'{name} loads {sorted(loaded)}'\n"
    )
    found = subprocess.run([sys.executable, "-c", code, *TORCH_FREE, *names], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_files_stay_readable_in_one_sitting() -> None:
    suffixes = {".py", ".js", ".css", ".html", ".j2"}
    too_long = [
        f"{path}: {len(lines)} lines"
        for path in _own_files()
        if path.suffix in suffixes
        and len(lines := _text(path).splitlines()) > MOST_LINES
        and WHY_LONG not in "\n".join(lines[:20])
    ]
    assert not too_long, f"longer than {MOST_LINES} lines without '{WHY_LONG} ...' at the top"


def test_every_module_says_its_subject_first() -> None:
    for path in MODULES:
        docstring = ast.get_docstring(_tree(path))
        assert docstring, f"{path} has no docstring"
        assert docstring.splitlines()[0].endswith((".", ":", "?")), f"{path}: its first line is not one sentence"


def test_functions_take_few_arguments() -> None:
    """Commands of the command line are exempt: an argument there is an option for a person."""
    too_many = [
        f"{path}:{node.lineno} {node.name}"
        for path, node in _nodes(ast.FunctionDef)
        if path.parent.name != "cli" and _argument_count(node) > MOST_ARGUMENTS
    ]
    assert not too_many


def test_no_attic_modules() -> None:
    attics = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in MODULES if attics & {path.stem, *path.relative_to(PACKAGE).parts}]


def test_only_core_seeds_touches_seeds() -> None:
    """Global streams are seeded in one place; nothing is seeded by `hash()`, which changes from run to run."""
    faults = []
    for path, call in _nodes(ast.Call):
        name = ast.unparse(call.func)
        if path == PACKAGE / "core" / "seeds.py":
            continue
        is_global = name in ("np.random.seed", "random.seed", "hash")
        if is_global or name.split(".")[-1] in ("manual_seed", "manual_seed_all"):
            faults.append(f"{path}:{call.lineno} {name}")
    assert not faults


def test_nothing_runs_code_from_data() -> None:
    """No pickle, no eval, no unsafe YAML, no shell."""
    modules = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
    calls = {"eval", "exec", "compile", "__import__", "torch.load", "yaml.load", "yaml.unsafe_load", "os.system"}
    faults = [
        f"{path}:{node.lineno} imports {found}"
        for path, node in _nodes(ast.Import, ast.ImportFrom)
        if (found := modules & {name.split(".")[0] for name in _imported(node)})
    ]
    for path, call in _nodes(ast.Call):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        is_unsafe = keywords.get("allow_pickle") == "True" or keywords.get("shell") == "True"
        if ast.unparse(call.func) in calls or is_unsafe:
            faults.append(f"{path}:{call.lineno} {ast.unparse(call)[:80]}")
    assert not faults


def test_nothing_reaches_for_the_network() -> None:
    """But `distributed`, which asks a cluster's address whether somebody answers, and the review page's server."""
    sockets = (*(PACKAGE / "distributed").iterdir(), PACKAGE / "review" / "web" / "server.py")
    modules = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "socket", "huggingface_hub"}
    faults = [
        f"{path}:{node.lineno} imports {found}"
        for path, node in _nodes(ast.Import, ast.ImportFrom)
        if (found := modules & set(_imported(node))) and path not in sockets
    ]
    assert not faults


@pytest.mark.parametrize(
    "word", ["colour", "grey", "licence", "behaviour", "neighbour", "centre", "normalis", "initialis"]
)
def test_identifiers_are_spelled_the_american_way(word: str) -> None:
    names = [(path, node.lineno, _identifier(node)) for path, node in _nodes(ast.Name, ast.arg, ast.FunctionDef)]
    assert not [found for found in names if word in found[2].lower()]


def test_no_file_names_a_machine_or_a_package_index() -> None:
    paths = [str(ROOT) + "/", str(Path.home()) + "/", "/" + "home/", "/" + "Users/", "/" + "opt/"]
    address = re.compile(r"(?i)(index-url|find-links|registry)\S*\s*[=: ]\s*\S*:/{2}")
    faults = [
        f"{path}:{number} {line.strip()[:100]}"
        for path in _own_files()
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".json", ".csv", ".j2", ".cfg", ""}
        for number, line in enumerate(_text(path).splitlines(), 1)
        if any(place in line for place in paths) or address.search(line)
    ]
    assert not faults


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = [line for line in _text(ROOT / "constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = _text(ROOT / "pyproject.toml")
    sections = [re.search(rf"^{name} = \[\n(.*?)^\]", project, re.M | re.S) for name in ("dependencies", "dev")]
    listed = [name for found in sections if found for name in re.findall(r'^\s+"([A-Za-z0-9_-]+)', found[1], re.M)]
    wanted = {name.lower() for name in listed}
    assert len(wanted) > 25
    assert wanted <= pinned


@cache
def _own_files() -> tuple[Path, ...]:
    """Files that git tracks or would track; without git, all but hidden folders."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        files = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        files = [
            path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]  # fmt: skip
    return tuple(path for path in files if path.is_file())


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _nodes(*kinds: type) -> Iterator[tuple[Path, ast.AST]]:
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, kinds):
                yield path, node


def _argument_count(node: ast.FunctionDef) -> int:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in arguments if argument.arg not in ("self", "cls")])


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]


def _identifier(node: ast.Name | ast.arg | ast.FunctionDef) -> str:
    return node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else node.name
