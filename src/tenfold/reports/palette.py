"""Colors, markers and line styles of the arms: Okabe-Ito and muted ones of Tol, told apart without color too."""

from __future__ import annotations

from dataclasses import dataclass

INK = "#1f2a33"
FAINT = "#5d6975"
RULE = "#d9dee3"


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn; `marker` and `dash` are matplotlib's."""

    color: str
    marker: str
    dash: str | tuple[int, tuple[int, ...]]


_STYLES = {
    "real_only": ArmStyle("#5d6975", "o", (0, (4, 2))),
    "real_transforms": ArmStyle("#0072B2", "s", "-"),
    "real_autoencoder": ArmStyle("#E69F00", "^", (0, (6, 2, 1, 2))),
    "real_recolor": ArmStyle("#999933", "<", (0, (3, 1, 1, 1))),
    "real_composite": ArmStyle("#332288", ">", (0, (3, 1, 1, 1, 1, 1))),
    "hybrid": ArmStyle("#D55E00", "D", "-"),
    "hybrid_outpaint": ArmStyle("#882255", "p", "-"),
    "hybrid_mix": ArmStyle("#44AA99", "h", "-"),
    "synthetic_only": ArmStyle("#CC79A7", "v", (0, (1, 1))),
    "fresh_real": ArmStyle("#009E73", "P", (0, (6, 2))),
}
_OTHER = ArmStyle("#56B4E9", "X", "-")


def arm_style(arm: str) -> ArmStyle:
    """The arm's style; arms without one of their own share the last."""
    return _STYLES.get(arm, _OTHER)
