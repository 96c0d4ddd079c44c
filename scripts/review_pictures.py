"""Draws the pictures of the review page in docs/images: a made-up review of phantom images, seen in a browser.

Needs Chromium and Playwright: PYTHONPATH=src python scripts/review_pictures.py [--every FOLDER]
--every: besides, each view at the sizes of a desk, a tablet and a phone, light and dark, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from phantom_review import PEOPLE, make_review
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tenfold.review.store import DATABASE, Store

DOCS = Path("docs/images")
LARGEST_BYTES = 150_000
COLORS = ("#00664a", "#a03a00", "#1d4e6b", "#704c00", "#1f2a33", "#55616c", "#0072b2")
SIZES = {"desk": (1280, 800), "tablet": (1024, 768), "phone": (390, 844)}


@dataclass
class Served:
    """A page that answers, and the tokens of its people."""

    address: str
    tokens: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shot:
    """A picture: who opens which address, what to wait for, and what to do before it is taken."""

    name: str
    who: str
    address: str
    sign: str
    before: Callable[[Page], None] | None = None


def main() -> None:
    """Draws the pictures, all views too when asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=Path, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="a folder for the workspace, to be used again")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(asked.keep or Path(scratch) / "review") as review,
        sync_playwright() as playwright,
    ):
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for shot in SHOTS[:5]:
            save_small(take(browser, review, shot, "desk", "light"), DOCS / f"review-{shot.name}.png")
        for size, theme in [(size, theme) for size in SIZES for theme in ("light", "dark")] if asked.every else ():
            for shot in SHOTS:
                path = asked.every / f"{shot.name}-{size}-{theme}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(take(browser, review, shot, size, theme))
        browser.close()


def take(browser: Browser, review: Served, shot: Shot, size: str, theme: str) -> bytes:
    """The picture as PNG."""
    width, height = SIZES[size]
    with browser.new_context(
        viewport={"width": width, "height": height}, has_touch=size != "desk",
        color_scheme="dark" if theme == "dark" else "light", device_scale_factor=1,
    ) as context:  # fmt: skip
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.goto(f"{review.address}/#token={review.tokens[shot.who]}")
        page.wait_for_selector(".frame")
        page.goto(f"{review.address}/{shot.address}")
        page.locator(shot.sign).first.wait_for()
        page.wait_for_load_state("networkidle")
        if shot.before is not None:
            shot.before(page)
        page.wait_for_timeout(250)
        return page.screenshot()


def save_small(png: bytes, path: Path) -> None:
    """With as many colors as fit the size that the docs allow; the page's own colors are always among them."""
    image = Image.open(BytesIO(png)).convert("RGB")
    with_colors = Image.new("RGB", (image.width, image.height + 40 * len(COLORS)))
    with_colors.paste(image)
    for number, color in enumerate(COLORS):
        with_colors.paste(color, (0, image.height + 40 * number, image.width, image.height + 40 * (number + 1)))
    for count in (256, 192, 128, 96, 64, 48, 40, 32, 24):
        palette = with_colors.quantize(count)
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes: more than {LARGEST_BYTES}")


