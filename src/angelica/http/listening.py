"""The listening socket: held by whoever starts the API process, so that a restart of it refuses no connection."""

from __future__ import annotations

import errno
import socket
from typing import Final

from angelica.errors import InvalidValue

BACKLOG: Final = 2048


class AddressTaken(InvalidValue):
    """Another process listens on that address."""

    code = "address-taken"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `InvalidValue` naming what to change.

    The supervisor holds it and its API process inherits it, so that a restart refuses no connection.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise InvalidValue("/host", f"{host!r} is no address of this machine", hint="127.0.0.1 is the usual") from None
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            problem = f"{port} on {host} is taken by another process"
            raise AddressTaken(
                "/port", problem, hint=f"choose another: --port {port + 1}, or --port 0 for any"
            ) from None
        if error.errno == errno.EACCES:
            raise InvalidValue("/port", f"{port} needs more rights", hint="choose one above 1023") from None
        raise InvalidValue("/host", f"cannot listen on {host}: {error.strerror}", hint="--host 127.0.0.1") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
