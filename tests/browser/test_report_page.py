"""The report in a real browser, when one is installed: it shows the verdict, asks for nothing, and fits a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.reports.config import ReportConfig
from tenfold.reports.run import run
from tests.report_workspace import make_report_workspace

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PHONE_WIDTH_PX = 390

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_report_workspace(tmp_path_factory.mktemp("browser") / "study")
    with SerialExecutor() as executor:
        run(ReportConfig(), workspace, executor, NullProgress())
    return workspace.path / "report/report.html"


def browse(page: Path, profile: Path, *flags: str) -> str:
    done = subprocess.run(
        [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_verdict_is_in_the_page_as_the_browser_built_it(page: Path, tmp_path: Path) -> None:
    dom = browse(page, tmp_path / "profile", "--dump-dom")
    assert re.search(r'id="verdict".*No evidence that synthetic images help', dom, re.DOTALL)
    assert dom.count("<section") == 12


def test_the_page_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    browse(page, tmp_path / "profile", "--dump-dom", f"--log-net-log={log}")
    text = log.read_text(encoding="utf-8")
    assert "report.html" in text
    asked = {json.loads(f'"{url}"') for url in re.findall(r'"url":"((?:[^"\\]|\\.)*)"', text)}
    own = {url for url in asked if url.startswith(("http://", "https://", "ws:")) and "google" not in url}
    assert not own


def test_the_page_is_drawn(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "wide.png"
    browse(page, tmp_path / "profile", "--window-size=1280,1400", f"--screenshot={picture}")
    with Image.open(picture) as image:
        colors = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert image.size == (1280, 1400)
    assert colors is not None and len(colors) > 100


def test_the_page_is_no_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    frame = tmp_path / "phone.html"
    probe = tmp_path / "probe.html"
    # The page itself runs no script, so a copy without its policy measures itself.
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    text = policy.sub("", page.read_text(encoding="utf-8"))
    script = "<script>document.title = 'width=' + document.documentElement.scrollWidth</script></body>"
    probe.write_text(text.replace("</body>", script), encoding="utf-8")
    frame.write_text(
        f'<iframe src="{probe.as_uri()}" style="width:{PHONE_WIDTH_PX}px;height:900px;border:0"></iframe>'
        "<script>addEventListener('load', () => { document.title = frames[0].document.title })</script>",
        encoding="utf-8",
    )
    flags = ("--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=4000")
    dom = browse(frame, tmp_path / "profile", *flags)
    width = re.search(r"<title>width=(\d+)</title>", dom)
    assert width is not None
    assert int(width.group(1)) <= PHONE_WIDTH_PX
