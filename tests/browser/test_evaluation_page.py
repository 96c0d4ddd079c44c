"""The evaluation page in a real browser, when one is installed: it asks for nothing, keeps names text, fits a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tenfold.core.progress import NullProgress
from tenfold.recipes.evaluating import evaluation_settings, order_tables, run_evaluation
from tests.browser.test_intake_page import BROWSER, PHONE_WIDTH_PX, browse, without_policy
from tests.prediction_files import make_manifest_table, make_predictions

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")

HOSTILE = "<script>alert('x')</script>" + "very_long_name" * 8


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with a class, a subgroup and a model of hostile names."""
    folder = tmp_path_factory.mktemp("evaluation")
    manifest = make_manifest_table(60)
    names = {"nevus": HOSTILE, "north": HOSTILE}
    files = []
    for number, model in enumerate(("plain", HOSTILE)):
        table = make_predictions(manifest, seed=number).replace(names).assign(model=model)
        files.append(folder / f"{number}.csv")
        table.rename(columns=lambda name: name.replace("nevus", HOSTILE)).to_csv(files[-1], index=False)
    manifest.replace(names).to_csv(folder / "images.csv", index=False)
    config = evaluation_settings(
        ["bootstrap_draws=100", "permutations=100", "margin=0.05"], more_subgroups=["hospital"]
    )
    return run_evaluation(order_tables(config, files, folder / "images.csv", folder / "out"), NullProgress()).page


def test_the_page_is_drawn_and_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    log, picture = tmp_path / "net.json", tmp_path / "wide.png"
    flags = ("--window-size=1200,1400", f"--screenshot={picture}", f"--log-net-log={log}")
    browse(page, tmp_path / "profile", *flags)
    text = log.read_text(encoding="utf-8")
    asked = {json.loads(f'"{url}"') for url in re.findall(r'"url":"((?:[^"\\]|\\.)*)"', text)}
    assert not {url for url in asked if url.startswith(("http://", "https://", "ws:")) and "google" not in url}
    with Image.open(picture) as image:
        colors = {color for _, color in image.convert("RGB").getcolors(maxcolors=1 << 24) or []}
    assert {(0, 114, 178), (213, 94, 0)} <= colors  # both models' marks


def test_hostile_names_stay_text(page: Path, tmp_path: Path) -> None:
    probe = without_policy(page, tmp_path / "probe.html", "")
    dom = browse(probe, tmp_path / "profile", "--dump-dom")
    assert "<script" not in dom
    assert dom.count("&lt;script&gt;alert('x')&lt;/script&gt;") > 20


def test_the_page_is_no_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    frame = tmp_path / "phone.html"
    script = (
        "<script>for (const part of document.querySelectorAll('details')) part.open = true;"
        "document.title = 'width=' + document.documentElement.scrollWidth</script>"
    )
    probe = without_policy(page, tmp_path / "probe.html", script)
    frame.write_text(
        f'<iframe src="{probe.as_uri()}" style="width:{PHONE_WIDTH_PX}px;height:900px;border:0"></iframe>'
        "<script>addEventListener('load', () => { document.title = frames[0].document.title })</script>",
        encoding="utf-8",
    )
    flags = ("--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=4000")
    width = re.search(r"<title>width=(\d+)</title>", browse(frame, tmp_path / "profile", *flags))
    assert width is not None
    assert int(width.group(1)) <= PHONE_WIDTH_PX
