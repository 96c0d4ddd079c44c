"""The verdict in one word on the one primary comparison: helps, no_evidence, harms or not_testable.

The rule, on 95 % intervals of arm minus control by the primary metric at the primary training size:

- `not_testable` when the comparison is not fair or not there: a control was not run, fewer than three seeds in common
  (with two, the interval covers about 90 % only), arms whose classifiers differ in more than their images, a generator
  whose archive the classifier's features were not pretrained on, a class told by its origin, or an undefined interval;
- `helps` when the interval lies above 0 against *each* control: no correction is needed, as all must be beaten;
- `harms` when it lies below 0 against *any* control: with k controls up to k x 2.5 % of useless arms are so called;
- `no_evidence` otherwise, with what could have been seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.evaluation.contents import Comparison, Verdict, VerdictWord

MINIMUM_SEEDS = 3


def decide(
    metric: str, arm: str, training_size: int, controls: Sequence[str], *,
    comparisons: Sequence[Comparison], obstacles: Sequence[str],
) -> Verdict:  # fmt: skip
    """Apply the rule. `comparisons` are the primary ones; `obstacles` say in sentences what makes it not testable."""
    found = {row.control: row for row in comparisons if row.is_primary}
    reasons = [*obstacles, *_gaps(arm, controls, found)]
    harmful = tuple(control for control in controls if control in found and _is_below_zero(found[control]))
    unproven = tuple(control for control in controls if control in found and _holds_zero(found[control]))
    word: VerdictWord
    if reasons:
        word, sentence = "not_testable", "Not testable: " + " ".join(reasons)
    elif harmful:
        word, sentence = "harms", f"{arm} is worse than {_listed(harmful)}: {_figures(found, harmful)}."
    elif not unproven:
        word, sentence = "helps", f"{arm} is better than every control: {_figures(found, controls)}."
    else:
        word, sentence = "no_evidence", _no_evidence(arm, found, unproven)
    return Verdict(word, sentence, metric, arm, training_size, tuple(controls), harmful, unproven)


def _gaps(arm: str, controls: Sequence[str], found: dict[str, Comparison]) -> list[str]:
    reasons = []
    for control in controls:
        if control not in found:
            reasons.append(f"{arm} and the control {control} were not both run with the same seeds at this size.")
        elif found[control].difference.n_seeds < MINIMUM_SEEDS:
            seeds = found[control].difference.n_seeds
            reasons.append(f"Only {seeds} seeds were run against {control}; at least {MINIMUM_SEEDS} are needed.")
        elif found[control].difference.low is None or found[control].difference.high is None:
            reasons.append(f"The interval against {control} is {found[control].difference.method}.")
    return reasons


def _is_below_zero(row: Comparison) -> bool:
    return row.difference.high is not None and row.difference.high < 0


def _holds_zero(row: Comparison) -> bool:
    low, high = row.difference.low, row.difference.high
    return low is not None and high is not None and low <= 0 <= high


def _no_evidence(arm: str, found: dict[str, Comparison], unproven: Sequence[str]) -> str:
    visible = [row.minimum_detectable_difference for row in found.values() if row.minimum_detectable_difference]
    limit = f" A difference of {100 * max(visible):.1f} points could have been seen with 80 % power." if visible else ""
    return f"No evidence that {arm} is better than {_listed(unproven)}: {_figures(found, unproven)}.{limit}"


def _figures(found: dict[str, Comparison], controls: Sequence[str]) -> str:
    parts = []
    for control in controls:
        difference = found[control].difference
        value, low, high = (100 * (number or 0.0) for number in (difference.value, difference.low, difference.high))
        parts.append(f"{value:+.1f} points (95 % CI {low:+.1f} to {high:+.1f}) against {control}")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
