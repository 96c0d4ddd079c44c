"""The training loop: it learns, repeats itself bit by bit, and chooses by validation alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tenfold.classification.prediction import predict_logits, prediction_table, softmax
from tenfold.classification.training import Checkpoint, TrainingImages, TrainingSettings, fit, learning_rate_at
from tenfold.core.errors import StageError
from tenfold.models.small_net import SmallNet
from tests.unit.classification.blobs import LABELS, draw_blob

SETTINGS = TrainingSettings(
    max_train_steps=30, batch_size=12, learning_rate=3e-3, lr_warmup_steps=3, weight_decay=0.01,
    label_smoothing=0.0, evaluate_every_steps=10, extra_share=0.25, transforms=True, seed=5,
)  # fmt: skip


class Ticks:
    count = 0

    def advance(self, steps: int = 1) -> None:
        self.count += steps


@pytest.fixture(scope="module")
def blobs() -> TrainingImages:
    def drawn(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        pictures = [draw_blob(label, first + n) for label in LABELS for n in range(count)]
        return np.stack(pictures), np.repeat(np.arange(len(LABELS)), count)

    (real, real_labels), (extra, extra_labels) = drawn(0, 8), drawn(100, 8)
    images, labels = np.concatenate([real, extra]), np.concatenate([real_labels, extra_labels])
    return TrainingImages(images, labels, len(real), *drawn(200, 8))


def fresh_net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SmallNet(3, (8, 16, 24))


def test_it_learns_blobs_and_ends_with_the_best_checkpoint(blobs: TrainingImages) -> None:
    net, ticks = fresh_net(), Ticks()
    best, history = fit(net, blobs, SETTINGS, ticks)
    assert ticks.count == 30 and [checkpoint.step for checkpoint in history] == [10, 20, 30]
    assert best.validation_macro_auroc > 0.9 and best in history and not net.training
    assert best.validation_macro_auroc == max(checkpoint.validation_macro_auroc for checkpoint in history)
    logits = predict_logits(net, blobs.validation_images)
    truth = blobs.validation_labels
    nll = -np.log(softmax(logits)[np.arange(len(truth)), truth]).mean()
    assert nll == pytest.approx(best.validation_log_loss)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(blobs: TrainingImages) -> None:
    short = replace(SETTINGS, max_train_steps=4, evaluate_every_steps=4)
    nets = [fresh_net() for _ in range(3)]
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        fit(net, blobs, replace(short, seed=seed), Ticks())
    first, same, other = (net.state_dict()["stages.0.conv1.weight"] for net in nets)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_real_slots_see_the_same_images_whatever_the_extra_ones(blobs: TrainingImages) -> None:
    """Without transforms and share 0 the extra images do not matter at all."""
    short = replace(SETTINGS, max_train_steps=3, extra_share=0.0, transforms=False)
    changed = replace(blobs, images=np.concatenate([blobs.images[:24], 255 - blobs.images[24:]]))
    nets = [fresh_net(), fresh_net()]
    for net, data in zip(nets, (blobs, changed), strict=True):
        fit(net, data, short, Ticks())
    assert torch.equal(nets[0].state_dict()["head.weight"], nets[1].state_dict()["head.weight"])


def test_transforms_change_what_is_learned(blobs: TrainingImages) -> None:
    short = replace(SETTINGS, max_train_steps=3)
    nets = [fresh_net(), fresh_net()]
    for net, is_on in zip(nets, (True, False), strict=True):
        fit(net, blobs, replace(short, transforms=is_on), Ticks())
    assert not torch.equal(nets[0].state_dict()["head.weight"], nets[1].state_dict()["head.weight"])


def test_frozen_parameters_stay(blobs: TrainingImages) -> None:
    net = fresh_net()
    for parameter in net.stages[0].parameters():  # type: ignore[union-attr,index]
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fit(net, blobs, replace(SETTINGS, max_train_steps=3), Ticks())
    after = net.state_dict()
    assert torch.equal(before["stages.0.conv1.weight"], after["stages.0.conv1.weight"])
    assert not torch.equal(before["stages.1.conv1.weight"], after["stages.1.conv1.weight"])


def test_learning_rate_warms_up_and_falls_to_nearly_nothing() -> None:
    rates = [learning_rate_at(step, SETTINGS) for step in range(30)]
    assert rates[:4] == pytest.approx([0.00075, 0.0015, 0.00225, 0.003])
    assert all(a >= b for a, b in pairwise(rates[3:])) and rates[-1] < 1e-4
    assert learning_rate_at(0, replace(SETTINGS, max_train_steps=1)) == SETTINGS.learning_rate


def test_the_better_checkpoint_has_the_higher_auroc_then_the_lower_log_loss() -> None:
    base = Checkpoint(10, 1.0, 1e-3, 0.9, 0.5)
    assert base.is_better_than(None)
    assert replace(base, validation_macro_auroc=0.95, validation_log_loss=2.0).is_better_than(base)
    assert replace(base, validation_log_loss=0.4).is_better_than(base)
    assert not replace(base, step=20).is_better_than(base)


def test_a_loss_that_is_no_number_stops_the_stage(blobs: TrainingImages) -> None:
    net = fresh_net()
    nn.init.constant_(net.head.weight, torch.nan)  # type: ignore[union-attr,arg-type]
    with pytest.raises(StageError, match="no number by step 10"):
        fit(net, blobs, SETTINGS, Ticks())


def test_predictions_do_not_depend_on_the_batch(blobs: TrainingImages, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.classification import prediction

    net = fresh_net()
    nn.init.normal_(net.head.weight)  # type: ignore[union-attr,arg-type]
    whole = predict_logits(net, blobs.images)
    monkeypatch.setattr(prediction, "BATCH_SIZE", 5)
    np.testing.assert_allclose(predict_logits(net, blobs.images), whole, atol=1e-5)


def test_prediction_table_holds_the_contracts_columns() -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["1", "2"],
            "patient_id": ["p", None],
            "group_id": ["g", "h"],
            "label": ["a", "b"],
            "split": "test",
        }
    )
    table = prediction_table(
        rows, np.array([[0.0, 0.0], [2.0, 0.0]]), ("a", "b"), {"arm": "hybrid", "training_size": 8}
    )
    assert list(table.columns[:5]) == ["image_id", "patient_id", "group_id", "label", "split"]
    assert table["prob.a"].tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))])
    assert table["logit.a"].tolist() == [0.0, 2.0] and (table["arm"] == "hybrid").all()
    assert table["prob.a"].add(table["prob.b"]).tolist() == pytest.approx([1.0, 1.0])
