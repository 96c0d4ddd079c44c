"""The findings table that every audit and data check fills: one row per image and check. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

COLUMNS = ("check", "image_id", "score", "is_flagged", "evidence_ids", "detail")


@dataclass(frozen=True)
class Finding:
    """What one check says of one image. `score` is 0 (fine) to 1 (certain); `evidence_ids` are images to look at."""

    check: str
    image_id: str
    score: float
    is_flagged: bool
    evidence_ids: tuple[str, ...]
    detail: str


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """The table of findings.parquet; `evidence_ids` holds lists."""
    rows = [{**asdict(finding), "evidence_ids": list(finding.evidence_ids)} for finding in findings]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def flagged_ids(findings: Sequence[Finding]) -> set[str]:
    """Images that at least one check flagged."""
    return {finding.image_id for finding in findings if finding.is_flagged}
