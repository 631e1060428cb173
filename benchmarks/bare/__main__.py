"""`python -m benchmarks.bare NAME DSN PORT`: serves one baseline with the uvicorn options of the product."""

from __future__ import annotations

import sys
from importlib import import_module

import uvicorn

if __name__ == "__main__":
    name, dsn, port = sys.argv[1:]
    app = import_module(f"benchmarks.bare.{name}").make(dsn)
    uvicorn.run(
        app,
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
