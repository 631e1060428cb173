"""`test` and `check`: what has to hold before a change is taken in."""

import ast
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
MOST_LINES, MOST_LINES_A_FUNCTION = 450, 60


def run_tests(arguments: list[str]) -> int:
    """pytest over all tests, in a process for each core (at most four); its status."""
    chosen = any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    spread = [] if chosen else ["-n", str(min(4, cores))]
    return subprocess.call([PYTHON, "-m", "pytest", *spread, *arguments], cwd=ROOT)


def run_checks() -> int:
    """Every check, all of them even after one failed; 0 where all pass."""
    failed = [name for name, check in CHECKS.items() if not _passes(name, check)]
    print(f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


def _passes(name: str, check: Callable[[], str]) -> bool:
    began = time.monotonic()
    try:
        fault = check()
    except Exception as error:  # a check that cannot run has failed, and the others still count
        fault = f"{type(error).__name__}: {error}"
    print(f"{'FAIL' if fault else 'ok':<5} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    if fault:
        print(fault.rstrip(), flush=True)
    return not fault


def _tool(*command: str) -> Callable[[], str]:
    """A check that is a program: what it printed where it failed, else nothing."""

    def check() -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr or "it failed silently") if done.returncode else ""

    return check


def sizes() -> str:
    """Files and functions of app/ that have grown a tail."""
    return "\n".join(fault for path in sorted(ROOT.glob("app/**/*.py")) for fault in _tails(path))


def _tails(path: Path) -> Iterator[str]:
    text, name = path.read_text(), path.relative_to(ROOT)
    if (lines := text.count("\n")) > MOST_LINES:
        yield f"{name}: {lines} lines, at most {MOST_LINES}: split it by concept"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MOST_LINES_A_FUNCTION:
                yield f"{name}:{node.lineno} {node.name}: {size} lines, at most {MOST_LINES_A_FUNCTION}"


def migrations() -> str:
    """One head, the tables in code equal to the migrated schema, and statements that do not block (squawk)."""
    from alembic.util import CommandError

    from app.database import embedded, migrate

    with tempfile.TemporaryDirectory(prefix="baton-check-") as folder:
        Path(folder).chmod(0o711)
        with embedded.start(Path(folder), durable=False) as server:
            try:
                asyncio.run(migrate.upgrade(server.url))
                asyncio.run(migrate.differences(server.url))
            except CommandError as error:
                return str(error)
        statements = Path(folder, "migrations.sql")
        statements.write_text(migrate.statements())
        return _tool(str(Path(PYTHON).parent / "squawk"), "--config", str(ROOT / ".squawk.toml"), str(statements))()


def openapi() -> str:
    """The committed documents against those the code makes."""
    from app.commands.openapi import generated

    stale = (path for path, text in generated().items() if not path.exists() or path.read_text() != text)
    return "\n".join(f"{path.relative_to(ROOT)} is out of date: run python3 -m app openapi" for path in stale)


CHECKS: dict[str, Callable[[], str]] = {
    "format": _tool(PYTHON, "-m", "ruff", "format", "--check", "--quiet", "."),
    "lint": _tool(PYTHON, "-m", "ruff", "check", "--quiet", "."),
    "types": _tool(PYTHON, "-m", "mypy", "--no-error-summary"),
    "imports": _tool(str(Path(PYTHON).parent / "lint-imports"), "--no-cache"),
    "migrations": migrations,
    "openapi": openapi,
    "sizes": sizes,
}
