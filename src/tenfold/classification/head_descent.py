"""The descent of many heads at once: L-BFGS (Nocedal 1980) on batched softmax losses, each head at its own pace."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tenfold.core.errors import StageError

MOST_ITERATIONS = 5000
TOLERANCE = 1e-5
"""Bound on a head's distance from its minimum, relative to the head's own length."""

_MEMORY = 10
_SUFFICIENT = 1e-4
_ROUNDING = 1e-14
_NOTHING = 1e-300
_THINNED = 0.8
"""Heads at rest are taken out when they leave less than this share of the work."""


@dataclass(frozen=True)
class HeadLosses:
    """The losses of G bases x H heads. Parameters are (G, H, C, r + 1), the intercepts last.

    rows: (G, n, r + 1) with a column of ones; weights: (G, 1, 1, n); targets: (G, H, C, n); penalty: (G, H, 1, r + 1).
    """

    rows: torch.Tensor
    weights: torch.Tensor
    targets: torch.Tensor
    penalty: torch.Tensor

    def part(self, groups: torch.Tensor, heads: torch.Tensor) -> HeadLosses:
        """Of these groups and heads."""
        targets, penalty = (of_all[groups][:, heads] for of_all in (self.targets, self.penalty))
        return HeadLosses(self.rows[groups], self.weights[groups], targets, penalty)

    def losses(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Losses without the penalty (G, H), objectives (G, H) and gradients like the parameters."""
        flat = parameters.flatten(1, 2)
        log_probs = torch.log_softmax(torch.bmm(flat, self.rows.transpose(1, 2)).view(self.targets.shape), dim=2)
        loss = -_dot(self.weights * self.targets, log_probs)
        residual = log_probs.exp_().sub_(self.targets).mul_(self.weights)
        gradient = torch.bmm(residual.flatten(1, 2), self.rows).view(parameters.shape)
        penalized = self.penalty * parameters
        return loss, loss + 0.5 * _dot(penalized, parameters), gradient.add_(penalized)


