"""Heads solved together are scikit-learn's, whatever their rows, classes, weights and penalties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tenfold.classification.heads import Head, HeadProblem, solve_heads
from tenfold.classification.prediction import softmax
from tenfold.core.errors import DataError, InputError


def clouds(class_count: int, count: int, width: int, seed: int = 0) -> tuple[Any, Any]:
    """Overlapping clouds of points: features (N, D) float32 and class numbers (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % class_count
    centers = rng.normal(size=(class_count, width)) * 0.4
    return (centers[labels] + rng.normal(size=(count, width))).astype(np.float32), labels


def scikit(features: Any, problem: HeadProblem, l2: float) -> LogisticRegression:
    model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=20000)
    rows = features[problem.rows].astype(np.float64)
    return model.fit(rows, problem.labels, sample_weight=problem.weights)


def check_equal(head: Head, model: LogisticRegression, features: Any) -> None:
    ours = head.coefficients[1:] - head.coefficients[:1] if len(head.coefficients) == 2 else head.coefficients
    np.testing.assert_allclose(ours, model.coef_, atol=1e-3)
    np.testing.assert_allclose(softmax(head.logits(features)), model.predict_proba(features), atol=1e-3)
    assert head.intercepts.mean() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("class_count", "count", "width"), [(2, 40, 12), (3, 30, 60), (4, 120, 20)])
def test_each_head_is_that_of_scikit_learn(class_count: int, count: int, width: int) -> None:
    features, labels = clouds(class_count, 2 * count, width)
    rng = np.random.default_rng(1)
    problems, penalties = [], []
    for number in range(4):
        rows = rng.permutation(2 * count)[: count - 3 * number]
        weights = rng.uniform(0.1, 3.0, len(rows)) if number % 2 else None
        for l2 in (0.05, 1.0, 30.0):
            problems.append(HeadProblem(rows, labels[rows], class_count, weights))
            penalties.append(l2)
    for problem, l2, head in zip(problems, penalties, solve_heads(features, problems, penalties), strict=True):
        check_equal(head, scikit(features, problem, l2), features)


def test_heads_of_unlike_sizes_and_classes_come_back_in_order() -> None:
    features, labels = clouds(4, 200, 10)
    rows = [
        np.flatnonzero(labels < classes)[:count] for classes, count in ((4, 160), (2, 9), (3, 40), (2, 90), (4, 12))
    ]
    problems = [HeadProblem(own, labels[own], int(labels[own].max()) + 1) for own in rows]
    for problem, head in zip(problems, solve_heads(features, problems, 0.5), strict=True):
        assert head.coefficients.shape == (problem.class_count, 10)
        check_equal(head, scikit(features, problem, 0.5), features)


def test_one_versus_rest_heads_share_their_rows() -> None:
    features, labels = clouds(3, 90, 8)
    rows = np.arange(90)
    problems = [HeadProblem(rows, (labels == one).astype(np.int64), 2) for one in range(3)]
    for problem, head in zip(problems, solve_heads(features, problems, 1.0), strict=True):
        check_equal(head, scikit(features, problem, 1.0), features)


def test_images_twice_and_constant_features_leave_a_minimum() -> None:
    features, labels = clouds(3, 30, 50)
    features[:, 7] = 2.5
    rows = np.repeat(np.arange(30), 3)
    problem = HeadProblem(rows, labels[rows], 3)
    check_equal(solve_heads(features, [problem], 0.3)[0], scikit(features, problem, 0.3), features)


def test_smoothed_labels_end_where_torchs_gradient_is_zero() -> None:
    features, labels = clouds(3, 60, 6)
    problem = HeadProblem(np.arange(60), labels, 3, np.full(60, 1 / 60), label_smoothing=0.2)
    head = solve_heads(features, [problem], 0.01)[0]
    weight, bias = (torch.tensor(part, requires_grad=True) for part in (head.coefficients, head.intercepts))
    logits = torch.from_numpy(features).double() @ weight.T + bias
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=0.2)
    assert head.loss == pytest.approx(loss.item())
    (loss + 0.005 * weight.square().sum()).backward()
    assert weight.grad is not None and bias.grad is not None
    assert max(float(weight.grad.abs().max()), float(bias.grad.abs().max())) < 1e-5


def test_the_same_problem_gives_the_same_bits_again() -> None:
    features, labels = clouds(3, 60, 12)
    problems = [HeadProblem(np.arange(60), labels, 3)] * 3
    first, second = (solve_heads(features, problems, (0.1, 1.0, 10.0)) for _ in range(2))
    assert all(np.array_equal(a.coefficients, b.coefficients) for a, b in zip(first, second, strict=True))


def test_what_has_no_minimum_is_refused() -> None:
    features, labels = clouds(3, 30, 5)
    rows = np.arange(30)
    with pytest.raises(DataError, match="2 of 3 classes have training rows"):
        solve_heads(features, [HeadProblem(rows[labels < 2], labels[labels < 2], 3)], 1.0)
    with pytest.raises(DataError, match="2 of 3 classes"):
        solve_heads(features, [HeadProblem(rows, labels, 3, (labels > 0).astype(float))], 1.0)
    with pytest.raises(InputError, match="each above 0"):
        solve_heads(features, [HeadProblem(rows, labels, 3)], 0.0)
    with pytest.raises(DataError, match="do not belong together"):
        solve_heads(features, [HeadProblem(rows[:5], labels, 3)], 1.0)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="no numbers"):
        solve_heads(features, [HeadProblem(rows, labels, 3)], 1.0)
    assert solve_heads(features[:2], [], 1.0) == []
