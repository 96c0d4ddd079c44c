"""The base of every stage's configuration: frozen, unknown keys refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StageConfig(BaseModel):
    """Read only by the stage's own `run()`; everything beneath it takes plain arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
