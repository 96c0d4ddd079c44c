"""Errors: wording, exit codes, crossing a process border, collecting."""

import pickle

import pytest

from tenfold.core import errors
from tenfold.core.errors import DataError, Faults, FaultsError, InputError, StageError, TenfoldError, WaitingForPeople


def _error() -> DataError:
    return DataError("the class has one image", where="data/df", expected="two or more", todo="Add images.")


def test_text_says_what_where_expected_and_what_to_do() -> None:
    assert str(_error()) == ("the class has one image\nWhere: data/df\nExpected: two or more\nWhat to do: Add images.")
    assert str(StageError("it failed")) == "it failed"


def test_dict_has_the_four_parts_and_the_exit_code() -> None:
    assert _error().as_dict() == {
        "error": "DataError",
        "what": "the class has one image",
        "where": "data/df",
        "expected": "two or more",
        "todo": "Add images.",
        "exit_code": 2,
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [(InputError, 2), (DataError, 2), (StageError, 1), (errors.StorageError, 1), (WaitingForPeople, 3)],
)
def test_exit_codes(kind: type[TenfoldError], code: int) -> None:
    assert kind("x").exit_code == code


def test_every_error_is_drawn_in_the_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TenfoldError)]
    assert len(kinds) == 11
    for kind in kinds:
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", [_error(), FaultsError([_error(), StageError("b")])])
def test_errors_cross_a_process_border_whole(error: TenfoldError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.as_dict() == error.as_dict()
    assert str(again) == str(error)


def test_faults_are_raised_once_together() -> None:
    faults = Faults()
    faults.raise_if_any()
    faults.add(_error())
    with pytest.raises(DataError):
        faults.raise_if_any()
    faults.add(DataError("an image is unreadable"))
    with pytest.raises(FaultsError, match=r"2 faults were found:\n1\. the class has one image") as caught:
        faults.raise_if_any()
    assert len(faults) == len(list(faults)) == 2
    assert [fault["what"] for fault in caught.value.as_dict()["errors"]][1] == "an image is unreadable"


def test_a_long_list_of_faults_is_cut_with_its_number() -> None:
    error = FaultsError([DataError(f"fault {number}") for number in range(25)])
    assert "25 faults" in str(error)
    assert "... and 5 more" in str(error)
