"""The pages' templates: one environment that escapes everything and knows the words and numbers of `wording`."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from tenfold.reports import wording

_WORDS = (
    wording.arm_name,
    wording.metric_name,
    wording.metric_explanation,
    wording.attribute_name,
    wording.attribute_value,
    wording.figure,
    wording.figure_interval,
    wording.difference,
    wording.difference_interval,
    wording.size_of_difference,
    wording.p_value,
    wording.count,
    wording.counted,
    wording.listed,
    wording.is_in_points,
    wording.is_lower_better,
    wording.plain_words,
    wording.capital,
    wording.ended,
)


def page_environment() -> Environment:
    """A new environment over `templates/`; unknown names are errors, and every value is escaped."""
    environment = Environment(
        loader=PackageLoader("tenfold.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in _WORDS}
    return environment
