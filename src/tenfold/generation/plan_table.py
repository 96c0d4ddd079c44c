"""The plan as a table: requests in columns, read back batch by batch, so that half a million take little memory."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.files import write_atomic
from tenfold.core.hashing import canonical_json
from tenfold.generation.plan_reading import FACT_PREFIX, FIELDS
from tenfold.generation.requests import ImageRequest

NUMBER = "number"
"""The image's number among those of its label, or of its label and parent; no part of the request."""

ROW_GROUP_ROWS = 8192
_CHUNK_ROWS = 8192
_TEXT = pa.dictionary(pa.int32(), pa.string())


def collect(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of rows that have the same keys: some of ImageRequest's fields, `NUMBER` and facts."""
    batches = []
    for chunk in _chunks(rows, _CHUNK_ROWS):
        names = list(dict.fromkeys(name for row in chunk for name in row))
        columns = [pa.array([row.get(name) for row in chunk], type=_memory_kind(name)) for name in names]
        batches.append(pa.table(dict(zip(names, columns, strict=True))))
    return pa.concat_tables(batches, promote_options="default").unify_dictionaries() if batches else pa.table({})


def with_image_ids(table: pa.Table, shared: ImageRequest) -> pa.Table:
    """The table with every row's `image_id` before the other columns.

    The text whose SHA-256 names an image is its request's canonical JSON, as in `ImageRequest.image_id`; here it is put
    together from pieces, as half a million requests take minutes otherwise.

    Raises DataError when two requests are the same image.
    """
    ids: list[str] = []
    for chunk in table.to_batches(_CHUNK_ROWS):
        ids += _image_ids(chunk, shared)
    if len(set(ids)) < len(ids):
        raise DataError(
            "two requests are the same image",
            expected="each source image and skin type once, where no noise is drawn",
            todo="Ask for fewer images of each real image, and name each reference image once.",
        )
    return table.add_column(0, "image_id", pa.array(ids, type=pa.string()))


def batch_starts(table: pa.Table, batch_size: int, *, apart: Sequence[str]) -> tuple[int, ...]:
    """Where batches begin, and the end: consecutive rows that agree in the columns `apart`, `batch_size` at most."""
    count = table.num_rows
    is_new = np.zeros(count, dtype=bool)
    is_new[:1] = True
    for name in apart:
        if name in table.column_names:
            codes = _codes(table[name])
            is_new[1:] |= codes[1:] != codes[:-1]
    runs = np.append(np.flatnonzero(is_new), count)
    starts = [range(int(first), int(last), batch_size) for first, last in itertools.pairwise(runs)]
    return (*itertools.chain.from_iterable(starts), count)


def grouped_order(table: pa.Table, apart: Sequence[str]) -> pa.Table:
    """The rows in order, but those that agree in the columns `apart` together, the first ones first."""
    names = [name for name in apart if name in table.column_names]
    keys = [codes for codes in (_codes(table[name]) for name in names) if len(np.unique(codes)) > 1]
    if not keys:
        return table
    _, first, place = np.unique(np.stack(keys, axis=1), axis=0, return_index=True, return_inverse=True)
    return table.take(np.argsort(first[place.reshape(-1)], kind="stable"))


def write_table(path: Path, table: pa.Table, shared: ImageRequest, starts: Sequence[int]) -> None:
    """The Parquet file: image_id, batch, position and all fields of each request, row groups cut between batches."""
    schema = _file_schema(table)
    with write_atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        first = 0
        while first < len(starts) - 1:
            last = first + 1
            while last < len(starts) - 1 and starts[last + 1] - starts[first] <= ROW_GROUP_ROWS:
                last += 1
            writer.write_table(_file_rows(table, shared, starts, (first, last), schema))
            first = last


def _file_rows(
    table: pa.Table, shared: ImageRequest, starts: Sequence[int], batches: tuple[int, int], schema: pa.Schema
) -> pa.Table:
    begin, end = starts[batches[0]], starts[batches[1]]
    sizes = np.diff(np.asarray(starts[batches[0] : batches[1] + 1]))
    rows = table.slice(begin, end - begin)
    fixed = shared.as_dict()
    columns: dict[str, Any] = {
        "batch": np.repeat(np.arange(*batches), sizes),
        "position": np.concatenate([np.arange(size) for size in sizes]),
    }
    arrays = []
    for field in schema:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name], type=field.type))
        elif field.name in rows.column_names:
            arrays.append(rows[field.name].cast(field.type))
        else:
            value = fixed[field.name]
            value = list(value) if isinstance(value, tuple) else value
            arrays.append(pa.repeat(pa.scalar(value, type=field.type), len(rows)))
    return pa.table(arrays, schema=schema)


def _file_schema(table: pa.Table) -> pa.Schema:
    others = [(name, pa.string()) for name in table.column_names if name.startswith(FACT_PREFIX)]
    leading = [("image_id", pa.string()), ("batch", pa.int64()), ("position", pa.int64())]
    return pa.schema([*leading, *FIELDS.items(), *others])


def _memory_kind(name: str) -> pa.DataType:
    kind = FIELDS.get(name, pa.int64() if name == NUMBER else pa.string())
    return _TEXT if kind == pa.string() else kind


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Equal numbers for equal values; -1 where there is none."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _image_ids(chunk: pa.RecordBatch, shared: ImageRequest) -> list[str]:
    varying = [name for name in chunk.schema.names if name in FIELDS]
    fixed = {name: value for name, value in shared.as_dict().items() if value is not None and name not in varying}
    pieces: list[Iterable[str]] = []
    for name in sorted([*fixed, *varying]):
        if name in fixed:
            pieces.append(itertools.repeat(f'"{name}":{canonical_json(fixed[name])},'))
        else:
            pieces.append(_pieces(name, chunk.column(name)))
    if not varying:
        return [shared.image_id] * chunk.num_rows
    digest: Callable[..., Any] = hashlib.sha256
    return [
        digest(f"{{{''.join(parts)[:-1]}}}".encode("ascii")).hexdigest()[:16] for parts in zip(*pieces, strict=False)
    ]


def _pieces(name: str, column: pa.Array) -> list[str]:
    """`"name":value,` of every row; empty where there is no value."""
    if pa.types.is_dictionary(column.type):
        known = ["", *(f'"{name}":{json.dumps(value)},' for value in column.dictionary.to_pylist())]
        codes = column.indices.fill_null(-1).to_pylist()
        return [known[code + 1] for code in codes]
    text = str if pa.types.is_integer(column.type) else json.dumps
    return ["" if value is None else f'"{name}":{text(value)},' for value in column.to_pylist()]


def _chunks(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
