"""What the review page's browser tests need, and the words by which a skip tells that it was not there."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no chromium on PATH"
NO_DRIVER = "no package to lead a browser with: pip install -e '.[dev]'"
"""tests/conftest.py counts skips of both kinds: where TENFOLD_NEEDS_BROWSER=1 they count as failed."""

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
