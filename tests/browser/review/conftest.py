"""One browser and one served review for each file of the review page's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from tests.browser.review.served import Served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's own, without a window. Closed after each file: Playwright's event loop would be in others' way."""
    from tests.browser.review.served import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A review that the tests of a file share: each invites a person of its own."""
    from tests.browser.review.served import served_review

    with served_review(tmp_path_factory.mktemp("review") / "few") as served:
        yield served


@pytest.fixture
def review(shared: Served) -> Served:
    """The shared review, served: a test before this one may have killed its server."""
    if not shared.is_up:
        shared.start()
    return shared


@pytest.fixture
def name(request: pytest.FixtureRequest, review: Served) -> str:
    """A reviewer whom no other test knows."""
    return review.invite(f"Dr {request.node.name}"[:60])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A new profile on a desk's screen."""
    from tests.browser.review.served import DESK

    with browser.new_context(viewport=DESK) as opened:  # type: ignore[arg-type]
        yield opened
