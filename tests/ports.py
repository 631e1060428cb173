"""Reserves TCP ports, so that no other process is given them while the service under test is down."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections until a service listens, and that the kernel assigns to no other.

    A socket with SO_REUSEADDR is bound to it and never listens: Linux then lets a second socket bind that port number.
    Other systems do not: there the port is only known to have been free.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port
