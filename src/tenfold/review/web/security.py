"""What guards the page: hosts and origins, the headers of every answer, the session cookie, TLS rules."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenfold.core.errors import InputError
from tenfold.review.web.errors import ApiError

SESSION_DAYS = 30
"""However long a link is valid: then it is opened again."""
_READING = ("GET", "HEAD")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Place:
    """Where the page is reached. `origins` are those of its own pages (``http://127.0.0.1:8765``); `is_secure`: TLS,
    its own or a proxy's."""

    origins: frozenset[str]
    is_secure: bool

    @property
    def cookie(self) -> str:
        """How session cookies' names begin; under TLS with the prefix by which browsers refuse one of another host."""
        return "__Host-tenfold_review" if self.is_secure else "tenfold_review"

    def hosts(self) -> frozenset[str]:
        """The Host headers that belong to the page: any other is a rebound name or a wrong proxy."""
        return frozenset(origin.partition("://")[2] for origin in self.origins)


def loopback_place(port: int) -> Place:
    """The page on this machine alone, under each of its names."""
    return Place(frozenset(f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")), is_secure=False)


def remote_place(address: str) -> Place:
    """The page under the address that reviewers type. InputError unless it is ``https://HOST[:PORT]``."""
    scheme, host, port = _address_parts(address)
    if scheme != "https":
        raise _no_address(address)
    return Place(frozenset({f"https://{host}" + (f":{port}" if port not in (None, 443) else "")}), is_secure=True)


def check_address(address: str) -> None:
    """Raise InputError unless a page can be reached there: over TLS, or on this machine."""
    scheme, host, _ = _address_parts(address)
    if scheme != "https" and not (scheme == "http" and is_loopback(host)):
        raise _no_address(address)


def _address_parts(address: str) -> tuple[str, str, int | None]:
    """Scheme, host as browsers send it (punycode, brackets around IPv6) and port."""
    try:
        parts = urlsplit(address)
        port = parts.port
        name = parts.hostname or ""
        host = f"[{ipaddress.IPv6Address(name)}]" if ":" in name else name.encode("idna").decode("ascii")
    except ValueError:  # a UnicodeError is one
        raise _no_address(address) from None
    is_plain = not (parts.username or parts.query or parts.fragment) and parts.path in ("", "/")
    is_name = host.startswith("[") or re.fullmatch(r"[a-z0-9._-]+", host) is not None
    if not is_name or port == 0 or not is_plain or any(sign.isspace() for sign in address):
        raise _no_address(address)
    return parts.scheme, host, port


def _no_address(address: str) -> InputError:
    return InputError(
        f"the address {address!r} cannot be the page's",
        where="--address",
        expected="https://HOST or https://HOST:PORT, as reviewers type it",
    )


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses what another site sends and puts the same headers on every answer. Wraps the whole app."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place
        self._hosts = place.hosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a websocket is left unanswered, which closes it

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), self._place.is_secure, scope["path"])
            await send(message)

        refused = self._refused(scope["method"], str(scope.get("scheme", "http")), Headers(scope=scope))
        if refused is not None:
            await refused.answer()(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _refused(self, method: str, scheme: str, headers: Headers) -> ApiError | None:
        if self._place.is_secure and scheme.lower() != "https":
            return ApiError(
                403, "NotEncrypted", "the connection is not encrypted", expected="TLS up to the server or its proxy",
                todo="The proxy must speak TLS and send `X-Forwarded-Proto: https`.",
            )  # fmt: skip
        host = headers.get("host", "").lower()
        if (host.removesuffix(":443") if self._place.is_secure else host) not in self._hosts:
            return ApiError(
                403, "WrongHost", "the page was asked for under a name that is not its own",
                expected=" or ".join(sorted(self._place.origins)),
                todo="Open the link that you were given. A proxy must pass `Host` on as it came.",
            )  # fmt: skip
        if method in _READING:
            return None
        if not _is_own_page(headers, self._place.origins):
            return ApiError(403, "WrongOrigin", "a post of another site was refused", expected="a post of this page")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return ApiError(415, "WrongType", "the body is not declared as JSON", expected="application/json")
        return None


def _is_own_page(headers: Headers, origins: Iterable[str]) -> bool:
    """A browser tells the page's origin with every post; what tells none is no browser's page."""
    return headers.get("origin", "") in origins and headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _set_headers(headers: MutableHeaders, is_secure: bool, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if is_secure:
        headers["strict-transport-security"] = "max-age=31536000"
    for name in ("etag", "last-modified", "server"):
        del headers[name]
    if "cache-control" not in headers:
        headers["cache-control"] = "private, no-store" if path.startswith("/api/") else "no-cache"
