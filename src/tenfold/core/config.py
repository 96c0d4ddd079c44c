"""The base of every stage's configuration: frozen, unknown keys refused; and names of folders."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class StageConfig(BaseModel):
    """Read only by the stage's own `run()`; everything beneath it takes plain arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def _is_folder_name(name: str) -> str:
    """ValueError for names that lead elsewhere (``..``), hide (``.locks``), read as options or are too long."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise ValueError("letters, digits, _ and, after the first one, also . and -; at most 100")
    return name


FolderName = Annotated[str, AfterValidator(_is_folder_name)]
