"""The training loop: it learns, repeats itself bit by bit, and chooses by validation alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tenfold.classification.optimizing import Optimization
from tenfold.classification.prediction import predict_logits, prediction_table, softmax
from tenfold.classification.saving import CHECKPOINTS, LAST_GOOD
from tenfold.classification.training import Checkpoint, TrainingImages, TrainingSettings, drawn_shares, fit, mix_of
from tenfold.core.errors import StageError
from tenfold.models.small_net import SmallNet
from tests.unit.classification.blobs import LABELS, draw_blob

SETTINGS = TrainingSettings(
    max_train_steps=30, batch_size=12, evaluate_every_steps=10, extra_share=0.25, transforms="paper", class_count=3,
    seed=5, optimization=Optimization(learning_rate=3e-3, weight_decay=0.01), lr_warmup_steps=3, label_smoothing=0.0,
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
    done = fit(net, blobs, SETTINGS, ticks)
    best, history = done.best, done.history
    assert done.stopped_at_step == 30
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
    short = replace(SETTINGS, max_train_steps=3, extra_share=0.0, transforms="none")
    changed = replace(blobs, images=np.concatenate([blobs.images[:24], 255 - blobs.images[24:]]))
    nets = [fresh_net(), fresh_net()]
    for net, data in zip(nets, (blobs, changed), strict=True):
        fit(net, data, short, Ticks())
    assert torch.equal(nets[0].state_dict()["head.weight"], nets[1].state_dict()["head.weight"])


def test_transforms_change_what_is_learned(blobs: TrainingImages) -> None:
    short = replace(SETTINGS, max_train_steps=3)
    learned = []
    for transforms in ("none", "paper", "strong", "strong"):
        net = fresh_net()
        fit(net, blobs, replace(short, transforms=transforms), Ticks())
        learned.append(net.state_dict()["head.weight"])
    none, paper, strong, again = learned
    assert not torch.equal(none, paper) and not torch.equal(paper, strong) and torch.equal(strong, again)


def test_frozen_parameters_stay(blobs: TrainingImages) -> None:
    net = fresh_net()
    for parameter in net.stages[0].parameters():  # type: ignore[union-attr,index]
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fit(net, blobs, replace(SETTINGS, max_train_steps=3), Ticks())
    after = net.state_dict()
    assert torch.equal(before["stages.0.conv1.weight"], after["stages.0.conv1.weight"])
    assert not torch.equal(before["stages.1.conv1.weight"], after["stages.1.conv1.weight"])


def test_the_better_checkpoint_has_the_higher_auroc_then_the_lower_log_loss() -> None:
    base = Checkpoint(10, 1.0, 1e-3, 0.9, 0.5)
    assert base.is_better_than(None)
    assert replace(base, validation_macro_auroc=0.95, validation_log_loss=2.0).is_better_than(base)
    assert replace(base, validation_log_loss=0.4).is_better_than(base)
    assert not replace(base, step=20).is_better_than(base)


def test_a_loss_that_is_no_number_stops_at_its_step(blobs: TrainingImages, tmp_path: Path) -> None:
    net = fresh_net()
    nn.init.constant_(net.head.weight, torch.nan)  # type: ignore[union-attr,arg-type]
    with pytest.raises(StageError, match="at step 1; there was no look"):
        fit(net, blobs, SETTINGS, Ticks(), folder=tmp_path)
    assert not (tmp_path / LAST_GOOD).exists()


def test_the_last_good_weights_are_kept(blobs: TrainingImages, tmp_path: Path) -> None:
    net = fresh_net()

    def poison(look: Checkpoint) -> None:
        if look.step == 20:
            nn.init.constant_(net.head.bias, torch.nan)  # type: ignore[union-attr,arg-type]

    with pytest.raises(StageError, match="at step 21; the last good weights are those of step"):
        fit(net, blobs, SETTINGS, Ticks(), folder=tmp_path, on_look=poison)
    kept = load_file(tmp_path / LAST_GOOD)
    assert torch.isfinite(kept["head.bias"]).all() and torch.equal(kept["head.bias"], net.state_dict()["head.bias"])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimization": Optimization("adamw", layer_decay=0.7, gradient_clip=1.0), "ema_decay": 0.9},
        {"optimization": Optimization("rmsprop", 1e-3), "transforms": "strong"},
        {"optimization": Optimization("sgd", 1e-2), "two_stage_fraction": 0.5},
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(
    blobs: TrainingImages, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Saved between two looks, stopped after the second one; dropout draws on the way."""
    settings = replace(SETTINGS, max_train_steps=12, evaluate_every_steps=4, checkpointing_steps=3, **changes)

    class Interrupted(Exception):
        pass

    def interrupt(look: Checkpoint) -> None:
        if look.step == 8:
            raise Interrupted

    def dropping_net() -> nn.Module:
        net = fresh_net()
        net.stages.append(nn.Dropout(0.2))  # type: ignore[union-attr,operator]
        return net.to(memory_format=torch.channels_last)

    whole = dropping_net()
    straight = fit(whole, blobs, settings, Ticks(), folder=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(dropping_net(), blobs, settings, Ticks(), folder=tmp_path / "cut", on_look=interrupt)
    assert sorted(path.name for path in (tmp_path / "cut" / CHECKPOINTS).iterdir()) == [
        "step-00000003.safetensors",
        "step-00000006.safetensors",
    ]
    (tmp_path / "cut" / CHECKPOINTS / "step-00000006.safetensors").write_bytes(b"cut short")
    resumed, ticks = dropping_net(), Ticks()
    done = fit(resumed, blobs, settings, ticks, folder=tmp_path / "cut")
    assert done == straight and ticks.count == 12
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_patience_ends_the_training_but_not_in_its_first_stage(blobs: TrainingImages) -> None:
    still = replace(SETTINGS, optimization=Optimization(learning_rate=0.0), evaluate_every_steps=2)
    patient = replace(still, early_stopping_looks=3)
    assert fit(fresh_net(), blobs, still, Ticks()).stopped_at_step == 30
    done = fit(fresh_net(), blobs, patient, Ticks())
    assert (done.best.step, done.stopped_at_step) == (2, 8)
    staged = fit(fresh_net(), blobs, replace(patient, two_stage_fraction=0.5), Ticks())
    assert (staged.best.step, staged.stopped_at_step) == (2, 20)


def test_two_stages_draw_extra_images_first_and_real_ones_last(blobs: TrainingImages) -> None:
    settings = replace(SETTINGS, two_stage_fraction=0.4)
    mix = mix_of(blobs, settings)
    assert [bool(mix.batch(step)[0].all()) for step in (0, 11)] == [True, True]
    assert not any(mix.batch(step)[0].any() for step in range(12, 30))
    shares = drawn_shares(blobs, settings)
    assert shares.sum() == pytest.approx(1) and shares[24:].sum() == pytest.approx(0.4)


def test_classes_can_weigh_in_the_loss(blobs: TrainingImages) -> None:
    """Nearly all weight on one class: the classifier ends with calling everything so."""
    settings = replace(SETTINGS, sampling="uniform", class_weights=(0.01, 0.01, 1.0), transforms="none")
    net = fresh_net()
    fit(net, blobs, settings, Ticks())
    assert (predict_logits(net, blobs.validation_images).argmax(axis=1) == 2).all()


def test_an_average_follows_the_weights_slowly(blobs: TrainingImages) -> None:
    settings = replace(SETTINGS, max_train_steps=6, evaluate_every_steps=6)
    start = fresh_net().state_dict()["stages.1.conv1.weight"]
    moved = []
    for decay in (None, 0.3):
        net = fresh_net()
        fit(net, blobs, replace(settings, ema_decay=decay), Ticks())
        moved.append(float((net.state_dict()["stages.1.conv1.weight"] - start).abs().mean()))
    assert 0 < moved[1] < moved[0]


def test_half_precision_gives_nearly_the_same(blobs: TrainingImages) -> None:
    settings = replace(SETTINGS, max_train_steps=4, evaluate_every_steps=4)
    losses = [
        fit(fresh_net(), blobs, replace(settings, optimization=Optimization(mixed_precision=precision)), Ticks())
        for precision in ("no", "bf16")
    ]
    assert losses[0].best.loss != losses[1].best.loss
    assert losses[0].best.loss == pytest.approx(losses[1].best.loss, rel=0.05)


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
