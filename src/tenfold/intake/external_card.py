"""The data card of synthetic images made elsewhere: what is known of them, what is not, and what they must not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def external_card(summary: Mapping[str, Any], image_size_px: int) -> str:
    """The text of README.md beside the manifest, from the summary of `run_external`."""
    rows = "\n".join(f"| {label} | {count} |" for label, count in summary["images"].items())
    return f"""# Synthetic images made elsewhere: {summary["generator"]}

{summary["kept"]} images said to be made by `{summary["generator"]}`, imported and resized to {image_size_px} px.
{summary["rows_in"]} rows in = {summary["kept"]} kept + {summary["quarantined"]} quarantined (see `quarantine.csv`).

| label | images |
|---|---|
{rows}

- Ancestors: **unknown**. Nobody here can tell which real images the generator learned from, nor whether some of this
  workspace's test images are among them. They are never counted as strict.
- How they were drawn is not recorded; what the source told stands in `manifest.parquet`.
- License, as stated at the import: {summary["data_license"]}

## Caution

- Labels are what their makers say, not what a physician saw here; `review` is `unreviewed`.
- Compare them with real images, or judge whether they look real; do not claim a gain from training on them, as their
  generator may have seen the test images.
- Never use them as test data, for diagnosis or for teaching. They may repeat parts of the images they descend from:
  do not call them anonymous.
"""
