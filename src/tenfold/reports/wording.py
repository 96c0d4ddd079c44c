"""Words and numbers as the page prints them: metrics, classes and figures with intervals; arms come of `arm_words`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenfold.evaluation.contents import Estimate, VerdictWord
from tenfold.reports.arm_words import arm_name as arm_name
from tenfold.reports.arm_words import arm_order as arm_order
from tenfold.reports.arm_words import plain_words as plain_words

MINUS = "\u2212"
NO_FIGURE = "\u2013"

_METRIC_NAMES = {
    "macro_auroc": "macro AUROC",
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_average_precision": "average precision",
    "brier_score": "Brier score",
    "log_loss": "log loss",
    "expected_calibration_error": "calibration error",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "f1": "F1",
    "macro_specificity": "mean specificity",
    "macro_ppv": "mean positive predictive value",
    "macro_npv": "mean negative predictive value",
    "sensitivity_at_specificity": "sensitivity at 90 % specificity",
    "macro_sensitivity_at_specificity": "mean sensitivity at 90 % specificity",
    "top2": "top-2 accuracy",
    "top3": "top-3 accuracy",
}
_METRIC_EXPLANATIONS = {
    "macro_auroc": "how often the classifier scores an image of a class above an image of another class, averaged "
    "over classes; 0.5 is chance, 1 is perfect",
    "accuracy": "the share of test images that are named correctly",
    "balanced_accuracy": "the share of each class that is named correctly, averaged over classes",
    "macro_f1": "the balance of precision and sensitivity, averaged over classes",
    "macro_average_precision": "precision over all thresholds, averaged over classes",
    "brier_score": "mean squared error of the probabilities; lower is better",
    "log_loss": "surprise at the true class; lower is better",
    "expected_calibration_error": "gap between stated probability and hit rate; lower is better",
    "top2": "the share of test images whose class is among the two most probable",
    "top3": "the share of test images whose class is among the three most probable",
}
_PERCENT_METRICS = (
    "accuracy", "balanced_accuracy", "macro_f1", "sensitivity", "specificity", "ppv", "npv", "f1", "macro_specificity",
    "macro_ppv", "macro_npv", "sensitivity_at_specificity", "macro_sensitivity_at_specificity", "top2", "top3",
)  # fmt: skip
_UNBOUNDED_METRICS = ("brier_score", "log_loss", "expected_calibration_error")
_ATTRIBUTES = {
    "skin_type": "Fitzpatrick skin type",
    "skin_type_group": "Fitzpatrick skin type group",
    "sex": "Sex",
    "site": "Body site",
    "severity": "Severity",
    "age_band": "Age",
    "source": "Source",
}
_ROMAN = ("I", "II", "III", "IV", "V", "VI")
_VERDICT_TITLES: dict[VerdictWord, str] = {
    "helps": "Synthetic images help",
    "no_evidence": "No evidence that synthetic images help",
    "harms": "Synthetic images harm",
    "not_testable": "Not testable with this run",
}


def sentence(text: str) -> str:
    """A note as a sentence: a capital first and a period last.

    >>> sentence("two seeds only")
    'Two seeds only.'
    """
    return ended(capital(text.strip()))


def ended(text: str) -> str:
    """The text with a period last; its first word, which may be somebody's label, stays as it is.

    >>> ended("df has 4 images"), ended("")
    ('df has 4 images.', '')
    """
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."


def metric_name(metric: str) -> str:
    """The metric in words, with the class behind a colon where it has one."""
    base, _, label = metric.partition(".")
    name = _METRIC_NAMES.get(base, base.replace("_", " "))
    return f"{name}: {class_name(label)}" if label else name


def metric_explanation(metric: str) -> str:
    """What the metric says, or nothing when it is not a known one."""
    return _METRIC_EXPLANATIONS.get(metric, "")


def class_name(label: str) -> str:
    """A class label for readers: `lichen_planus` becomes `lichen planus`."""
    return label.replace("_", " ")


def class_names(labels: Iterable[str], nouns: Mapping[str, str]) -> dict[str, str]:
    """A name for each label: the author's noun, else the label itself; the labels when two would be called the same.

    >>> class_names(["df", "lichen_planus"], {"df": "dermatofibroma"})
    {'df': 'dermatofibroma', 'lichen_planus': 'lichen planus'}
    """
    plain = {label: class_name(label) for label in labels}
    named = {label: nouns.get(label) or name for label, name in plain.items()}
    return named if len(set(named.values())) == len(named) else plain


def attribute_name(attribute: str) -> str:
    """A subgroup column in words."""
    return _ATTRIBUTES.get(attribute, attribute.removeprefix("attr.").replace("_", " ").capitalize())


def attribute_value(attribute: str, value: str) -> str:
    """A subgroup value in words: skin types in Roman numerals, an unknown one as `not recorded`."""
    if value.lower() in ("", "none", "nan", "<na>", "null"):
        return "not recorded"
    if attribute == "skin_type" and value.removesuffix(".0").isdigit():
        number = int(value.removesuffix(".0"))
        return _ROMAN[number - 1] if 1 <= number <= len(_ROMAN) else value
    return value.replace("_", " ")


def capital(text: str) -> str:
    """The text with its first letter large.

    >>> capital("macro AUROC")
    'Macro AUROC'
    """
    return text[:1].upper() + text[1:]


def verdict_title(word: VerdictWord) -> str:
    """The headline of a verdict."""
    return _VERDICT_TITLES[word]


def is_in_percent(metric: str) -> bool:
    """Whether the metric is a share of images, printed in percent."""
    return metric.partition(".")[0] in _PERCENT_METRICS


def is_lower_better(metric: str) -> bool:
    """Whether a smaller figure is the better one."""
    return metric.partition(".")[0] in _UNBOUNDED_METRICS


def is_in_points(metric: str) -> bool:
    """Whether differences of the metric are printed in points, that is hundredths of its range from 0 to 1."""
    return metric.partition(".")[0] not in _UNBOUNDED_METRICS


def figure(value: float | None, metric: str) -> str:
    """A metric's value: a share in percent, any other with three decimals.

    >>> figure(0.7312, "accuracy"), figure(0.7312, "macro_auroc")
    ('73.1 %', '0.731')
    """
    if value is None:
        return NO_FIGURE
    return f"{_fixed(value * 100, 1)} %" if is_in_percent(metric) else _fixed(value, 3)


def figure_interval(estimate: Estimate, metric: str) -> str:
    """The 95 % interval of a value without its unit, or that there is none."""
    return _interval(estimate, metric, signed=False)


def difference(value: float | None, metric: str) -> str:
    """A signed difference with its unit.

    >>> difference(0.0123, "macro_auroc"), difference(0.0123, "brier_score")
    ('+1.2 points', '+0.012')
    """
    if value is None:
        return NO_FIGURE
    return f"{_fixed(value * 100, 1, sign=True)} points" if is_in_points(metric) else _fixed(value, 3, sign=True)


def difference_interval(estimate: Estimate, metric: str) -> str:
    """The 95 % interval of a difference without its unit, or that there is none."""
    return _interval(estimate, metric, signed=True)


def size_of_difference(value: float | None, metric: str) -> str:
    """An unsigned difference with its unit, for the smallest that a study could see.

    >>> size_of_difference(0.031, "accuracy"), size_of_difference(1.7, "accuracy")
    ('3.1 points', 'over 100 points')
    """
    if value is None:
        return NO_FIGURE
    if is_in_points(metric) and value > 1:
        return "over 100 points"
    return f"{_fixed(value * 100, 1)} points" if is_in_points(metric) else _fixed(value, 3)


def p_value(value: float | None) -> str:
    """A p value with two or three decimals.

    >>> p_value(0.0004), p_value(0.034), p_value(0.41)
    ('< 0.001', '0.034', '0.41')
    """
    if value is None:
        return NO_FIGURE
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def count(value: float | None) -> str:
    """A count with thin spaces; a mean over seeds keeps one decimal."""
    if value is None:
        return NO_FIGURE
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return text.replace(",", "\u202f")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    plural = f"{noun}es" if noun.endswith(("s", "x", "ch")) else f"{noun}s"
    return f"{count(number)} {noun if number == 1 else plural}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Words in a sentence; "none" without any.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else "none"


def _interval(estimate: Estimate, metric: str, *, signed: bool) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval"
    in_hundredths = is_in_points(metric) if signed else is_in_percent(metric)
    scale, decimals = (100, 1) if in_hundredths else (1, 3)
    low, high = (_fixed(bound * scale, decimals, sign=signed) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}"


def _fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    text = f"{abs(value):.{decimals}f}"
    is_zero = float(text) == 0
    if value < 0 and not is_zero:
        return MINUS + text
    return f"+{text}" if sign and not is_zero else text
