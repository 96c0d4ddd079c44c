"""Tenfold: do synthetic images make a classifier of few medical images better, and for whom?

::

    import tenfold

    summary = tenfold.run("demo", workspace="tenfold-demo", settings={"study.seeds": 5})
    print(summary.verdict.sentence, summary.report_path)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenfold.core.errors import TenfoldError
    from tenfold.recipes.loader import load_recipe
    from tenfold.recipes.runner import RunSummary, run

__version__ = "0.1.0"
__all__ = ["RunSummary", "TenfoldError", "__version__", "load_recipe", "run"]

_HOMES = {
    "RunSummary": "tenfold.recipes.runner",
    "TenfoldError": "tenfold.core.errors",
    "load_recipe": "tenfold.recipes.loader",
    "run": "tenfold.recipes.runner",
}


def __getattr__(name: str) -> Any:
    """Public names are imported at first use, so that ``import tenfold`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tenfold' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
