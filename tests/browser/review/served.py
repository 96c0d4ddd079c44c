"""A review page served by a process of its own, that can be killed and started again, and browsers that open it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tenfold.core.workspace import Workspace
from tenfold.data.findings import Finding, findings_table
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.recipes.reviewing import order_review
from tenfold.review.records import Decision, Judgement, Role, Saved, Verdict
from tenfold.review.run import begin_review
from tenfold.review.store import DATABASE, Store
from tests.browser.review.needs import CHROMIUM
from tests.review_page import add_synthetic_set
from tests.tiny_data import ids_of, make_tiny_workspace

DESK = {"width": 1280, "height": 800}
TABLET = {"width": 1024, "height": 768}
PHONE = {"width": 390, "height": 844}
LONGEST_WAIT_MS = 12_000
N_IMAGES = 14
N_REAL = 2
DERIVED = "img2img"


Words = tuple[Verdict, tuple[str, ...], Mapping[str, Any]]
"""Verdict, reasons and answers."""


@dataclass
class Served:
    """A review with people in it. `tokens`: by name; every reviewer judges every image once.

    Tests that share one invite a person each, and ask for this person's judgements only.
    """

    workspace: Workspace
    tokens: dict[str, str] = field(default_factory=dict)
    port: str = "0"
    _process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}"

    def link(self, name: str) -> str:
        """What this person was given."""
        return f"{self.address}/#token={self.tokens[name]}"

    def start(self) -> None:
        """Serve, on the port of before when there was one; returns once the page answers."""
        command = [sys.executable, "-m", "tenfold", "review", "serve", str(self.workspace.path), "--json"]
        self._process = subprocess.Popen(
            [*command, "--port", self.port], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.port = told["address"].rpartition(":")[2]

    def kill(self) -> None:
        """End the server without a word, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @property
    def is_up(self) -> bool:
        """Whether there is a server, as far as this one knows."""
        return self._process is not None

    def store(self) -> Store:
        """What the server writes to; close it after use."""
        return Store.open(self.workspace.path / DATABASE)

    def invite(self, name: str, role: Role = "reviewer") -> str:
        """The name of a person who has a link from now on."""
        with self.store() as store:
            self.tokens[name] = store.invite(name, role).token
        return name

    def judge(self, name: str, words: Sequence[Words]) -> None:
        """Judge this person's first images, past the page."""
        with self.store() as store:
            reviewer = next(one for one in store.reviewers() if one.name == name)
            slots = [slot.opaque for slot in store.queue(reviewer.id, 0, len(words))]
            store.mark_served([(reviewer.id, opaque) for opaque in slots])
            made = [
                Decision(f"made-{opaque}", opaque, verdict, reasons, answers, seconds=4.0)
                for opaque, (verdict, reasons, answers) in zip(slots, words, strict=True)
            ]
            saved = store.add_decisions([(reviewer.id, decision) for decision in made])
        assert all(isinstance(one, Saved) for one in saved)

    def decisions(self, *names: str) -> list[Judgement]:
        """All of the store or of these people, in their order."""
        with self.store() as store:
            return [one for one in store.decisions() if not names or one.reviewer in names]

    def standing(self, *names: str) -> list[Judgement]:
        """The verdicts that hold, of all or of these people: the latest of each slot that is not taken back."""
        with self.store() as store:
            return [one for one in store.latest() if not names or one.reviewer in names]


@contextmanager
def served_review(
    folder: Path, people: Mapping[str, Role] = MappingProxyType({}), n_images: int = N_IMAGES
) -> Iterator[Served]:
    """A review of `n_images`, a seventh of them real, served until the block ends."""
    n_real = n_images // 7
    workspace = make_tiny_workspace(folder, images_per_split={"train": n_real + 2, "val": 2, "test": 2})
    add_synthetic_set(workspace, n_images - n_real)
    _add_source_and_findings(workspace)
    settings = [f"real_fraction={n_real / n_images}", "overlap_fraction=1", "repeat_fraction=0"]
    served = Served(workspace)
    with begin_review(order_review(workspace.path, [*settings, "consensus=adjudicated"]).config, workspace):
        for name, role in people.items():
            served.invite(name, role)
    served.start()
    try:
        yield served
    finally:
        served.kill()


def _add_source_and_findings(workspace: Workspace) -> None:
    """The first synthetic image was made from a training image, and an audit found it too near to another one."""
    place = workspace.path / "synthetic/main/manifest.parquet"
    manifest = read_manifest(place)
    source, nearest = ids_of(workspace, "train")[:2]
    first = str(manifest.loc[0, "image_id"])
    manifest.loc[0, ["parent_id", "strategy"]] = [source, DERIVED]
    write_manifest(manifest, place)
    findings = workspace.path / "audits/main/findings.parquet"
    findings.parent.mkdir(parents=True)
    findings_table([
        Finding("memorization", first, 0.97, True, (nearest,), "nearer than training images are to each other"),
        Finding("prompt_fit", first, 0.2, False, (), "fits its prompt"),
    ]).to_parquet(findings)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's own browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(context: BrowserContext, address: str, *, with_clock: bool = False) -> Page:
    """A page that has shown its first view; faults of its scripts become the test's own.

    with_clock: its time goes on as ever, and `page.clock` can hurry it.
    """
    context.set_default_timeout(LONGEST_WAIT_MS)
    page = context.new_page()
    if with_clock:
        page.clock.install()
    page.on("pageerror", _fail)
    page.goto(address)
    page.wait_for_selector(".frame")
    return page


def wait_for_image(page: Page, number: int) -> None:
    """Until image `number` (from 1) is on the screen."""
    page.wait_for_selector(f".stage-image[alt^='Image {number} of']")


def wait_until_saved(page: Page) -> None:
    """Until the server has acknowledged every judgement."""
    page.wait_for_selector(".pill-saved", timeout=2 * LONGEST_WAIT_MS)


def _fail(error: object) -> None:
    raise AssertionError(f"a script of the page failed: {error}")