def minimize(objective: HeadLosses, spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Parameters, losses without the penalty and iterations (G, H) at the minima.

    spread: (G, 1, 1, r + 1) weighted sums of squares of each column of the rows.

    Raises:
        StageError: a head has not come to rest after `MOST_ITERATIONS`.
    """
    groups, heads, classes = objective.targets.shape[:3]
    state = _State(objective, spread, spread.new_zeros(groups, heads, classes, spread.shape[3]))
    parameters, losses = state.parameters.clone(), state.loss.clone()
    iterations = torch.zeros_like(losses)
    live = torch.arange(groups, device=spread.device), torch.arange(heads, device=spread.device)
    for _ in range(MOST_ITERATIONS):
        is_active = ~state.at_rest()
        of_groups, of_heads = is_active.any(dim=1), is_active.any(dim=0)
        working = int(of_groups.sum()) * int(of_heads.sum())
        if working <= _THINNED * is_active.numel():
            places = live[0][:, None], live[1]
            parameters[places], losses[places] = state.parameters, state.loss
            if not working:
                return parameters, losses, iterations
            kept = of_groups.nonzero()[:, 0], of_heads.nonzero()[:, 0]
            live, is_active = (live[0][kept[0]], live[1][kept[1]]), is_active[kept[0]][:, kept[1]]
            state = state.part(*kept)
        iterations[live[0][:, None], live[1]] += is_active
        state.advance(is_active)
    raise StageError(
        f"{int(is_active.sum())} heads have not come to rest after {MOST_ITERATIONS} iterations",
        expected="features of like scale and a penalty that is not next to nothing",
        todo="standardize the features, or raise l2",
    )


class _State:
    """Where G x H heads are on their way down: L-BFGS, each head with a step length of its own."""

    def __init__(self, objective: HeadLosses, spread: torch.Tensor, parameters: torch.Tensor) -> None:
        self.objective = objective
        self.spread = spread
        self.first_scale = 1 / (0.5 * spread + objective.penalty)
        self.parameters = parameters
        self.loss, self.value, self.gradient = objective.losses(parameters)
        self.step, self.scale = torch.ones_like(self.loss), torch.ones_like(self.loss)
        self.history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def part(self, groups: torch.Tensor, heads: torch.Tensor) -> _State:
        """These groups and heads only."""
        cut = _State.__new__(_State)
        cut.objective, cut.spread = self.objective.part(groups, heads), self.spread[groups]
        for name in ("first_scale", "parameters", "gradient", "loss", "value", "step", "scale"):
            setattr(cut, name, getattr(self, name)[groups][:, heads])
        cut.history = [
            (change[groups][:, heads], turn[groups][:, heads], inverse[groups][:, heads])
            for change, turn, inverse in self.history
        ]
        return cut

    def at_rest(self) -> torch.Tensor:
        """(G, H): the distance from the minimum, at most gradient / l2, is small beside the head's own length."""
        coefficients = self.gradient[..., :-1].square().sum(dim=(2, 3)).sqrt()
        intercepts = self.gradient[..., -1].square().sum(dim=2).sqrt()
        bound = TOLERANCE * (_dot(self.parameters, self.parameters).sqrt() + TOLERANCE)
        is_near = intercepts <= TOLERANCE * 1e-2 * self.spread[:, :, 0, -1]
        return (coefficients <= self.objective.penalty[:, :, 0, 0] * bound) & is_near

    def advance(self, is_active: torch.Tensor) -> None:
        """One trial step of each active head (G, H); one that leads not down enough stays and tries a shorter one."""
        direction = self._direction()
        slope = _dot(direction, self.gradient)
        step = torch.where(is_active, self.step, 0.0)
        moved = torch.addcmul(self.parameters, direction, _wide(step))
        loss, value, gradient = self.objective.losses(moved)
        excess = value - self.value - step * slope
        is_taken = excess <= (_SUFFICIENT - 1) * step * slope + _ROUNDING * self.value.abs()
        shorter = -slope * step.square() / (2 * excess)  # the lowest point of the parabola through what is known
        self.step = torch.where(is_taken, 1.0, torch.clamp(shorter, 0.1 * step, 0.5 * step))
        taken = _wide(is_taken)
        # Heads that stay, or are at rest, remember a pair of zeros.
        change = torch.where(taken, moved - self.parameters, 0.0)
        turn = torch.where(taken, gradient - self.gradient, 0.0)
        curvature = _dot(change, turn)
        is_known = curvature > _NOTHING
        inverse = torch.where(is_known, 1 / curvature.clamp(min=_NOTHING), 0.0)
        self.history = [*self.history, (change, turn, inverse)][-_MEMORY:]
        scale = curvature / _dot(turn, self.first_scale * turn).clamp(min=_NOTHING)
        self.scale = torch.where(is_known, scale, self.scale)
        self.parameters = torch.where(taken, moved, self.parameters)
        self.gradient = torch.where(taken, gradient, self.gradient)
        self.loss, self.value = torch.where(is_taken, loss, self.loss), torch.where(is_taken, value, self.value)

    def _direction(self) -> torch.Tensor:
        """The two-loop product, from the scaled diagonal of Boehning's bound."""
        result = -self.gradient
        shares = []
        for change, turn, inverse in reversed(self.history):
            shares.append(inverse * _dot(change, result))
            result.addcmul_(turn, _wide(shares[-1]), value=-1)
        result *= self.first_scale
        result *= _wide(self.scale)
        for (change, turn, inverse), share in zip(self.history, reversed(shares), strict=True):
            result.addcmul_(change, _wide(share - inverse * _dot(turn, result)))
        return result


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(G, H, C, r) twice -> (G, H)."""
    return (left * right).sum(dim=(2, 3))


def _wide(values: torch.Tensor) -> torch.Tensor:
    """(G, H) -> (G, H, 1, 1)."""
    return values[:, :, None, None]
