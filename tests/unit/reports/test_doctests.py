"""The examples in the docstrings of the reports room are true."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["wording", "intervals", "pictures", "render", "intake_contents", "intake_render"])
def test_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tenfold.reports.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
