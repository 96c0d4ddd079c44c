"""The shipped recipes: which there are, what each needs from a user, and its variants in words."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tenfold.recipes.yaml_source import parse_mapping

BUILTIN = Path(str(resources.files("tenfold.recipes"))) / "builtin"
"""The folder of their files."""


@dataclass(frozen=True)
class BuiltinRecipe:
    """A shipped recipe: its file's stem, what a user must set, with examples, and its variants in words."""

    name: str
    description: str
    path: Path
    required: dict[str, str]
    variants: dict[str, str]


def builtin_recipes() -> list[BuiltinRecipe]:
    """All shipped recipes, by name."""
    found = []
    for path in sorted(BUILTIN.rglob("*.yaml")):
        data = parse_mapping(path.read_text(encoding="utf-8"), path.name).data
        described = {name: str(changes.get("description", "")) for name, changes in data.get("variants", {}).items()}
        variants = {name: words.removeprefix(f"as {path.stem}, ") for name, words in described.items()}
        required = {dotted: str(example) for dotted, example in data.get("required", {}).items()}
        found.append(BuiltinRecipe(path.stem, str(data.get("description", "")), path, required, variants))
    return found
