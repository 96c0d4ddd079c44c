"""The intake page in a real browser, when one is installed: it answers, asks for nothing, and fits a phone."""

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
from tenfold.reports.config import IntakePageConfig
from tenfold.reports.intake_run import run_intake_page
from tests.intake_facts import confounded, make_intake_workspace, many_classes

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PHONE_WIDTH_PX = 390

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, facts in {"confounded": confounded(), "many": many_classes()}.items():
        workspace = make_intake_workspace(tmp_path_factory.mktemp("browser") / name, facts)
        with SerialExecutor() as executor:
            run_intake_page(IntakePageConfig(), workspace, executor, NullProgress())
        made[name] = workspace.path / "data/report/intake.html"
    return made


def browse(page: Path, profile: Path, *flags: str) -> str:
    done = subprocess.run(
        [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_answer_is_drawn_and_the_page_asks_for_nothing(pages: dict[str, Path], tmp_path: Path) -> None:
    log, picture = tmp_path / "net.json", tmp_path / "wide.png"
    flags = ("--window-size=1280,1400", f"--screenshot={picture}", f"--log-net-log={log}")
    browse(pages["confounded"], tmp_path / "profile", *flags)
    text = log.read_text(encoding="utf-8")
    assert "intake.html" in text
    asked = {json.loads(f'"{url}"') for url in re.findall(r'"url":"((?:[^"\\]|\\.)*)"', text)}
    assert not {url for url in asked if url.startswith(("http://", "https://", "ws:")) and "google" not in url}
    with Image.open(picture) as image:
        assert image.size == (1280, 1400)
        colors = {color for _, color in image.convert("RGB").getcolors(maxcolors=1 << 24) or []}
    assert (164, 22, 26) in colors  # the mark of a set that is not ready


def test_hostile_names_stay_text_in_a_browser(pages: dict[str, Path], tmp_path: Path) -> None:
    # Without its policy the page would run any script that came in with a name.
    probe = without_policy(pages["many"], tmp_path / "probe.html", "")
    dom = browse(probe, tmp_path / "profile", "--dump-dom")
    assert "<script" not in dom
    assert dom.count("&lt;script&gt;alert('x')&lt;/script&gt;") > 100


@pytest.mark.parametrize("name", ["confounded", "many"])
def test_the_page_is_no_wider_than_a_phone(pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    frame = tmp_path / "phone.html"
    script = (
        "<script>for (const part of document.querySelectorAll('details')) part.open = true;"
        "document.title = 'width=' + document.documentElement.scrollWidth</script>"
    )
    probe = without_policy(pages[name], tmp_path / "probe.html", script)
    frame.write_text(
        f'<iframe src="{probe.as_uri()}" style="width:{PHONE_WIDTH_PX}px;height:900px;border:0"></iframe>'
        "<script>addEventListener('load', () => { document.title = frames[0].document.title })</script>",
        encoding="utf-8",
    )
    flags = ("--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=4000")
    width = re.search(r"<title>width=(\d+)</title>", browse(frame, tmp_path / "profile", *flags))
    assert width is not None
    assert int(width.group(1)) <= PHONE_WIDTH_PX


def without_policy(page: Path, copy: Path, script: str) -> Path:
    """A copy of the page that may run the script: the page itself runs none."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    text = policy.sub("", page.read_text(encoding="utf-8"))
    copy.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    return copy
