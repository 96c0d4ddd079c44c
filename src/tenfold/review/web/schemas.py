"""What the page may send: strict shapes with limits, read from a body of bounded size."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import ClientDisconnect

from tenfold.review.rubric import LONGEST_ID, MAX_CLASSES, MAX_QUESTIONS
from tenfold.review.web.errors import ApiError, bad_input

MAX_BODY_BYTES = 256 * 1024
MAX_DECISIONS = 200
MAX_COMMENT = 2000

ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}\z")]
OpaqueId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}\z")]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID)]
_Choice = Annotated[str, StringConstraints(max_length=200)]
_Answer = bool | int | float | _Choice | Annotated[list[_Choice], Field(max_length=MAX_CLASSES)]
Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DecisionIn(_Strict):
    """One judgement, or one taken back (verdict none, `undoes` the earlier one's `client_id`).

    `seconds` and `client_time` may be nonsense, as a tablet's clock jumps: the store keeps such a time as unknown.
    """

    client_id: ClientId
    slot: OpaqueId
    verdict: Literal["accept", "reject", "none"]
    reasons: Annotated[list[_Id], Field(max_length=9)] = []
    answers: Annotated[dict[_Id, _Answer], Field(max_length=MAX_QUESTIONS)] = {}
    comment: Annotated[str, StringConstraints(max_length=MAX_COMMENT)] = ""
    seconds: float | None
    client_time: Annotated[str, StringConstraints(max_length=40)]
    undoes: ClientId | None = None


class DecisionsIn(_Strict):
    """Several judgements, in the order in which they were made."""

    decisions: Annotated[list[DecisionIn], Field(min_length=1)]


class TokenIn(_Strict):
    """The token of a link."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NothingIn(_Strict):
    """An empty object."""


async def read_body(request: Request, model: type[Model]) -> Model:
    """The body as `model`. ApiError 413 above `MAX_BODY_BYTES`, 400 when it is no JSON object, 422 when misshapen."""
    value = _json_object(await _bounded(request))
    decisions = value.get("decisions")
    if isinstance(decisions, list) and len(decisions) > MAX_DECISIONS:
        raise _too_large(f"{len(decisions)} decisions at once")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise bad_input(error.errors(include_input=False, include_context=False)) from None


async def _bounded(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:12]) > MAX_BODY_BYTES:
        raise _too_large(f"a body of {length[:12]} bytes")
    parts: list[bytes] = []
    total = 0
    try:
        async for part in request.stream():
            total += len(part)
            if total > MAX_BODY_BYTES:
                raise _too_large(f"a body of more than {MAX_BODY_BYTES} bytes")
            parts.append(part)
    except ClientDisconnect:  # nobody is there to read the answer: it only ends the request
        raise ApiError(400, "Incomplete", "the body ended before its end") from None
    return b"".join(parts)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "MalformedJson", "the body is not JSON", expected="one JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise ApiError(400, "MalformedJson", "the body is JSON but no object", expected="one JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_large(what: str) -> ApiError:
    return ApiError(
        413, "TooLarge", f"{what} is too much",
        expected=f"at most {MAX_BODY_BYTES} bytes and {MAX_DECISIONS} decisions", todo="Send less at once.",
    )  # fmt: skip
