"""Connections of strangers: cut when they ask nothing, and fewer than the process may hold files open."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 20.0
"""So long may a request take until all of it is here."""

_MOST_CONNECTIONS = 2000
_FILES_OF_ITS_OWN = 128
_WANTED_FILES = 4096


class GuardedProtocol(H11Protocol):
    """HTTP of one connection, which is closed when a request that was begun does not go on."""

    seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_anew()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_anew()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_anew(self) -> None:
        """Wait for the rest of a request, from its beginning: a trickle wins no time."""
        if not self._is_awaited():
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _is_awaited(self) -> bool:
        """Whether the first request has not come, or one has come in part."""
        if self.cycle is None or self.cycle.more_body:
            return True
        return self.cycle.response_complete and bool(self.conn.trailing_data[0])

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_awaited():
            self.transport.close()


def most_connections() -> int:
    """How many connections are taken at once: as many as leave room for the program's own files.

    Raises the process's limit of open files where it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):
            pass  # what there is must do
    room = _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - _FILES_OF_ITS_OWN
    return max(8, min(room, _MOST_CONNECTIONS))


def protocol_settings() -> dict[str, Any]:
    """What uvicorn is told of it."""
    return {"http": GuardedProtocol, "limit_concurrency": most_connections()}
