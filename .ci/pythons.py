"""Prints `VERSION PATH` for each Python that Baton supports and this machine has, on PATH or installed by pyenv."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from app.__main__ import NEWEST, OLDEST

DESCRIBE = "import os, pip, sys, venv; print('%d.%d' % sys.version_info[:2], os.path.realpath(sys.executable))"


def candidates(version: str) -> Iterator[str]:
    """Programs that may be this version; some are pyenv's shims, which run only what pyenv has selected."""
    for name in (f"python{version}", "python3"):
        found = (shutil.which(name, path=folder) for folder in os.get_exec_path())
        yield from (program for program in found if program is not None)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True))


def find(version: str) -> str | None:
    """The first candidate that is this version and has pip and venv, as a line of the output."""
    for program in candidates(version):
        done = subprocess.run([program, "-c", DESCRIBE], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.split()[0] == version:
            return done.stdout
    return None


for minor in range(OLDEST[1], NEWEST[1] + 1):
    print(find(f"3.{minor}") or "", end="")
