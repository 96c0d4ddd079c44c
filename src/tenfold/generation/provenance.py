"""Provenance: the record inside each PNG that suffices to make the image again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tenfold.core.errors import DataError
from tenfold.generation.planning import Batch
from tenfold.generation.requests import ImageRequest

PNG_KEY = "tenfold"


def provenance_text(batch: Batch, position: int, environment: Mapping[str, Any]) -> dict[str, str]:
    """PNG text of one image: its request, its companions' requests where they differ, and what it was made with.

    Args:
        environment: versions, device, dtype and threads; nothing that changes between two equal runs.
    """
    request = batch.requests[position]
    own = request.as_dict()
    companions = [
        {name: value for name, value in other.as_dict().items() if value != own[name]} for other in batch.requests
    ]
    record = {
        "image_id": request.image_id,
        "synthetic": True,
        "request": own,
        "position": position,
        "batch": companions,
        "environment": dict(environment),
    }
    return {PNG_KEY: json.dumps(record, sort_keys=True, separators=(",", ":"))}


def read_provenance(text: Mapping[str, str]) -> tuple[Batch, int, dict[str, Any]]:
    """The batch, the image's position in it and the environment, from a PNG's text.

    Raises DataError when the text holds no such record.
    """
    try:
        record = json.loads(text[PNG_KEY])
        own = record["request"]
        requests = tuple(ImageRequest.from_dict({**own, **differing}) for differing in record["batch"])
        return Batch(0, requests), int(record["position"]), dict(record["environment"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the image holds no record of how it was made", expected=f"PNG text named {PNG_KEY!r}"
        ) from error
