"""Where a recipe's run goes when no folder is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def default_workspace(recipe: str, *, mini: bool, variants: Sequence[str] = ()) -> Path:
    """``tenfold-<recipe>`` in the current folder; every variant has a folder of its own.

    >>> default_workspace("studies/mine.yaml", mini=True, variants=["code"]).as_posix()
    'tenfold-mine-code-mini'
    """
    return Path("-".join(["tenfold", Path(recipe).stem, *variants, *(["mini"] if mini else [])]))
