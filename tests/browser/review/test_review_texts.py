"""The page can be translated: every word that it shows or says comes from its file of texts, or is data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import Browser, BrowserContext, Page

from tenfold.review import web
from tests.browser.review.served import (
    DERIVED,
    DESK,
    Served,
    open_page,
    wait_until_saved,
)

pytestmark = needs_browser

TEXTS = Path(str(web.__file__)).with_name("static") / "text.en.json"
WORDS = """() => {
    const told = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const owner = walker.currentNode.parentElement;
        if (!owner.closest("noscript, kbd")) told.push(walker.currentNode.data);
    }
    for (const one of document.querySelectorAll("*")) {
        for (const name of ["aria-label", "title", "placeholder", "alt", "aria-valuetext"]) {
            if (one.hasAttribute(name)) told.push(one.getAttribute(name));
        }
    }
    return told;
}"""
DATA = {
    "Tenfold",
    "local reviewer",
    "I-II",
    "III-IV",
    "V-VI",
    "mole",
    "rash",
    "main",
    "text2img",
    DERIVED,
    "memorization",
    "prompt fit",
}


def _marked(text: Any) -> Any:
    """Each text in brackets, its {values} left in."""
    return {key: f"⟦{form}⟧" for key, form in text.items()} if isinstance(text, dict) else f"⟦{text}⟧"


@pytest.fixture(scope="module")
def people(shared: Served, browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """Two reviewers who have judged, and a lead; all of them see marked texts."""
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    marked = {key: text if key == "language" else _marked(text) for key, text in texts.items()}
    contexts = {}
    for name, role in (("Rao", "reviewer"), ("Okafor", "reviewer"), ("Lind", "adjudicator"), ("Lead", "lead")):
        shared.invite(name, role)  # type: ignore[arg-type]
        contexts[name] = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
        contexts[name].route("**/api/text?*", lambda route: route.fulfill(json=marked))
    for name, keys in (("Rao", "aaaa"), ("Okafor", "r2ra")):
        page = open_page(contexts[name], shared.link(name))
        for key in keys:
            page.locator(".stage-image").wait_for()
            page.keyboard.press(key)
            page.wait_for_timeout(150)
        wait_until_saved(page)
        page.close()
    yield contexts
    for context in contexts.values():
        context.close()


def _foreign(page: Page, served: Served) -> set[str]:
    """What is neither marked nor data: names, classes, the rubric's words, ids, numbers."""
    asked = page.evaluate("fetch('/api/rubric').then((answer) => answer.text())")
    known = DATA | set(served.tokens) | set(_strings(json.loads(asked))) | _prompts(served)
    words = {re.sub(r"⟦[^⟦⟧]*(⟦[^⟧]*⟧[^⟦⟧]*)*⟧", "", text).strip(" ·,.\n") for text in page.evaluate(WORDS)}
    parts = {part for text in words for part in re.split(r" · |, ", text)}
    return {
        part for part in parts
        if re.search(r"[A-Za-z]{2}", part) and part not in known and not re.fullmatch(r"[0-9a-f]{16}", part)
        and not re.fullmatch(r"[A-Z][a-z]{2} \d+|\d{4}|\d+:\d+ [AP]M|\d{4} \d+:\d+.[AP]M", part.replace("\u202f", " "))
    }  # fmt: skip


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (value, *re.split(r" · |, ", value))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)


def _prompts(served: Served) -> set[str]:
    with served.store() as store:
        items = store.items()
    return {str(value) for one in items for value in (one.prompt, one.image_id, one.skin_type_group, one.severity)}


def test_every_word_of_a_reviewer_is_in_the_texts(people: dict[str, BrowserContext], review: Served) -> None:
    page = open_page(people["Rao"], review.address)
    page.locator(".stage-image").wait_for()
    for keys in (["2"], ["?"], ["Escape", "p"], ["p", "i"], ["i", "a", "u"], ["g"], ["Shift+ArrowRight", "3"]):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        assert not _foreign(page, review), keys
    page.context.set_offline(True)
    page.keyboard.press("a")
    page.get_by_role("alert").wait_for()
    page.locator(".pill").click()
    page.context.set_offline(False)
    assert not _foreign(page, review)
    assert sum("⟦" in text for text in page.evaluate(WORDS)) > 30, "the texts were marked"


def test_every_word_of_an_adjudicator_and_a_lead_is_in_the_texts(
    people: dict[str, BrowserContext], review: Served
) -> None:
    page = open_page(people["Lind"], review.link("Lind"))
    page.locator(".opinion").first.wait_for()
    assert not _foreign(page, review)
    page = open_page(people["Lead"], review.link("Lead"))
    page.locator(".card").first.wait_for()
    assert not _foreign(page, review)
    page.goto(f"{review.address}/#/items")
    page.locator(".tile", has_text=DERIVED).wait_for()
    assert not _foreign(page, review)
    page.locator(".tile", has_text=DERIVED).click()
    page.locator(".strip img").first.wait_for()
    found = _foreign(page, review)
    assert not {text for text in found if "training images" not in text and "fits its prompt" not in text}
