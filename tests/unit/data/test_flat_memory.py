"""Memory: what is held grows by little with the rows, and not at all with the columns that are dropped."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tenfold.core.executor import in_order
from tenfold.data import manifest
from tenfold.data.import_items import ImportItem, Record
from tenfold.data.importers import import_table, list_source
from tenfold.data.manifest import COLUMNS, make_manifest
from tenfold.data.table_columns import MOST_ATTRIBUTES, columns_in_use
from tenfold.data.table_reading import read_table

ROWS = 2000
WIDE = [f"feature_{number}" for number in range(3000)]


def write_wide(path: Path) -> Path:
    frame = pd.DataFrame({"image": ["a", "b"], **{name: ["1", "2"] for name in WIDE}, "label": ["df", "vasc"]})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_only_the_cells_of_columns_in_use_are_held(suffix: str, tmp_path: Path) -> None:
    path = write_wide(tmp_path / f"t{suffix}")
    table = read_table(path, columns_in_use({}, where="t"))
    assert table.columns == ("image", *WIDE, "label")
    assert [len(row.cells) for row in table.rows] == [MOST_ATTRIBUTES + 2] * 2
    assert [len(row.cells) for row in read_table(path).rows] == [len(WIDE) + 2] * 2
    mapped = read_table(path, columns_in_use({"label": WIDE[-1]}, where="t"))
    assert mapped.rows[1].cells[WIDE[-1]] == "2" and "label" not in mapped.rows[0].cells


def tiny_source(root: Path) -> Path:
    """Files that are listed and never opened, and a table of them."""
    lines = ["image,label,patient_id,sex,site,remark"]
    for number in range(ROWS):
        folder = f"images/{'ab'[number % 2]}"
        lines.append(f"{folder}/{number:06d}.png,{'ab'[number % 2]},p{number // 2},f,site {number % 5},remark {number}")
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{number:06d}.png").write_bytes(b"x")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


def bytes_held(source: Path) -> float:
    """What a listing holds for each row once it is made."""
    list_source(source)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        listing = list_source(source)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(listing.items) == ROWS
    return held / ROWS


def test_a_listing_holds_few_bytes_for_each_row(tmp_path: Path) -> None:
    root = tiny_source(tmp_path)
    names = 2 * len(str(root / "images/a/000000.png"))
    assert bytes_held(root / "images") - names < 400
    assert bytes_held(root / "metadata.csv") - names < 900


def test_records_are_mappings_of_shared_names() -> None:
    first, second = Record({"a": 1, "b": None}), Record({"a": 3, "b": 4})
    assert dict(first) == {"a": 1, "b": None} and first == {"b": None, "a": 1} and {**second} == {"a": 3, "b": 4}
    assert first._places is second._places and not hasattr(first, "__dict__")
    assert "c" not in first and first.get("c", 7) == 7 and len(first) == 2
    item = ImportItem("/s/a.png", "a.png", "df", fields=first)
    assert not hasattr(item, "__dict__") and replace(item, mask_file="/s/m.png").mask_path == Path("/s/m.png")
    assert item.path == Path("/s/a.png") and item.mask_path is None


def test_equal_cells_share_their_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\na,df of long name\nb,df of long name\n")
    cells = [row.cells["label"] for row in read_table(tmp_path / "t.csv").rows]
    assert cells[0] is cells[1]


def test_a_manifest_made_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"image_id": f"{number:016x}", "age": float(number) if number % 3 else None, "attr.a": None}
        | ({"attr.late": number, "skin_type": 3} if number > 15 else {})
        for number in range(20)
    ]
    whole = make_manifest(rows)
    monkeypatch.setattr(manifest, "_PART_ROWS", 6)
    parts = make_manifest(rows)
    pd.testing.assert_frame_equal(parts, whole)
    assert list(parts.columns) == [*COLUMNS, "attr.a", "attr.late"]
    parts.loc[0, "seed"] = 5
    parts.loc[0, "prompt"] = "x"
    assert parts.drop(columns=["seed", "prompt"]).equals(whole.drop(columns=["seed", "prompt"])), "no column is shared"


def test_answers_are_put_in_order_as_they_come() -> None:
    order = np.random.default_rng(0).permutation(50).tolist()
    assert list(in_order(iter([(number, number * 2) for number in order]))) == [number * 2 for number in range(50)]
    assert list(in_order(iter([]))) == []
    early = in_order(iter([(0, "a"), (2, "c"), (1, "b")]))
    assert next(early) == "a"


def test_a_wide_table_is_imported_with_the_first_columns(tmp_path: Path) -> None:
    listing = import_table(write_wide(tmp_path / "t.csv"))
    assert "the table has 3002 columns" in listing.notes[0] and {row.reason for row in listing.quarantined} == {
        "missing_file"
    }
