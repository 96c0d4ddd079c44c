"""Hashing: known digests; folders in sorted order; one text per object."""

from pathlib import Path

import pytest

from tenfold.core.hashing import canonical_json, sha256_bytes, sha256_file, sha256_json, sha256_path


def test_bytes_and_files_have_the_standard_digest(tmp_path: Path) -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "file") == sha256_path(tmp_path / "file") == expected


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_folder_hash_sees_names_and_content_but_not_the_order_of_writing(tmp_path: Path) -> None:
    for root, names in (("one", ("a", "b")), ("two", ("b", "a"))):
        (tmp_path / root / "inner").mkdir(parents=True)
        for name in names:
            (tmp_path / root / "inner" / name).write_text(name)
    before = sha256_path(tmp_path / "one")
    assert before == sha256_path(tmp_path / "two")
    (tmp_path / "two" / "inner" / "a").rename(tmp_path / "two" / "a")
    assert sha256_path(tmp_path / "two") != before