def _press(*keys: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(400)

    return act


def _choose_in_grid(page: Page) -> None:
    page.keyboard.press("n")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("2")
    page.wait_for_timeout(400)


def _compare_flagged(page: Page) -> None:
    flagged = page.evaluate(
        """async () => {
            const ask = (path) => fetch(`/api/${path}`).then((answer) => answer.json());
            for (const { item } of (await ask("grid?strategy=img2img&count=50")).items) {
                const { parent, flags } = await ask(`compare/${item}`);
                if (parent && flags.some((flag) => flag.is_flagged)) return item;
            }
        }"""
    )
    page.evaluate(f"location.hash = '#/compare/{flagged}'")
    page.locator(".strip button").first.wait_for()
    page.keyboard.press("2")
    page.wait_for_timeout(600)


def _lose_link(page: Page) -> None:
    page.context.set_offline(True)
    for key in ("a", "a", "r"):
        page.keyboard.press(key)
        page.wait_for_timeout(250)
    page.get_by_role("alert").wait_for()


def _fill_disk(page: Page) -> None:
    body = {"error": "NotSaved", "what": "not saved: the disk is full", "where": "", "expected": "", "todo": ""}
    page.route("**/api/decisions", lambda route: route.fulfill(status=503, json=body))
    page.keyboard.press("a")
    page.get_by_role("alert").wait_for()


def _unsent(page: Page) -> None:
    _fill_disk(page)
    page.get_by_role("button", name="not saved").click()


def _break_image(page: Page) -> None:
    gone = {"error": "ImageFault", "what": "The image file is gone.", "where": "", "expected": "", "todo": ""}
    page.route("**/api/image/*", lambda route: route.fulfill(status=410, json=gone))
    page.reload()
    page.locator(".fault").wait_for()


def _rest(page: Page) -> None:
    """Fifteen images without a break; what is judged here never reaches the store."""
    progress = page.evaluate("fetch('/api/progress').then((answer) => answer.json())")

    def swallow(route: Route) -> None:
        sent = (route.request.post_data_json or {})["decisions"]
        results = [{"client_id": one["client_id"], "status": "saved", "was": None, "error": None} for one in sent]
        route.fulfill(json={"results": results, "progress": progress})

    page.route("**/api/decisions", swallow)
    page.clock.install()
    page.reload()
    for _ in range(20):
        page.locator(".stage-image").wait_for()
        page.clock.fast_forward(130_000)
        page.keyboard.press("a")
        page.wait_for_timeout(60)
    page.locator(".rest").wait_for()


def _end_session(page: Page) -> None:
    page.route("**/api/me", lambda route: route.fulfill(status=401, json={"what": "the link was revoked"}))
    page.reload()
    page.locator(".alone-card").wait_for()


def _scroll(down_px: int) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.evaluate(f"document.querySelector('main').scrollTop = {down_px}")

    return act


SHOTS = (
    Shot("judge", "Dr Rao", "#/judge/80", ".stage-image", _press("2")),
    Shot("grid", "Dr Rao", "#/grid", ".tile img", _choose_in_grid),
    Shot("compare", "Lead", "#/items", ".tile img", _compare_flagged),
    Shot("dashboard", "Lead", "#/dashboard", ".card"),
    Shot("adjudicate", "Prof Lind", "#/adjudicate/2", ".opinion"),
    Shot("judged", "Dr Rao", "#/judge/3", ".stage-image", _press("+", "+", "]")),
    Shot("items", "Lead", "#/items", ".tile img"),
    Shot("dashboard-2", "Lead", "#/dashboard", ".card", _scroll(760)),
    Shot("dashboard-3", "Lead", "#/dashboard", ".card", _scroll(1700)),
    Shot("dashboard-4", "Lead", "#/dashboard", ".card", _scroll(2600)),
    Shot("help", "Dr Rao", "#/judge/80", ".stage-image", _press("?")),
    Shot("drawer", "Dr Rao", "#/judge/80", ".stage-image", _press("i")),
    Shot("offline", "Dr Rao", "#/judge/80", ".stage-image", _lose_link),
    Shot("disk", "Dr Rao", "#/judge/80", ".stage-image", _fill_disk),
    Shot("unsent", "Dr Rao", "#/judge/80", ".stage-image", _unsent),
    Shot("fault", "Dr Rao", "#/judge/85", ".stage-image", _break_image),
    Shot("rest", "Dr Rao", "#/judge/80", ".stage-image", _rest),
    Shot("pause", "Dr Rao", "#/judge/80", ".stage-image", _press("p")),
    Shot("finished", "Dr Okafor", "#/judge", ".finished"),
    Shot("signed-out", "Dr Rao", "#/judge/80", ".stage-image", _end_session),
)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """The made-up review, served until the block ends."""
    rubric = folder.parent / f"{folder.name}-rubric.yaml"
    if not folder.exists():
        make_review(folder, rubric)
    command = [sys.executable, "-m", "tenfold", "review", "serve", str(folder), "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = Served(json.loads(process.stdout.readline())["address"])
        with Store.open(folder / DATABASE) as store:
            made.tokens = {name: store.invite(name, role).token for name, role in PEOPLE.items()}
        try:
            yield made
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
