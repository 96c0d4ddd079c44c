"""Where a recipe's run goes when no folder is named."""

from __future__ import annotations

from pathlib import Path


def default_workspace(recipe: str, *, mini: bool) -> Path:
    """``tenfold-<recipe>`` in the current folder; the mini variant has a folder of its own.

    >>> default_workspace("studies/mine.yaml", mini=True).as_posix()
    'tenfold-mine-mini'
    """
    return Path(f"tenfold-{Path(recipe).stem}{'-mini' if mini else ''}")
