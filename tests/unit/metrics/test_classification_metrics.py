"""Weighted metrics against scikit-learn, with repeated images and ties, and against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from tenfold.metrics import calibration, classification, ranking, thresholds
from tenfold.metrics.arrays import one_weighting
from tenfold.metrics.catalog import METRICS, catalog, per_class_metrics


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    probs = rng.dirichlet(np.ones(3), 90)
    probs[np.arange(90), labels] += 0.4
    probs = np.round(probs / probs.sum(axis=1, keepdims=True), 2)  # ties
    weights = rng.multinomial(90, np.full(90, 1 / 90), size=4).astype(float)
    return labels, probs, weights


def test_auroc_equals_sklearn_for_every_weighting(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, weights = scored
    found = ranking.auroc_per_class(labels, probs, weights)
    for d, row in enumerate(weights):
        for c in range(3):
            assert found[d, c] == pytest.approx(reference.roc_auc_score(labels == c, probs[:, c], sample_weight=row))


def test_auroc_weighting_equals_repeating_images(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, weights = scored
    repeated = np.repeat(np.arange(len(labels)), weights[0].astype(int))
    plain = METRICS["macro_auroc"].compute(labels[repeated], probs[repeated], one_weighting(len(repeated)))
    assert METRICS["macro_auroc"].compute(labels, probs, weights)[0] == pytest.approx(plain[0])


def test_average_precision_equals_sklearn(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, weights = scored
    found = ranking.average_precision_per_class(labels, probs, weights)
    for d, row in enumerate(weights):
        kept = row > 0
        expected = reference.average_precision_score(labels[kept] == 1, probs[kept, 1], sample_weight=row[kept])
        assert found[d, 1] == pytest.approx(expected)


def test_chunked_draws_equal_one_chunk(scored: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probs, weights = scored
    grid, positive = np.linspace(0, 1, 11), labels == 1

    def figures() -> np.ndarray:
        names = ("macro_auroc", "macro_average_precision", "macro_sensitivity_at_specificity")
        curves = [
            curve(positive, probs[:, 1], weights, grid).T for curve in (ranking.roc_curves, ranking.precision_curves)
        ]
        return np.concatenate([[METRICS[name].compute(labels, probs, weights) for name in names], *curves])

    whole = figures()
    for module in (ranking, thresholds):
        monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 1)
    np.testing.assert_allclose(whole, figures(), rtol=1e-12)


def test_auroc_is_undefined_without_a_side() -> None:
    scores = np.array([0.1, 0.7, 0.3])
    assert np.isnan(ranking.auroc(np.zeros(3, dtype=bool), scores, one_weighting(3)))[0]
    without_positive = np.array([[1.0, 1.0, 0.0]])
    assert np.isnan(ranking.auroc(np.array([False, False, True]), scores, without_positive))[0]


def test_macro_auroc_of_two_classes_is_the_binary_one() -> None:
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9])
    probs = np.stack([1 - positive, positive], axis=1)
    assert METRICS["macro_auroc"].compute(labels, probs, one_weighting(4))[0] == 0.75


def test_macro_auroc_leaves_out_absent_classes() -> None:
    labels = np.array([0, 0, 1, 1])
    probs = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    assert METRICS["macro_auroc"].compute(labels, probs, one_weighting(4))[0] == 1.0


def test_decision_metrics_equal_sklearn(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, weights = scored
    predicted, row = probs.argmax(axis=1), weights[1]
    kwargs = {"sample_weight": row}
    assert classification.accuracy(labels, probs, weights)[1] == pytest.approx(
        reference.accuracy_score(labels, predicted, **kwargs)
    )
    assert METRICS["balanced_accuracy"].compute(labels, probs, weights)[1] == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted, **kwargs)
    )
    assert METRICS["macro_f1"].compute(labels, probs, weights)[1] == pytest.approx(
        reference.f1_score(labels, predicted, average="macro", **kwargs)
    )
    sensitivity = reference.recall_score(labels, predicted, average=None, **kwargs)
    np.testing.assert_allclose(classification.sensitivity_per_class(labels, probs, weights)[1], sensitivity)
    ppv = reference.precision_score(labels, predicted, average=None, **kwargs)
    np.testing.assert_allclose(classification.ppv_per_class(labels, probs, weights)[1], ppv)
    specificity = reference.recall_score(labels != 0, predicted != 0, **kwargs)
    assert classification.specificity_per_class(labels, probs, weights)[1, 0] == pytest.approx(specificity)
    npv = reference.precision_score(labels != 0, predicted != 0, **kwargs)
    assert classification.npv_per_class(labels, probs, weights)[1, 0] == pytest.approx(npv)


def test_confusion_matrix_has_true_classes_by_row() -> None:
    matrix = classification.confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_calibration_metrics_by_hand_and_against_sklearn(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs = np.array([0, 1]), np.array([[0.9, 0.1], [0.75, 0.25]])
    one = one_weighting(2)
    assert calibration.brier_score(labels, probs, one)[0] == pytest.approx((0.02 + 1.125) / 2)
    assert calibration.log_loss(labels, probs, one)[0] == pytest.approx(-np.log([0.9, 0.25]).mean())
    # 0.9 right in its bin (gap 0.1), 0.75 wrong in its bin (gap 0.75), half of the images each
    assert calibration.expected_calibration_error(labels, probs, one)[0] == pytest.approx(0.425)
    labels, probs, weights = scored
    probs = probs / probs.sum(axis=1, keepdims=True)
    expected = reference.log_loss(labels, np.clip(probs, 1e-12, 1), sample_weight=weights[2])
    assert calibration.log_loss(labels, probs, weights)[2] == pytest.approx(expected)


def test_roc_on_grid_follows_sklearns_curve(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, _ = scored
    fpr, tpr, _ = reference.roc_curve(labels == 2, probs[:, 2], drop_intermediate=False)
    grid = np.linspace(0, 1, 201)
    found = ranking.roc_on_grid(labels == 2, probs[:, 2], grid)
    off_steps = ~np.isclose(grid[:, None], fpr[None], atol=1e-9).any(axis=1)
    np.testing.assert_allclose(found[off_steps], np.interp(grid, fpr, tpr)[off_steps], atol=1e-9)
    assert found[-1] == 1.0 and (np.diff(found) >= -1e-12).all()
    assert np.isnan(ranking.roc_on_grid(labels == 5, probs[:, 2], grid)).all()


def test_catalog_names_every_metric_by_its_key() -> None:
    labels, probs = np.array([0, 1, 1]), np.array([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    assert all(name == metric.name for name, metric in METRICS.items())
    assert METRICS["accuracy"].point(labels, probs) == pytest.approx(2 / 3)
    assert per_class_metrics(1, "df")["sensitivity.df"].point(labels, probs) == pytest.approx(0.5)


def test_top_k_equals_sklearn(scored: tuple[np.ndarray, ...]) -> None:
    labels, _, weights = scored
    probs = np.random.default_rng(5).dirichlet(np.ones(3), len(labels))
    for k in (1, 2):
        expected = reference.top_k_accuracy_score(labels, probs, k=k, sample_weight=weights[0])
        assert classification.TopK(k)(labels, probs, weights)[0] == pytest.approx(expected)
    # of equals the first classes count, as in the decision
    even = np.full((3, 3), 1 / 3)
    assert classification.TopK(2)(np.arange(3), even, one_weighting(3))[0] == pytest.approx(2 / 3)


def test_catalog_holds_every_figure_of_a_class_and_top_k_only_where_it_says_something() -> None:
    labels = np.arange(80) % 4
    probs = np.random.default_rng(0).dirichlet(np.ones(4), 80)
    found = catalog(("a", "b", "c", "d"))
    assert {"top2", "top3", "f1.d", "average_precision.a", "brier_score.b", "macro_npv"} <= set(found)
    assert set(METRICS) <= set(found) and all(name == metric.name for name, metric in found.items())
    assert not {"top2", "top3"} & set(catalog(("a", "b"))) and "top3" not in catalog(("a", "b", "c"))
    for name, metric in found.items():
        value = metric.point(labels, probs)
        assert np.isfinite(value) and (not metric.is_share or 0 <= value <= 1), name
    specificity = np.mean([found[f"specificity.{label}"].point(labels, probs) for label in "abcd"])
    assert found["macro_specificity"].point(labels, probs) == pytest.approx(specificity)


def test_precision_curves_follow_sklearns(scored: tuple[np.ndarray, ...]) -> None:
    labels, probs, weights = scored
    grid = np.linspace(0, 1, 21)
    found = ranking.precision_curves(labels == 1, probs[:, 1], weights, grid)
    for row, weight in zip(found, weights, strict=True):
        precision, recall, _ = reference.precision_recall_curve(labels == 1, probs[:, 1], sample_weight=weight)
        # from the highest threshold down, without the point (0, 1) that scikit-learn appends
        precision, recall = precision[-2::-1], recall[-2::-1]
        expected = [precision[np.flatnonzero(recall >= max(at, 1e-9) - 1e-9)[0]] for at in grid]
        np.testing.assert_allclose(row, expected)
    assert np.isnan(ranking.precision_curves(labels == 5, probs[:, 1], weights, grid)).all()
