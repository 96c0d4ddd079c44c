"""Optimizers of a classifier: each learns, layers learn at their own pace as in timm, rates follow their schedule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from tenfold.classification.optimizing import Optimization, OptimizerName, Schedule, Stepper, learning_rate_at
from tenfold.models.classifiers import build_classifier


def test_the_learning_rate_warms_up_and_falls_to_nearly_nothing() -> None:
    rates = [learning_rate_at(step, 30, 3, 3e-3, "cosine") for step in range(30)]
    assert rates[:4] == pytest.approx([0.00075, 0.0015, 0.00225, 0.003])
    assert all(a >= b for a, b in pairwise(rates[3:])) and rates[-1] < 1e-4
    assert learning_rate_at(0, 1, 3, 3e-3, "cosine") == 3e-3


@pytest.mark.parametrize("schedule, half", [("linear", 0.5), ("constant", 1.0), ("cosine", 0.5)])
def test_schedules(schedule: Schedule, half: float) -> None:
    assert learning_rate_at(60, 110, 10, 1.0, schedule) == pytest.approx(half)


@pytest.mark.parametrize("name", ["adamw", "adam", "rmsprop", "sgd"])
def test_every_optimizer_goes_downhill_and_is_clipped(name: OptimizerName) -> None:
    def losses(settings: Optimization) -> list[float]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
            batch, labels = torch.rand(8, 3, 2, 2), torch.arange(8) % 2
        stepper = Stepper(model, settings)
        return [float(stepper.step(batch, labels, nn.CrossEntropyLoss(), 0.01)) for _ in range(15)]

    free = losses(Optimization(name, weight_decay=0.0))
    assert free[-1] < free[0] - 0.02
    clipped = losses(replace(Optimization(name, weight_decay=0.0), gradient_clip=1e-6))
    assert clipped[0] == free[0] and (name != "sgd" or clipped[-1] > free[-1])


def test_layers_learn_at_the_pace_that_timm_gives_them() -> None:
    from timm.optim import param_groups_layer_decay

    model = build_classifier("vit_tiny_patch16_224", 3, pretrained=False)
    stepper = Stepper(model, Optimization(layer_decay=0.75))
    mine = {id(p): group["scale"] for group in stepper.optimizer.param_groups for p in group["params"]}
    theirs = {
        id(p): group["lr_scale"]
        for group in param_groups_layer_decay(model.backbone, layer_decay=0.75)  # type: ignore[arg-type]
        for p in group["params"]
    }
    assert mine.keys() == theirs.keys() and len(set(mine.values())) == 14
    assert all(mine[key] == pytest.approx(theirs[key]) for key in mine)


def test_the_small_net_has_layers_too() -> None:
    stepper = Stepper(build_classifier("embedded:small", 3, pretrained=False), Optimization(layer_decay=0.5))
    assert [group["scale"] for group in stepper.optimizer.param_groups] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]
