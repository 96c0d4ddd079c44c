"""A head on a frozen backbone: solved on standardized features, chosen on validation, written into the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tenfold.classification.frozen import PENALTIES, HeadImages, HeadLook, fit_head
from tenfold.classification.prediction import predict_logits, softmax
from tenfold.core.errors import DataError
from tenfold.core.progress import NullProgress
from tenfold.models.feature_cache import features_of
from tenfold.models.small_net import SmallNet
from tests.unit.classification.blobs import LABELS, draw_blob


@pytest.fixture
def net() -> SmallNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SmallNet(3, (8, 16, 24))


@pytest.fixture(scope="module")
def data() -> HeadImages:
    images, labels = (np.array(values) for values in zip(*_blobs(14), strict=True))
    held_out = np.arange(len(labels)) >= 24
    return HeadImages(
        images[~held_out], labels[~held_out], np.full(24, 1 / 24), images[held_out], labels[held_out]
    )  # fmt: skip


def _blobs(per_class: int) -> list[tuple[Any, int]]:
    return [(draw_blob(label, number), place) for number in range(per_class) for place, label in enumerate(LABELS)]


def solved(net: SmallNet, data: HeadImages, folder: Path | None = None, **changes: Any) -> tuple[Any, list[HeadLook]]:
    settings = {"views": 0, "label_smoothing": 0.0, "seed": 5} | changes
    with NullProgress().task("", len(PENALTIES)) as task:
        return fit_head(net, data, **settings, cache_folder=folder, progress=task)


def test_it_is_scikit_learns_pipeline_with_the_best_penalty(net: SmallNet, data: HeadImages) -> None:
    best, looks = solved(net, data)
    assert [look.l2 for look in looks] == list(PENALTIES)
    assert best.rank == max(look.rank for look in looks)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (24 * best.l2), tol=1e-10, max_iter=20000))
    model.fit(features_of(net, data.images).astype(np.float64), data.labels)
    expected = model.predict_proba(features_of(net, data.validation_images).astype(np.float64))
    ours = softmax(predict_logits(net, data.validation_images))
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    assert -np.log(ours[np.arange(len(ours)), data.validation_labels]).mean() == pytest.approx(
        best.validation_log_loss, abs=1e-4
    )
    assert (ours.argmax(axis=1) == data.validation_labels).mean() > 0.6


def test_an_image_of_twice_the_share_counts_as_two(net: SmallNet, data: HeadImages) -> None:
    shares = np.ones(24)
    shares[:5], shares[5:7] = 2.0, 0.0
    solved(net, replace(data, shares=shares / shares.sum()), label_smoothing=0.1)
    weighed = predict_logits(net, data.validation_images)
    order = np.concatenate([np.arange(24)[shares > 0], np.arange(5)])
    twice = replace(data, images=data.images[order], labels=data.labels[order], shares=np.full(27, 1 / 27))
    solved(net, twice, label_smoothing=0.1)
    np.testing.assert_allclose(predict_logits(net, data.validation_images), weighed, atol=1e-3)


def test_features_from_the_cache_give_the_same_bits(net: SmallNet, data: HeadImages, tmp_path: Path) -> None:
    results = []
    for folder in (None, tmp_path, tmp_path):
        solved(net, data, folder, views=3)
        results.append(predict_logits(net, data.validation_images))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    solved(net, data, tmp_path, views=3, seed=6)
    assert not np.array_equal(results[0], predict_logits(net, data.validation_images))


def test_only_the_last_layer_is_written(net: SmallNet, data: HeadImages) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    solved(net, data)
    changed = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == ["head.weight", "head.bias"]
    assert not net.training


def test_a_class_without_images_is_refused(net: SmallNet, data: HeadImages) -> None:
    shares = np.where(data.labels == 2, 0.0, 1.0)
    with pytest.raises(DataError, match="2 of 3 classes"):
        solved(net, replace(data, shares=shares / shares.sum()))
