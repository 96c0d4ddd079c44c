"""Reading a plan: the requests of a written plan, batch by batch, so that half a million take little memory."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tenfold.core.errors import DataError
from tenfold.generation.requests import ImageRequest

FACT_PREFIX = "fact."
"""Columns of what a prompt says, by manifest column; no part of the request."""
_KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64(), tuple: pa.list_(pa.float64())}


@dataclass(frozen=True)
class Batch:
    """Requests drawn together, in this order: the bits of an image may depend on its companions."""

    number: int
    requests: tuple[ImageRequest, ...]
    facts: tuple[Mapping[str, Any], ...] = ()
    """For each request what its prompt says beside the skin type, by manifest column; () where no plan tells."""

    @property
    def name(self) -> str:
        """File name of the batch's record."""
        return f"batch-{self.number:05d}"


def read_batches(path: Path, numbers: Iterable[int]) -> Iterator[Batch]:
    """Batches of a written plan, in the order of their numbers; only the row groups that hold them are read.

    Raises DataError when the plan is damaged or has no such batch.
    """
    wanted = sorted(set(numbers))
    try:
        file = pq.ParquetFile(path)
        place = file.schema_arrow.get_field_index("batch")
        for group in range(file.num_row_groups):
            found = file.metadata.row_group(group).column(place).statistics
            here = [number for number in wanted if found.min <= number <= found.max]
            if not here:
                continue
            wanted = wanted[len(here) :]
            table = file.read_row_group(group)
            batches = table["batch"].to_numpy()
            for number in here:
                start, stop = np.searchsorted(batches, [number, number + 1])
                yield batch_of(number, rows_of(table, int(start), int(stop)), {})
    except (OSError, pa.ArrowInvalid, AttributeError, TypeError, KeyError) as error:
        raise DataError("the plan cannot be read", where=str(path), todo="Run the same command again.") from error
    if wanted:
        raise DataError(f"the plan has no batch {wanted[0]}", where=str(path), expected="a number of the plan's")


def fact_columns(path: Path) -> tuple[str, ...]:
    """The manifest columns that the prompts of a written plan speak of."""
    names: list[str] = pq.read_schema(path).names
    return tuple(name.removeprefix(FACT_PREFIX) for name in names if name.startswith(FACT_PREFIX))


def rows_of(table: pa.Table, start: int, stop: int) -> list[dict[str, Any]]:
    """The rows as plain dictionaries."""
    rows: list[dict[str, Any]] = table.slice(start, stop - start).to_pylist()
    return rows


def batch_of(number: int, rows: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]) -> Batch:
    """The batch of these rows; `shared`: the fields that are the same in all."""
    requests = tuple(
        ImageRequest.from_dict({**shared, **{name: row[name] for name in row if name in FIELDS}}) for row in rows
    )
    facts = tuple(
        {
            name.removeprefix(FACT_PREFIX): float(value) if name == f"{FACT_PREFIX}age" else value
            for name, value in row.items()
            if name.startswith(FACT_PREFIX) and value is not None
        }
        for row in rows
    )
    return Batch(number, requests, facts)


def _fields() -> dict[str, pa.DataType]:
    hints = typing.get_type_hints(ImageRequest)
    kinds = {}
    for field in dataclasses.fields(ImageRequest):
        options = typing.get_args(hints[field.name]) or (hints[field.name],)
        plain = next(option for option in options if option is not type(None))
        kinds[field.name] = _KINDS[typing.get_origin(plain) or plain]
    return kinds


FIELDS = _fields()
"""Every field of a request with its type in the file."""
