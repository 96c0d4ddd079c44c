"""The page's own files: every text is there, no address leads outside, nothing needs a looser policy."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

STATIC = Path(str(resources.files("tenfold.review.web") / "static"))
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
TEXTS = json.loads((STATIC / "text.en.json").read_text(encoding="utf-8"))


def test_every_text_that_is_asked_for_is_there() -> None:
    asked = {key for path in SCRIPTS for key in re.findall(r'\bt\("([^"]+)"', path.read_text(encoding="utf-8"))}
    assert len(asked) > 100
    assert not asked - set(TEXTS)


def test_every_text_is_asked_for() -> None:
    """By its name, or by a name that is put together (`saved.${state}`)."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    families = {start for start in re.findall(r"\bt\(`([^`$]*)\$\{", code) if start}
    heads = {f"column.{name}" for name in re.findall(r'head\("([a-z_]+)"', code)}
    idle = [
        key for key in TEXTS
        if key != "language" and f'"{key}"' not in code and key not in heads
        and not any(key.startswith(family) for family in families)
        and not re.search(rf'"{re.escape(key.removesuffix("_detail"))}"', code)
    ]  # fmt: skip
    assert not idle


def test_plurals_have_both_forms_and_the_same_values() -> None:
    for key, text in TEXTS.items():
        if isinstance(text, dict):
            assert set(text) == {"one", "other"}, key
            assert set(re.findall(r"\{(\w+)\}", text["one"])) <= set(re.findall(r"\{(\w+)\}", text["other"])), key


@pytest.mark.parametrize("path", [path for path in sorted(STATIC.rglob("*")) if path.is_file()], ids=lambda p: p.name)
def test_nothing_needs_an_address_outside_or_inline_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", text)


def test_modules_import_what_is_there() -> None:
    for path in SCRIPTS:
        for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', path.read_text(encoding="utf-8")):
            exported = set(
                re.findall(
                    r"^export (?:async )?(?:function|class|const) (\w+)",
                    (STATIC / "js" / source).read_text(encoding="utf-8"),
                    re.M,
                )
            )
            assert {name.strip() for name in names.split(",") if name.strip()} <= exported, f"{path.name}: {source}"
