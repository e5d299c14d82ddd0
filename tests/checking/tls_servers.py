"""TLS servers that a loopback federation has no kind for, in a thread of their own."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trustme

SECONDS = 1.0


@contextmanager
def serving(tls: ssl.SSLContext | None, answer: bytes = b"") -> Iterator[tuple[str, int]]:
    """Serve connections one by one in a thread: shake hands, read a request, answer, close.

    Not by asyncio, which hangs up on who is refused without saying why.
    """

    def serve() -> None:
        while True:
            with suppress(OSError):
                connection, _ = listening.accept()
                if closing.is_set():
                    connection.close()
                    return
                connection.settimeout(SECONDS)
                with connection, suppress(ssl.SSLError):
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    with connection:
                        while (read := connection.recv(65536)) and b"\r\n\r\n" not in read:
                            pass
                        connection.sendall(answer)

    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            closing.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join()


def context_of(authority: trustme.CA, name: str, **settings: Any) -> ssl.SSLContext:
    """Return the TLS settings of a server with a good certificate for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    for setting, value in settings.items():
        setattr(context, setting, value)
    return context


def too_old_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the TLS settings of a server that knows nothing newer than TLS 1.1."""
    context = context_of(authority, name)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
