"""Passed over: what an importer saw in a source and did not read, so that nothing vanishes without a word."""

from __future__ import annotations

HIDDEN = "images are hidden (a name on their path begins with a dot) and were not read"
WORKSPACE = "workspaces of Tenfold lie in the source and were not read"
LINKED = "links to folders were not followed"
EMPTY = "folders hold nothing"
UNLISTED = "images lie in the source but in no row or class folder that is read"
UNUSED_MASK = "files are the mask of no listed image"
NO_IMAGE = "other files in the source were not read"
REFUSED_MASK = "mask files are not used"
REFUSED_CAPTION = "caption files are not used"
CUT_CAPTION = "caption files are longer than 20,000 bytes and were cut"


class PassedOver:
    """Names by what befell them first, in the order met."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._names: dict[str, dict[str, str]] = {}

    def add(self, what: str, name: str, why: str = "") -> None:
        """Remember a name as seen from the source root; `what` is said of all such names, `why` of this one."""
        if name not in self._told:
            self._told.add(name)
            self._names.setdefault(what, {})[name] = why

    def notes(self) -> list[str]:
        """``2 folders hold nothing, e.g. df2``: one sentence for each kind."""
        first = {what: next(iter(names.items())) for what, names in self._names.items()}
        return [
            f"{len(self._names[what])} {what}, e.g. {name}{f' ({why})' if why else ''}"
            for what, (name, why) in first.items()
        ]

    def counts(self) -> list[str]:
        """As `notes`, without names: those of a DICOM export may be names of persons."""
        return [f"{len(names)} {what}" for what, names in self._names.items()]
