"""The rivals' packages: a virtual environment of their own, made by pip from the lock when they are first measured."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.processes import ROOT, Failed

LOCK = Path(__file__).parent / "requirements.lock"
FOLDER = ROOT / ".rivals"


def rival_python() -> str:
    """The interpreter of the environment, which has exactly the packages of the lock."""
    python, made_from = FOLDER / "bin" / "python", FOLDER / LOCK.name
    if not made_from.exists() or made_from.read_bytes() != LOCK.read_bytes():
        venv.create(FOLDER, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
        done = subprocess.run([python, *install], stdout=sys.stderr, check=False)
        if done.returncode:
            raise Failed("pip could not install the rivals' packages; its messages are above")
        made_from.write_bytes(LOCK.read_bytes())
    return str(python)
