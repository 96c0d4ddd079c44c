"""Processes that a launcher started together (`accelerate launch`, `torchrun`): which one this is."""

from __future__ import annotations

import os


def process_count() -> int:
    """How many were started together; 1 without a launcher."""
    return _number("WORLD_SIZE", 1)


def is_first_process() -> bool:
    """Whether this is the one that writes files and tells how far it is; True without a launcher."""
    return _number("RANK", 0) == 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default
