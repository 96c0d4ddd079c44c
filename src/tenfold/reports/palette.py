"""Colors, markers and line styles of the arms: Okabe-Ito and muted ones of Tol, told apart without color too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tenfold.core.hashing import sha256_json

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
    "real_strong": ArmStyle("#004488", "s", (0, (2, 1))),
    "real_balanced": ArmStyle("#6699CC", "d", (0, (5, 1))),
    "hybrid_two_stage": ArmStyle("#994F00", "^", (0, (5, 1, 1, 1))),
    "hybrid_weighted": ArmStyle("#EE7733", "o", (0, (4, 1))),
    "hybrid_pretrained": ArmStyle("#BB5566", "v", "-"),
    "hybrid_unfiltered": ArmStyle("#AA4466", "<", (0, (1, 1))),
    "hybrid_balanced": ArmStyle("#CC3311", ">", (0, (3, 1))),
    "hybrid_img2img": ArmStyle("#AA3377", "*", "-"),
    "hybrid_inpaint": ArmStyle("#661100", "d", "-"),
    "hybrid_in_then_outpaint": ArmStyle("#882E72", "H", (0, (4, 2))),
}
_OTHERS = (
    ArmStyle("#56B4E9", "X", "-"),
    ArmStyle("#117733", "^", (0, (4, 1))),
    ArmStyle("#DDAA33", "s", (0, (2, 1))),
    ArmStyle("#7A4FA3", "o", (0, (5, 2))),
    ArmStyle("#225555", "D", (0, (1, 1))),
    ArmStyle("#B5651D", "P", (0, (3, 1, 1, 1))),
)


def arm_style(arm: str, among: Iterable[str] = ()) -> ArmStyle:
    """The arm's style; variants share their own arm's, arms of a recipe get one of six by their name.

    among: the arms that stand on the page with it: up to six of a recipe's own are then told apart.
    """
    own = _base(arm)
    if own in _STYLES:
        return _STYLES[own]
    taken: dict[str, int] = {}
    for name in sorted({own, *map(_base, among)} - set(_STYLES)):
        wished = int(sha256_json(name)[:8], 16) % len(_OTHERS)
        places = [(wished + step) % len(_OTHERS) for step in range(len(_OTHERS))]
        taken[name] = next((place for place in places if place not in taken.values()), wished)
    return _OTHERS[taken[own]]


def _base(arm: str) -> str:
    return arm.partition("@")[0]
