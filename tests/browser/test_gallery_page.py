"""The gallery in a real browser, when one is installed: a focused picture tells its prompt; a phone can show it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.reports.config import GalleryConfig
from tenfold.reports.contact_sheet_run import run_gallery
from tests.browser.test_intake_page import BROWSER, PHONE_WIDTH_PX, browse, without_policy
from tests.stages.test_gallery import make_set
from tests.tiny_data import make_tiny_workspace

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("gallery") / "workspace")
    make_set(workspace)
    with SerialExecutor() as executor:
        return run_gallery(GalleryConfig(name="painted"), workspace, executor, NullProgress()).folder / "gallery.html"


def test_a_focused_picture_tells_its_prompt_and_others_do_not(page: Path, tmp_path: Path) -> None:
    script = (
        "<script>const items = [...document.querySelectorAll('.sheet li')];"
        "const shown = () => items.filter(i => getComputedStyle(i.querySelector('.tells')).display === 'block').length;"
        "const before = shown(); items[1].focus();"
        "document.title = `${items.length} ${before} ${shown()} ${document.images.length}`"
        " + ' ' + [...document.images].filter(i => i.complete && i.naturalWidth > 0).length</script>"
    )
    dom = browse(without_policy(page, tmp_path / "probe.html", script), tmp_path / "profile", "--dump-dom")
    title = re.search(r"<title>([\d ]+)</title>", dom)
    assert title is not None
    assert title.group(1) == "6 0 1 7 7"


def test_the_page_is_no_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    script = "<script>document.title = 'width=' + document.documentElement.scrollWidth</script>"
    probe = without_policy(page, tmp_path / "probe.html", script)
    frame = tmp_path / "phone.html"
    frame.write_text(
        f'<iframe src="{probe.as_uri()}" style="width:{PHONE_WIDTH_PX}px;height:900px;border:0"></iframe>'
        "<script>addEventListener('load', () => { document.title = frames[0].document.title })</script>",
        encoding="utf-8",
    )
    flags = ("--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=4000")
    width = re.search(r"<title>width=(\d+)</title>", browse(frame, tmp_path / "profile", *flags))
    assert width is not None
    assert int(width.group(1)) <= PHONE_WIDTH_PX
