"""Ports that stay ours: nobody else of this machine gets them, whether or not a service of ours listens."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved() -> Iterator[int]:
    """A port of 127.0.0.1 where connections are refused until a service listens; the kernel gives it to nobody else.

    It is bound here and never listens, with SO_REUSEADDR, under which Linux lets a second socket bind it by its number.
    Other systems do not: there the port is merely one that was free.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port
