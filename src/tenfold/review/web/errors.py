"""Errors of the page's API: one JSON shape for all, which never tells a path of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tenfold.core.errors import StorageError, TenfoldError

_MOST_FAULTS, _LONGEST_TOLD = 20, 120
RETRY_SECONDS = 2
"""When a page may send again what could not be saved."""


class ApiError(Exception):
    """An answer of status 400 or above: its `name` is for the page, the other parts are for the person at it."""

    def __init__(
        self, status: int, name: str, what: str, *, expected: str = "", todo: str = "",
        faults: Sequence[Mapping[str, str]] = (),
    ) -> None:  # fmt: skip
        super().__init__(what)
        self.status = status
        self.name = name
        self.what = what
        self.expected = expected
        self.todo = todo
        self.faults = tuple(faults)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the answer."""
        value: dict[str, Any] = {
            "error": self.name, "what": self.what, "where": "", "expected": self.expected, "todo": self.todo,
        }  # fmt: skip
        return {**value, "faults": [dict(fault) for fault in self.faults]} if self.faults else value

    def answer(self) -> JSONResponse:
        """The answer itself."""
        headers = {"retry-after": str(RETRY_SECONDS)} if self.status == 503 else None
        return JSONResponse(self.as_dict(), self.status, headers)


def not_stored(error: StorageError) -> ApiError:
    """The store, which says "not saved: ..." or "not read: ...", is locked, read-only, gone or its disk full."""
    if error.what.startswith("not read"):
        return ApiError(
            503, "NotRead", error.what, expected="a store that can be read",
            todo="The page asks again. If this stays, tell whoever runs the server.",
        )  # fmt: skip
    return ApiError(
        503, "NotSaved", error.what if error.what.startswith("not saved") else f"not saved: {error.what}",
        expected="a store that can be written",
        todo="The page keeps what was not saved and sends it again. If this stays, tell whoever runs the server.",
    )  # fmt: skip


def not_found(what: str) -> ApiError:
    """There is no such thing, or it is another reviewer's: the answer does not tell which."""
    return ApiError(404, "NotFound", what, todo="Load the page again.")


def refusal(error: TenfoldError) -> dict[str, Any]:
    """An error of one decision, without the place on the server's disk where it arose."""
    return {
        "error": type(error).__name__, "what": error.what, "where": "", "expected": error.expected, "todo": error.todo,
    }  # fmt: skip


def add_error_answers(app: FastAPI) -> None:
    """Every error of the app ends as an answer of the one shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(StorageError, _storage_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _server_fault)


async def _api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.answer()


async def _storage_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StorageError)
    return not_stored(error).answer()


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return ApiError(405, "MethodNotAllowed", "this address does not take that method").answer()
    return not_found("there is no such address").answer()


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return bad_input(error.errors()).answer()


async def _server_fault(_request: Request, _error: Exception) -> JSONResponse:
    return ApiError(
        500, "ServerFault", "the server met an error that it does not know",
        todo="What was not saved is kept by the page. Tell whoever runs the server: its window shows more.",
    ).answer()  # fmt: skip


def bad_input(errors: Sequence[Any], expected: str = "") -> ApiError:
    """The answer to input of the wrong shape, from pydantic's list of errors; what was sent is not repeated."""
    faults = [
        {"where": _short(".".join(_short(str(part)) for part in one["loc"])), "what": _short(str(one["msg"]))}
        for one in errors[:_MOST_FAULTS]
    ]
    return ApiError(422, "BadInput", f"{len(errors)} values are not as expected", expected=expected, faults=faults)


def _short(text: str) -> str:
    """Names that were sent are told, but not at the length at which they were."""
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."
