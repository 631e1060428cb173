"""Runs the service as `serve` does; with a file name, samples its stack into that file."""

from __future__ import annotations

import sys
from pathlib import Path

from app.commands.serve import serve
from app.settings import load
from benchmarks.sampler import sampling

if __name__ == "__main__":
    with sampling(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        serve(load())
