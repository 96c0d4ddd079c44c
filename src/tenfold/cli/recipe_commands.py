"""`tenfold recipe`: list, show, validate and describe recipes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tenfold.cli import session
from tenfold.cli.options import Debug, Json, Mini, Quiet, Settings, Variants

app = typer.Typer(help="List, show and check recipes.", no_args_is_help=True)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name or a .yaml file.")]


@app.command("list", epilog="Example: tenfold recipe list")
def list_recipes(quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """List the built-in recipes."""
    from tenfold.recipes.shipped import builtin_recipes

    console = session.open_console(quiet, as_json, debug)
    found = builtin_recipes()
    lines, width = [], max(len(recipe.name) for recipe in found)
    for recipe in found:
        lines.append(f"{recipe.name:<{width}} {recipe.description}")
        if recipe.required:
            words = " ".join(f"--set {dotted}={example}" for dotted, example in recipe.required.items())
            lines.append(f"{'':<{width}} needs {words}")
        lines += [f"{'':<{width}} --variant {name}: {told}" for name, told in recipe.variants.items()]
    lines += [
        "",
        "tenfold run NAME --mini           a first look in minutes; proves nothing",
        "tenfold run NAME ... --dry-run    what would be done, counted and timed",
        "tenfold recipe show NAME          all that a recipe says",
    ]
    listed = [
        {"name": one.name, "description": one.description, "needs": one.required, "variants": list(one.variants)}
        for one in found
    ]
    console.result({"recipes": listed}, lines)


@app.command("show", epilog="Example: tenfold recipe show folder")
def show(name: RecipeName, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """Print a recipe's YAML, to read or to save as a start for your own."""
    from tenfold.recipes.loader import recipe_text

    console = session.open_console(quiet, as_json, debug)
    text = recipe_text(name)
    console.result({"name": name, "yaml": text}, [text.rstrip("\n")])


@app.command("validate", epilog="Example: tenfold recipe validate my.yaml --set study.seeds=10")
def validate(
    name: RecipeName,
    settings: Settings = None,
    variants: Variants = None,
    mini: Mini = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a recipe without running it; every fault is named with its file and line."""
    from tenfold.recipes.loader import load_recipe

    console = session.open_console(quiet, as_json, debug)
    recipe = load_recipe(name, settings or (), variants=variants or (), mini=mini, needs_required=False)
    console.result({"name": recipe.name, "valid": True}, [f"{name}: a valid recipe, {recipe.name!r}."])


@app.command("schema", epilog="Example: tenfold recipe schema > tenfold-recipe.schema.json")
def schema(quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    from tenfold.recipes.schema import recipe_schema

    console = session.open_console(quiet, as_json, debug)
    described = recipe_schema()
    console.result({"schema": described}, [json.dumps(described, indent=2)])
