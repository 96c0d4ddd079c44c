"""Pseudonyms: keyed, kept apart by kind, and a key that stays in its file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tenfold.core.errors import DataError, StorageError
from tenfold.data.pseudonyms import Pseudonyms, open_pseudonyms, temporary_pseudonyms


def test_the_same_key_and_id_give_the_same_sixteen_digits_and_kinds_never_meet() -> None:
    pseudonyms = Pseudonyms(bytes(range(32)))
    patient = pseudonyms.of("patient", "PAT4477001")
    assert len(patient) == 16 and int(patient, 16) >= 0
    assert patient == Pseudonyms(bytes(range(32))).of("patient", "PAT4477001")
    others = [pseudonyms.of("study", "PAT4477001"), pseudonyms.of("series", "PAT4477001")]
    others += [pseudonyms.of("patient", "PAT4477002"), Pseudonyms(bytes(32)).of("patient", "PAT4477001")]
    assert len({patient, *others}) == 5


def test_the_key_is_made_once_for_its_owner_alone_and_read_later(tmp_path: Path) -> None:
    path = tmp_path / "data" / "pseudonyms.key"
    first = open_pseudonyms(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["key"] == first.key.hex()
    assert open_pseudonyms(path) == first
    assert open_pseudonyms(tmp_path / "other.key") != first
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonyms.key"]


def test_the_key_is_not_shown() -> None:
    pseudonyms = temporary_pseudonyms()
    assert pseudonyms.key.hex() not in repr(pseudonyms) and str(pseudonyms.key) not in repr(pseudonyms)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": "abc"}', '{"key": "00ff"}', '{"key": 5}'])
def test_a_damaged_key_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pseudonyms.key"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        open_pseudonyms(path)
    assert caught.value.where == str(path)
    assert path.read_text() == text
    if text:
        assert caught.value.what == "the key of the pseudonyms is damaged"
        assert "with a new key the same patients would get other pseudonyms" in caught.value.todo


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        open_pseudonyms(tmp_path / "pseudonyms.key")
    assert not list(tmp_path.iterdir())


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="the key of the pseudonyms has 3 bytes"):
        Pseudonyms(b"abc")
