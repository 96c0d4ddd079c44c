"""Seeds of a plan: keyed by each image's identity, and no two of them start the same noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tenfold.core.seeds import derive_seed
from tenfold.generation.plan_table import NUMBER

STREAMS: Mapping[str, str] = {"seed": "generate", "outpaint_seed": "outpaint", "upscale_seed": "upscale"}
"""Columns of seeds that torch draws noise from, with the key that each is derived by."""
_NOISE_BITS = np.int64(0xFFFFFFFF)
"""What a torch generator on the CPU keeps of a seed."""


def image_seed(root_seed: int, stream: str, identity: Sequence[str | int]) -> int:
    """The seed of one image's noise. `identity`: its label, the real image it starts from, if any, and its number."""
    return derive_seed(root_seed, STREAMS[stream], *identity)


def with_distinct_noise(table: pa.Table, root_seed: int) -> pa.Table:
    """The table with seeds derived anew where their low 32 bits, which decide the noise, are another image's.

    The lower image number keeps its seed, so that more images leave the first ones as they are; of equal numbers the
    first label and parent. Among half a million images some 30 pairs collide.
    """
    streams = [name for name in STREAMS if name in table.column_names]
    if not streams:
        return table
    rows = table.num_rows
    seeds = np.concatenate([table[name].to_numpy() for name in streams])
    low = seeds & _NOISE_BITS
    for place in _collisions(low, table, streams):
        stream, row = streams[place // rows], place % rows
        identity = _identity(table, row)
        attempt = 1
        while True:
            seed = derive_seed(root_seed, STREAMS[stream], *identity, "again", attempt)
            if not np.any(low == (seed & int(_NOISE_BITS))):
                break
            attempt += 1
        seeds[place], low[place] = seed, seed & int(_NOISE_BITS)
    for index, name in enumerate(streams):
        column = pa.array(seeds[index * rows : (index + 1) * rows])
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _collisions(low: np.ndarray, table: pa.Table, streams: Sequence[str]) -> list[int]:
    """Places that share their noise with another one that keeps it, in the order of (number, identity, stream)."""
    _, inverse, counts = np.unique(low, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[inverse] > 1)
    rows = table.num_rows

    def rank(place: int) -> tuple[int, list[str], int]:
        identity = _identity(table, place % rows)
        return int(identity[-1]), [str(key) for key in identity[:-1]], place // rows

    kept: set[int] = set()
    losers = []
    for place in sorted((int(place) for place in shared), key=rank):
        if int(low[place]) in kept:
            losers.append(place)
        kept.add(int(low[place]))
    return losers


def _identity(table: pa.Table, row: int) -> list[str | int]:
    names = [name for name in ("label", "parent_id", NUMBER) if name in table.column_names]
    return [table[name][row].as_py() for name in names]
