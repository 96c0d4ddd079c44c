"""The figure of skin color: the same numbers give the same bytes, however odd they are."""

from __future__ import annotations

import pytest

from tenfold.reports.intake_contents import ItaRow
from tenfold.reports.intake_figures import skin_tone_plot

ROWS = (ItaRow("1", 3, 55.0, 50.0, 60.0), ItaRow("not given", 2, -80.0, -85.0, -70.0))
VALUES = {"1": (50.0, 55.0, 60.0), "not given": (-85.0, -70.0)}


def test_the_same_numbers_give_the_same_bytes_without_a_date_or_a_font() -> None:
    svg = skin_tone_plot(ROWS, VALUES)
    assert svg == skin_tone_plot(ROWS, VALUES)
    assert svg.startswith("<svg") and "<dc:date>" not in svg and "<text" not in svg


def test_many_images_make_no_larger_a_figure() -> None:
    many = {"1": tuple(40 + n / 5000 for n in range(50_000)), "not given": (-85.0, -70.0)}
    assert len(skin_tone_plot(ROWS, many)) < 2 * len(skin_tone_plot(ROWS, VALUES)) + 20_000


@pytest.mark.parametrize("name", ["$\\frac{", "<script>", "皮膚", ""])
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    svg = skin_tone_plot([ItaRow(name, 1, 1.0, 1.0, 1.0)], {name: (1.0, float("nan"))})
    assert svg.startswith("<svg") and "<script" not in svg
