"""`test` and `check`: the test suite, and the static checks a change must pass before it is merged."""

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
MAX_FILE_LINES, MAX_FUNCTION_LINES = 450, 60


def run_tests(arguments: list[str]) -> int:
    """Run pytest, by default with a process more than cores, as tests also wait (at most four); returns its status."""
    chosen_by_caller = any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    parallel = [] if chosen_by_caller else ["-n", str(min(4, cores + 1))]
    return subprocess.call([PYTHON, "-m", "pytest", *parallel, *arguments], cwd=ROOT)


def run_checks() -> int:
    """Run every check, also after one has failed; returns 0 if all pass."""
    failed = [name for name, check in CHECKS.items() if not _passes(name, check)]
    print(f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


def _passes(name: str, check: Callable[[], str]) -> bool:
    began = time.monotonic()
    try:
        fault = check()
    except Exception as error:  # a check that cannot run counts as failed; the others still run
        fault = f"{type(error).__name__}: {error}"
    print(f"{'FAIL' if fault else 'ok':<5} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    if fault:
        print(fault.rstrip(), flush=True)
    return not fault


def _tool(*command: str) -> Callable[[], str]:
    """A check that runs a program; its fault is the program's output if the exit status is not 0."""

    def check() -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr or f"exit status {done.returncode} without output") if done.returncode else ""

    return check


def sizes() -> str:
    """Files and functions of app/ that are longer than allowed."""
    return "\n".join(fault for path in sorted(ROOT.glob("app/**/*.py")) for fault in _too_long(path))


def _too_long(path: Path) -> Iterator[str]:
    text, name = path.read_text("utf-8"), path.relative_to(ROOT)
    if (lines := text.count("\n")) > MAX_FILE_LINES:
        yield f"{name}: {lines} lines, at most {MAX_FILE_LINES}: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno} {node.name}: {size} lines, at most {MAX_FUNCTION_LINES}"


def migrations() -> str:
    """Check for one head, tables in code that match the migrated schema, and statements that do not block (squawk)."""
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
        files = {str(Path(folder, f"{revision}.sql")): sql for revision, sql in migrate.statements().items()}
        for file, sql in files.items():
            Path(file).write_text(sql, "utf-8")
        return _tool(str(Path(PYTHON).parent / "squawk"), "--config", str(ROOT / ".squawk.toml"), *files)()


def openapi() -> str:
    """Check that the committed generated files are what the code generates."""
    from app.commands.openapi import generated

    stale = (path for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text)
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
