"""Serving the page: a loopback address unless TLS protects another one, and uvicorn on a socket bound before."""

from __future__ import annotations

import errno
import gc
import signal
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tenfold.core.errors import InputError
from tenfold.review.web.security import Place, is_loopback, loopback_place, remote_place

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
PORT = 8765
_GRACE_SECONDS = 5
_SWITCH_SECONDS = 0.001
"""How long a thread that works (the lead's overview) may keep the others waiting; Python's own 5 ms add up."""


@dataclass(frozen=True)
class Listening:
    """Where to listen; `port` 0: any free one. `address` is what reviewers type (https://HOST); a proxy needs it."""

    host: str | None = None
    port: int = PORT
    is_remote: bool = False
    certfile: Path | None = None
    keyfile: Path | None = None
    is_behind_proxy: bool = False
    address: str | None = None

    @property
    def bound_host(self) -> str:
        """The host to bind: loopback, but everywhere for a clinic's network with TLS of its own."""
        return self.host or (EVERYWHERE if self.is_remote and not self.is_behind_proxy else LOOPBACK)


def check_listening(asked: Listening) -> None:
    """Raise InputError for a page that would be reached from other machines without TLS, or options that clash."""
    has_tls = asked.certfile is not None or asked.keyfile is not None
    if not (asked.is_remote or asked.is_behind_proxy):
        if not is_loopback(asked.bound_host):
            raise InputError(
                f"listening on {asked.bound_host} would open the page to other machines", where="--host",
                expected="127.0.0.1, or --remote with TLS files, or --behind-proxy",
                todo="Add --remote --certfile FILE --keyfile FILE.",
            )  # fmt: skip
        if has_tls or asked.address:
            raise InputError(
                "--certfile, --keyfile and --address are for other machines", expected="--remote or --behind-proxy",
                todo="Add --remote, or leave them out.",
            )  # fmt: skip
        return
    if asked.is_behind_proxy:
        if has_tls:
            raise InputError(
                "--behind-proxy and TLS files exclude each other", expected="one place where TLS ends",
                todo="Leave --certfile and --keyfile to the proxy, or leave out --behind-proxy.",
            )  # fmt: skip
        if not asked.address:
            raise InputError(
                "--behind-proxy needs the address that reviewers type", where="--address",
                expected="--address https://HOST", todo="Name the proxy's own address.",
            )  # fmt: skip
    elif asked.certfile is None or asked.keyfile is None:
        raise InputError(
            "--remote without TLS would send patients' images and links unprotected", where="--remote",
            expected="--certfile FILE and --keyfile FILE (PEM), or --behind-proxy with a proxy that speaks TLS",
            todo="Ask your IT department for a certificate of this machine's name.",
        )  # fmt: skip
    else:
        _check_tls(asked.certfile, asked.keyfile)


def bind(asked: Listening) -> socket.socket:
    """The socket to serve on, bound but not yet accepting. InputError when the port or host cannot be had."""
    family = socket.AF_INET6 if ":" in asked.bound_host else socket.AF_INET
    # Of a socket that does not name TCP, asyncio leaves Nagle's algorithm on: 40 ms for every answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((asked.bound_host.strip("[]"), asked.port))
    except (OSError, OverflowError) as error:
        bound.close()
        is_taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise InputError(
            "the port is in use by another program" if is_taken else f"the page cannot listen there: {error}",
            where=f"{asked.bound_host}:{asked.port}",
            expected="a free port of this machine, from 1024 to 65535",
            todo="Name another one with --port; is the page being served already?",
        ) from error
    return bound


def place_of(asked: Listening, port: int) -> Place:
    """Under which addresses the page is reached once it is bound to `port`."""
    if not (asked.is_remote or asked.is_behind_proxy):
        named = loopback_place(port)
        return Place(named.origins | {_own_address(asked, port)}, is_secure=False)
    return remote_place(asked.address or f"https://{socket.getfqdn()}:{port}")


def page_address(asked: Listening, port: int) -> str:
    """The address to print: what a person types or clicks."""
    place = place_of(asked, port)
    return next(iter(place.origins)) if place.is_secure else _own_address(asked, port)


def _own_address(asked: Listening, port: int) -> str:
    host = asked.bound_host.strip("[]")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def link(address: str, token: str) -> str:
    """A reviewer's link. The token stands behind the `#`: browsers never send that part, so no log holds it."""
    return f"{address}/#token={token}"


def serve(app: FastAPI, bound: socket.socket, asked: Listening, on_ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or a signal; `on_ready` is called once requests are answered.

    Raises KeyboardInterrupt when a signal ended it, SIGTERM and SIGHUP too: what the caller does at the end is done.
    """
    import uvicorn
    from pydantic.warnings import UnsupportedFieldAttributeWarning

    from tenfold.review.web.connections import protocol_settings

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=asked.is_behind_proxy,
        forwarded_allow_ips=LOOPBACK if is_loopback(asked.bound_host) else "*",
        ssl_certfile=asked.certfile, ssl_keyfile=asked.keyfile, timeout_graceful_shutdown=_GRACE_SECONDS,
        ws="none", backlog=2048, timeout_keep_alive=75, **protocol_settings(),
    )  # fmt: skip
    # FastAPI hides it in a way that is not safe beside threads: people would see it in the server's window.
    warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # a hundred thousand items are no garbage: nobody waits until they are looked through
    with _signals_as_interrupts():
        Server(config).run(sockets=[bound])


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """uvicorn ends in good order at SIGTERM and then raises it again, which would end the program on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # a window that was closed: uvicorn listens to SIGTERM only

    before = [(signal.SIGTERM, signal.signal(signal.SIGTERM, interrupt))]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
        before.append((signal.SIGHUP, signal.signal(signal.SIGHUP, terminate)))
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _check_tls(certfile: Path, keyfile: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile, password="")  # or it would ask for one on the terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"the TLS files cannot be used: {error}", where=f"{certfile}, {keyfile}",
            expected="a certificate chain and its key, in PEM files that you may read",
            todo="Check that both belong together and that the key has no password.",
        ) from error  # fmt: skip
